// A tile: WIDTH coordinates, side by side in every row. Memory for tiles, the way between them and
// whole matrices, and the two products that an LSTM and its gradient are made of.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "vector.h"

namespace metadescent {

// Numbers of one thread, aligned for vectors.
class Floats {
 public:
  explicit Floats(size_t count)
      : data_(static_cast<float*>(::operator new(count * sizeof(float), std::align_val_t(64)))) {
    std::memset(data_, 0, count * sizeof(float));
  }
  ~Floats() { ::operator delete(data_, std::align_val_t(64)); }
  Floats(const Floats&) = delete;
  float* take(size_t count) {
    float* taken = data_ + used_;
    used_ += count;
    return taken;
  }

 private:
  float* data_;
  size_t used_ = 0;
};

// Columns [begin, begin + count) of row-major matrices whose rows are `stride` long.
struct Window {
  int64_t stride, begin, count;
};

// Copy a window of a matrix into tiles that lie `tile` numbers apart. What is left of the last one
// becomes 0.
inline void gather(float* tiles, int64_t tile, const float* matrix, int64_t rows,
                   const Window& window) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = matrix + r * window.stride + window.begin;
    float* to = tiles + r * WIDTH;
    int64_t left = window.count;
    for (; left >= WIDTH; left -= WIDTH, row += WIDTH, to += tile)
      std::memcpy(to, row, WIDTH * sizeof(float));
    if (left > 0) {
      std::memcpy(to, row, left * sizeof(float));
      std::memset(to + left, 0, (WIDTH - left) * sizeof(float));
    }
  }
}

// Copy tiles back into the window.
inline void scatter(const float* tiles, int64_t tile, float* matrix, int64_t rows,
                    const Window& window) {
  for (int64_t r = 0; r < rows; ++r) {
    float* row = matrix + r * window.stride + window.begin;
    const float* from = tiles + r * WIDTH;
    int64_t left = window.count;
    for (; left >= WIDTH; left -= WIDTH, row += WIDTH, from += tile)
      std::memcpy(row, from, WIDTH * sizeof(float));
    if (left > 0) std::memcpy(row, from, left * sizeof(float));
  }
}

// out[ROWS] = Σ_k w[k][ROWS] x[k], one tile wide.
template <int ROWS>
inline void product(Vector (&out)[ROWS][VECTORS], const float* w, const float* x, int64_t K) {
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECTORS; ++v) out[r][v] = Vector{};
  for (int64_t k = 0; k < K; ++k, w += ROWS, x += WIDTH) {
    Vector xs[VECTORS];
    for (int v = 0; v < VECTORS; ++v) xs[v] = load(x + v * LANES);
    for (int r = 0; r < ROWS; ++r)
      for (int v = 0; v < VECTORS; ++v) out[r][v] += w[r] * xs[v];
  }
}

// out[r][k] += Σ_t Σ_lanes dz[t][r] x[t][k] for 4 rows r and COLUMNS columns k.
template <int COLUMNS>
inline void outer(float* out, int64_t stride, const float* dz, int64_t dz_step, const float* x,
                  int64_t x_step, int64_t T) {
  Vector sum[4 * COLUMNS];
  for (auto& s : sum) s = Vector{};
  for (int64_t t = 0; t < T; ++t, dz += dz_step, x += x_step)
    for (int v = 0; v < VECTORS; ++v) {
      Vector xs[COLUMNS];
      for (int k = 0; k < COLUMNS; ++k) xs[k] = load(x + k * WIDTH + v * LANES);
      for (int r = 0; r < 4; ++r) {
        const Vector d = load(dz + r * WIDTH + v * LANES);
        for (int k = 0; k < COLUMNS; ++k) sum[r * COLUMNS + k] += d * xs[k];
      }
    }
  for (int begin = 0; begin < 4 * COLUMNS; begin += LANES) {
    Vector part[LANES];
    for (int i = 0; i < LANES; ++i) part[i] = begin + i < 4 * COLUMNS ? sum[begin + i] : Vector{};
    const Vector total = sums(part);
    for (int i = 0; i < LANES && begin + i < 4 * COLUMNS; ++i) {
      const int r = (begin + i) / COLUMNS, k = (begin + i) % COLUMNS;
      out[r * stride + k] += total[i];
    }
  }
}

}  // namespace metadescent
