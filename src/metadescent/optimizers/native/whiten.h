// The nearest matrix with orthogonal rows of a block of at most BLOCK rows, or columns:
//
//   X ↦ (X Xᵀ)^(−1/2) X,  the root by a polynomial
//
// A matrix goes square by square of BLOCK × BLOCK numbers, which are brought together first: the
// products then read nothing that is out of line. `metadescent/optimizers/whitening.py` is the
// reference in JAX.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "vector.h"

namespace metadescent {

constexpr int64_t BLOCK = 32;
// Rows that a product has in registers, two vectors each.
constexpr int ROWS = LANES == 16 ? 8 : 4;

// BLOCK × BLOCK numbers, of which those beyond what is in use are 0 or anything.
struct alignas(64) Square {
  float x[BLOCK * BLOCK];
};

// out = Σ_k a[r][k] b[k][c], or of a's transpose, or in addition to what there is.
template <int VECTORS, bool TURNED, bool ADDED>
inline void multiply(float* out, const float* a, const float* b, int64_t K) {
  Vector sum[ROWS][VECTORS];
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECTORS; ++v)
      sum[r][v] = ADDED ? load(out + r * BLOCK + v * LANES) : Vector{};
  for (int64_t k = 0; k < K; ++k, b += BLOCK, a += TURNED ? BLOCK : 1) {
    Vector row[VECTORS];
    for (int v = 0; v < VECTORS; ++v) row[v] = load(b + v * LANES);
    for (int r = 0; r < ROWS; ++r)
      for (int v = 0; v < VECTORS; ++v) sum[r][v] += a[TURNED ? r : r * BLOCK] * row[v];
  }
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECTORS; ++v) store(out + r * BLOCK + v * LANES, sum[r][v]);
}

// The same, of `rows` × `columns`; of those that are symmetric the upper half is enough, and the
// squares of LANES on the diagonal.
template <bool TURNED, bool ADDED, bool UPPER>
inline void product(Square& out, const Square& a, const Square& b, int64_t rows, int64_t columns,
                    int64_t K) {
  for (int64_t r = 0; r < rows; r += ROWS)
    for (int64_t c = UPPER ? r / LANES * LANES : 0; c < columns; c += 2 * LANES) {
      const float* from = a.x + r * (TURNED ? 1 : BLOCK);
      float* to = out.x + r * BLOCK + c;
      if (columns - c > LANES)
        multiply<2, TURNED, ADDED>(to, from, b.x + c, K);
      else
        multiply<1, TURNED, ADDED>(to, from, b.x + c, K);
    }
}

// The transpose of LANES × LANES numbers. Each round rotates the digits of their binary addresses.
inline void turn(float* to, const float* from) {
  Vector a[LANES], b[LANES];
  for (int i = 0; i < LANES; ++i) a[i] = load(from + i * BLOCK);
  for (int round = 1; round < LANES; round *= 2) {
    for (int i = 0; i < LANES / 2; ++i) {
      b[i] = SHUFFLE(a[2 * i], a[2 * i + 1], EVEN);
      b[i + LANES / 2] = SHUFFLE(a[2 * i], a[2 * i + 1], ODD);
    }
    for (int i = 0; i < LANES; ++i) a[i] = b[i];
  }
  for (int i = 0; i < LANES; ++i) store(to + i * BLOCK, a[i]);
}

// The lower half of a symmetric matrix, from the upper.
inline void mirror(Square& square, int64_t h) {
  for (int64_t r = 0; r < h; r += LANES)
    for (int64_t c = r + LANES; c < h; c += LANES)
      turn(square.x + c * BLOCK + r, square.x + r * BLOCK + c);
}

// A product that is symmetric.
inline void symmetric(Square& out, const Square& a, const Square& b, int64_t h) {
  product<false, false, true>(out, a, b, h, h, h);
  mirror(out, h);
}

// Rows of a matrix, `stride` apart, into a square, which is 0 beyond them.
inline void pack(Square& square, const float* from, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < BLOCK; ++r, from += stride)
    for (int64_t c = 0; c < BLOCK; c += LANES) {
      const bool is_there = r < rows && c < columns;
      store(square.x + r * BLOCK + c, is_there ? load_some(from + c, columns - c) : Vector{});
    }
}

// Blocks of a matrix: of rows where it is wide, of columns where it is tall; as even as can be.
struct Blocks {
  int64_t stride, length, side, count, height;
  bool is_wide;

  Blocks(int64_t rows, int64_t columns, int64_t most)
      : stride(columns), length(std::max(rows, columns)), side(std::min(rows, columns)),
        count((side + most - 1) / most), height((side + count - 1) / std::max<int64_t>(count, 1)),
        is_wide(rows <= columns) {}

  // Even blocks may need fewer than `count`.
  int64_t height_of(int64_t block) const {
    return std::max<int64_t>(0, std::min(height, side - block * height));
  }
  // Where the part of a block that begins at `along` lies.
  int64_t place(int64_t block, int64_t along) const {
    return is_wide ? block * height * stride + along : along * stride + block * height;
  }
};

class Whitener {
 public:
  // X Xᵀ += of [begin, end) along a block.
  void gram(Square& sum, const float* x, const Blocks& blocks, int64_t block, int64_t begin,
            int64_t end) {
    const int64_t h = blocks.height_of(block);
    for (int64_t along = begin; along < end; along += BLOCK) {
      const int64_t n = std::min(BLOCK, end - along);
      bring(x, blocks, block, along, n);
      if (blocks.is_wide)
        for (int64_t r = 0; r < h; r += LANES)
          for (int64_t c = 0; c < n; c += LANES)
            turn(b_.x + c * BLOCK + r, a_.x + r * BLOCK + c);
      const Square& turned = blocks.is_wide ? b_ : a_;
      product<true, true, true>(sum, turned, turned, h, h, n);
    }
  }

  // The polynomial Q of a sum of `gram` for which Q X is white, in its place.
  void root(Square& gram, int64_t h, const float* coefficients, int64_t iterations, float tiny) {
    mirror(gram, h);
    float trace = 0.0f;
    for (int64_t i = 0; i < h; ++i) trace += gram.x[i * (BLOCK + 1)];
    // Below, products are denormal and too coarse: the polynomial could grow without end.
    const float whole = trace > tiny ? trace : 1.0f;
    each(h, [&](int64_t i) { store(gram.x + i, load(gram.x + i) / whole); });
    Square *root = &a_, *next = &b_;
    for (int64_t k = 0; k < iterations; ++k) {
      symmetric(c_, gram, gram, h);
      each(h, [&](int64_t i) {
        store(c_.x + i, coefficients[1] * load(gram.x + i) + coefficients[2] * load(c_.x + i));
      });
      for (int64_t i = 0; i < h; ++i) c_.x[i * (BLOCK + 1)] += coefficients[0];
      if (k == 0)
        each(h, [&](int64_t i) { store(root->x + i, load(c_.x + i)); });
      else
        symmetric(*next, c_, *root, h), std::swap(root, next);
      if (k + 1 < iterations) {
        symmetric(*next, c_, gram, h);
        symmetric(gram, *next, c_, h);
      }
    }
    const float scale = 1.0f / std::sqrt(whole);
    each(h, [&](int64_t i) { store(gram.x + i, load(root->x + i) * scale); });
  }

  // X ← Q X along a block, but 0 where X is; returns the sum of squares of Q X.
  double apply(const Square& root, float* x, const Blocks& blocks, int64_t block, int64_t begin,
               int64_t end) {
    const int64_t h = blocks.height_of(block);
    double squares = 0.0;
    for (int64_t along = begin; along < end; along += BLOCK) {
      const int64_t n = std::min(BLOCK, end - along);
      const int64_t rows = blocks.is_wide ? h : n, columns = blocks.is_wide ? n : h;
      bring(x, blocks, block, along, n);
      if (blocks.is_wide)
        product<false, false, false>(b_, root, a_, rows, columns, h);
      else
        product<false, false, false>(b_, a_, root, rows, columns, h);
      float* to = x + blocks.place(block, along);
      Vector sum{};
      for (int64_t r = 0; r < rows; ++r, to += blocks.stride)
        for (int64_t c = 0; c < columns; c += LANES) {
          const Vector was = load(a_.x + r * BLOCK + c), none{};
          const Vector white = load(b_.x + r * BLOCK + c);  // 0 beyond the last column
          sum += white * white;
          store_some(to + c, was == none ? none : white, columns - c);
        }
      for (int l = 0; l < LANES; ++l) squares += sum[l];
    }
    return squares;
  }

 private:
  void bring(const float* x, const Blocks& blocks, int64_t block, int64_t along, int64_t n) {
    const int64_t h = blocks.height_of(block);
    pack(a_, x + blocks.place(block, along), blocks.stride, blocks.is_wide ? h : n,
         blocks.is_wide ? n : h);
  }
  template <class Function>
  static void each(int64_t h, Function function) {
    for (int64_t r = 0; r < h; ++r)
      for (int64_t c = 0; c < h; c += LANES) function(r * BLOCK + c);
  }

  Square a_{}, b_{}, c_{};
};

}  // namespace metadescent
