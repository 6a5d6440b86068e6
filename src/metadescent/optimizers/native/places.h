// Memory that a caller without XLA has: where numbers lie, and how much of them there is.

#pragma once

#include <cstdint>

namespace metadescent {

// Rows of numbers, `stride` apart; `room` is how many there are from the first to the end of the
// memory that is theirs.
struct Matrix {
  float* data;
  int64_t rows, columns, stride, room;

  bool is(int64_t r, int64_t c) const {
    if (rows != r || columns != c || r < 0 || c < 0) return false;
    if (r == 0 || c == 0) return true;
    return data && c <= room && (r == 1 || (stride >= 0 && stride <= (room - c) / (r - 1)));
  }
  // What is written must not lie over itself.
  bool is_apart() const { return rows <= 1 || stride >= columns; }
  bool meets(const Matrix& other) const {
    if (rows * columns == 0 || other.rows * other.columns == 0) return false;
    if (other.end() <= begin() || end() <= other.begin()) return false;
    // Rows of one may lie between those of the other.
    const int64_t wide = stride * sizeof(float), size = columns * sizeof(float),
                  its = other.columns * sizeof(float);
    if (wide != other.stride * static_cast<int64_t>(sizeof(float)) || wide <= 0) return true;
    const int64_t from = ((other.begin() - begin()) % wide + wide) % wide;
    return from < size || wide - from < its;
  }

 private:
  int64_t begin() const { return reinterpret_cast<int64_t>(data); }
  int64_t end() const { return begin() + ((rows - 1) * stride + columns) * sizeof(float); }
};

// Leaves of h of `count` parameters, each of which has memory of its own: of parameter k, which has
// sizes[k] coordinates, leaf l lies without gaps at places[k * width + which[l]].
struct Parts {
  int64_t count, width;
  float* const* places;
  const int64_t* sizes;
  int64_t leaves;
  int64_t which[1];  // of so many leaves

  float* place(int64_t k, int64_t leaf) const { return places[k * width + which[leaf]]; }
  bool fit(int64_t n) const {
    for (int64_t l = 0; l < leaves; ++l)
      if (which[l] < 0 || which[l] >= width) return false;
    for (int64_t k = 0; k < count; n -= sizes[k++]) {
      if (sizes[k] < 0 || sizes[k] > n) return false;
      for (int64_t l = 0; l < leaves; ++l)
        if (sizes[k] && !place(k, l)) return false;
    }
    return n == 0;
  }
};

}  // namespace metadescent
