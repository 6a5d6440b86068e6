// Sums over a window that slides over an image, in registers.
//
// An image is first copied with zeros around it, channel by channel within a row, so that pixels
// beside one another are so in memory: a register of output channels then takes one product with
// each of up to 16 pixels at fixed distances, and nothing but these sums is kept.

#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "vector.h"

namespace metadescent {

struct Sizes {
  int64_t height, width, inputs, outputs;  // of an image, and its channels before and after
  int64_t rows, columns;                   // of the window, both odd

  int64_t padded_width() const { return width + columns - 1; }
  int64_t padded_row() const { return inputs * padded_width(); }
  int64_t padded() const { return (height + rows - 1) * padded_row(); }
  int64_t vectors() const { return (outputs + LANES - 1) / LANES; }
  int64_t lanes() const { return vectors() * LANES; }
  int64_t window() const { return rows * inputs * columns; }
};

// x as rows × channels × columns, with zeros around.
inline void pad(const Sizes& s, const float* x, float* padded) {
  std::fill_n(padded, s.padded(), 0.0f);
  const int64_t wide = s.padded_width();
  for (int64_t i = 0; i < s.height; ++i)
    for (int64_t j = 0; j < s.width; ++j)
      for (int64_t c = 0; c < s.inputs; ++c)
        padded[((i + s.rows / 2) * s.inputs + c) * wide + j + s.columns / 2] =
            x[(i * s.width + j) * s.inputs + c];
}

// The window as rows × channels × columns × outputs, the latter filled up to whole registers.
inline std::vector<Vector> pack(const Sizes& s, const float* w) {
  std::vector<Vector> packed(s.window() * s.vectors(), Vector{});
  float* to = reinterpret_cast<float*>(packed.data());
  for (int64_t a = 0; a < s.rows; ++a)
    for (int64_t b = 0; b < s.columns; ++b)
      for (int64_t c = 0; c < s.inputs; ++c)
        for (int64_t o = 0; o < s.outputs; ++o)
          to[((a * s.inputs + c) * s.columns + b) * s.lanes() + o] =
              w[((a * s.columns + b) * s.inputs + c) * s.outputs + o];
  return packed;
}

// Adds a packed window to one that is not.
inline void unpack(const Sizes& s, const Vector* packed, float* w) {
  const float* from = reinterpret_cast<const float*>(packed);
  for (int64_t a = 0; a < s.rows; ++a)
    for (int64_t b = 0; b < s.columns; ++b)
      for (int64_t c = 0; c < s.inputs; ++c)
        for (int64_t o = 0; o < s.outputs; ++o)
          w[((a * s.columns + b) * s.inputs + c) * s.outputs + o] +=
              from[((a * s.inputs + c) * s.columns + b) * s.lanes() + o];
}

// y of PIXELS pixels beside one another, V registers of output channels each. `x` is where the
// window of the first pixel begins, `w` the packed window from the first of these channels on.
template <int PIXELS, int V>
void slide_pixels(const Sizes& s, const float* x, const Vector* w, float* y, int64_t left) {
  Vector sum[PIXELS][V] = {};
  for (int64_t a = 0; a < s.rows; ++a)
    for (int64_t c = 0; c < s.inputs; ++c) {
      const float* row = x + a * s.padded_row() + c * s.padded_width();
      for (int64_t b = 0; b < s.columns; ++b, ++row, w += s.vectors()) {
        // GCC would keep pixels of the last column in registers, from which broadcasts take longer.
        asm("" : "+r"(row));
        for (int v = 0; v < V; ++v) {
          const Vector weight = w[v];
          for (int p = 0; p < PIXELS; ++p) sum[p][v] += row[p] * weight;
        }
      }
    }
  for (int p = 0; p < PIXELS; ++p)
    for (int v = 0; v < V; ++v) store_some(y + p * s.outputs + v * LANES, sum[p][v], left - v * LANES);
}

template <int V>
void slide_row(const Sizes& s, const float* x, const Vector* w, float* y, int64_t left) {
  int64_t j = 0;
  const auto go = [&](auto pixels) {
    for (; j + pixels() <= s.width; j += pixels())
      slide_pixels<pixels(), V>(s, x + j, w, y + j * s.outputs, left);
  };
  go(std::integral_constant<int, 16 / V>{});
  go(std::integral_constant<int, 8 / V>{});
  go(std::integral_constant<int, 4>{});
  go(std::integral_constant<int, 1>{});
}

// y[i, j, o] = Σ x[i + a − rows/2, j + b − columns/2, c] w[a, b, c, o] for one image.
inline void slide(const Sizes& s, const float* padded, const Vector* w, float* y) {
  for (int64_t i = 0; i < s.height; ++i) {
    const float* x = padded + i * s.padded_row();
    float* to = y + i * s.width * s.outputs;
    int64_t v = 0;
    for (; v + 2 <= s.vectors(); v += 2)
      slide_row<2>(s, x, w + v, to + v * LANES, s.outputs - v * LANES);
    if (v < s.vectors()) slide_row<1>(s, x, w + v, to + v * LANES, s.outputs - v * LANES);
  }
}

// Adds Σ_ij x[i + a − …, j + b − …, c] dy[i, j, o] to the packed gradient of the window, for one
// image, row a of the window, CHANNELS channels from c and COLUMNS columns from b on.
template <int CHANNELS, int COLUMNS>
void pull_some(const Sizes& s, const float* padded, const float* dy, Vector* dw, int64_t a,
               int64_t c, int64_t b, int64_t v) {
  Vector sum[CHANNELS][COLUMNS] = {};
  const int64_t wide = s.padded_width(), left = s.outputs - v * LANES;
  for (int64_t i = 0; i < s.height; ++i) {
    const float* x = padded + (i + a) * s.padded_row() + c * wide + b;
    const float* from = dy + i * s.width * s.outputs + v * LANES;
    for (int64_t j = 0; j < s.width; ++j) {
      const Vector d = load_some(from + j * s.outputs, left);
      // GCC would keep sums that are not unrolled by now in memory.
#pragma GCC unroll 8
      for (int k = 0; k < CHANNELS; ++k)
#pragma GCC unroll 8
        for (int l = 0; l < COLUMNS; ++l) sum[k][l] += x[k * wide + j + l] * d;
    }
  }
#pragma GCC unroll 8
  for (int k = 0; k < CHANNELS; ++k)
#pragma GCC unroll 8
    for (int l = 0; l < COLUMNS; ++l)
      dw[((a * s.inputs + c + k) * s.columns + b + l) * s.vectors() + v] += sum[k][l];
}

template <int CHANNELS, int COLUMNS>
void pull_columns(const Sizes& s, const float* padded, const float* dy, Vector* dw, int64_t a,
                  int64_t b, int64_t v) {
  int64_t c = 0;
  for (; c + CHANNELS <= s.inputs; c += CHANNELS)
    pull_some<CHANNELS, COLUMNS>(s, padded, dy, dw, a, c, b, v);
  for (; c < s.inputs; ++c) pull_some<1, COLUMNS>(s, padded, dy, dw, a, c, b, v);
}

inline void pull(const Sizes& s, const float* padded, const float* dy, Vector* dw) {
  for (int64_t v = 0; v < s.vectors(); ++v)
    for (int64_t a = 0; a < s.rows; ++a) {
      int64_t b = 0;
      for (; b + 5 <= s.columns; b += 5) pull_columns<3, 5>(s, padded, dy, dw, a, b, v);
      for (; b + 3 <= s.columns; b += 3) pull_columns<5, 3>(s, padded, dy, dw, a, b, v);
      for (; b < s.columns; ++b) pull_columns<8, 1>(s, padded, dy, dw, a, b, v);
    }
}

}  // namespace metadescent
