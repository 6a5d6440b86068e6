// One step of the LSTM on rows of coordinates, for callers that have pointers and no XLA.
//
//   (g_t, h_{t+1}) = m(x_t, h_t, φ)
//
// `metadescent/torch/native.py` calls this; the arithmetic is that of JAX's kernel.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "places.h"
#include "update.h"

namespace {

using metadescent::Matrix;
using metadescent::Parts;

// Parts, for tiles that may have coordinates of several.
class Apart final : public metadescent::Memory {
 public:
  explicit Apart(const Parts& parts) : parts_(parts), starts_{0} {
    for (int64_t k = 0; k < parts.count; ++k) starts_.push_back(starts_.back() + parts.sizes[k]);
  }
  void gather(float* tiles, int64_t tile, size_t leaf, int64_t rows, int64_t begin,
              int64_t count) const override {
    each(leaf, begin, count, [&](float* part, int64_t size, int64_t at, int64_t n) {
      float* to = tiles + at / metadescent::WIDTH * tile + at % metadescent::WIDTH;
      for (int64_t r = 0; r < rows; ++r, part += size, to += metadescent::WIDTH)
        std::memcpy(to, part, n * sizeof(float));
    });
    if (const int64_t last = count % metadescent::WIDTH)
      for (int64_t r = 0; r < rows; ++r)
        std::fill_n(tiles + count / metadescent::WIDTH * tile + r * metadescent::WIDTH + last,
                    metadescent::WIDTH - last, 0.0f);
  }
  void scatter(const float* tiles, int64_t tile, size_t leaf, int64_t rows, int64_t begin,
               int64_t count) const override {
    each(leaf, begin, count, [&](float* part, int64_t size, int64_t at, int64_t n) {
      const float* from = tiles + at / metadescent::WIDTH * tile + at % metadescent::WIDTH;
      for (int64_t r = 0; r < rows; ++r, part += size, from += metadescent::WIDTH)
        std::memcpy(part, from, n * sizeof(float));
    });
  }

 private:
  // Call a function of every piece that one parameter and one tile share.
  template <typename Function>
  void each(size_t leaf, int64_t begin, int64_t count, Function function) const {
    int64_t k = std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin() - 1;
    for (int64_t at = 0; at < count;) {
      while (starts_[k + 1] <= begin + at) ++k;
      const int64_t from = begin + at - starts_[k], size = parts_.sizes[k];
      const int64_t n =
          std::min({size - from, count - at, metadescent::WIDTH - at % metadescent::WIDTH});
      function(parts_.place(k, leaf) + from, size, at, n);
      at += n;
    }
  }

  const Parts& parts_;
  std::vector<int64_t> starts_;
};

// What does not fit, or 0.
int64_t wrong(int64_t layers, const Matrix* phi, const Matrix& x, const Matrix* h, const Matrix* g) {
  const int64_t n = x.columns;
  int64_t inputs = x.rows;
  if (layers < 1 || inputs < 1 || !x.is(inputs, n)) return 1;
  for (int64_t l = 0; l < layers; ++l, phi += 3) {
    const int64_t hidden = phi[1].columns;
    if (hidden < 1 || !phi[0].is(4 * hidden, inputs) || !phi[1].is(4 * hidden, hidden) ||
        !phi[2].is(1, 4 * hidden))
      return 2;
    for (int64_t i = 0; h && i < 2; ++i) {
      const Matrix& rows = h[2 * l + i];
      if (!rows.is(hidden, n) || !rows.is_apart()) return 3;
      if (rows.stride != h[0].stride && hidden > 1) return 3;
    }
    for (int64_t i = 0; i < 3; ++i)
      if (phi[i].rows > 1 && phi[i].stride != phi[i].columns) return 2;
    inputs = hidden;
  }
  if (g && (!phi[0].is(1, inputs) || !phi[1].is(1, 1))) return 2;
  if (g && (!g->is(1, n) || g->meets(x))) return 4;
  for (int64_t i = 0; h && i < 2 * layers; ++i) {
    if (h[i].meets(x) || (g && h[i].meets(*g))) return 4;
    for (const Matrix* p = phi - 3 * layers; p < phi + (g ? 2 : 0); ++p)
      if (h[i].meets(*p) || (g && g->meets(*p))) return 4;
    for (int64_t j = 0; j < i; ++j)
      if (h[i].meets(h[j])) return 4;
  }
  return 0;
}

}  // namespace

// φ is (weight_ih, weight_hh, bias) a layer, and the output's weight and bias unless g is null; h is
// (h, c) a layer, renewed where it lies: matrices with rows as far apart in all of them, or, where
// there is none, parts. Returns 0, or what does not fit, and has then touched nothing: 1 x, 2 φ, 3 h,
// 4 memory that is another's too.
extern "C" int64_t metadescent_lstm_update(int64_t layers, const Matrix* phi, float scale,
                                           const Matrix* x, const Matrix* h, const Parts* parts,
                                           const Matrix* g, int64_t threads) noexcept {
  if (const int64_t what = wrong(layers, phi, *x, h, g)) return what;
  if (!h && (parts->leaves != 2 * layers || !parts->fit(x->columns))) return 3;
  metadescent::Phi given;
  for (int64_t l = 0; l < layers; ++l, phi += 3)
    given.layers.emplace_back(phi[0].data, phi[1].data, phi[2].data, phi[0].columns,
                              phi[1].columns, false);
  given.output = g ? phi[0].data : nullptr;
  given.bias = g ? *phi[1].data : 0.0f;
  given.scale = scale;
  metadescent::Threads pool(threads);
  const auto update = [&](const metadescent::Memory& all) {
    metadescent::update_all(pool, given, x->data, x->stride, g ? g->data : nullptr, all, x->columns);
  };
  if (!h) {
    update(Apart(*parts));
    return 0;
  }
  std::vector<float*> after;
  for (int64_t i = 0; i < 2 * layers; ++i) after.push_back(h[i].data);
  const std::vector<const float*> before(after.begin(), after.end());
  update(metadescent::Whole(before, after, h[0].stride));
  return 0;
}

// The leaves `parts` side by side in one matrix of n columns, of which leaf l has rows[l] rows, or
// back from there. Returns 0, or 1 if this does not fit, and has then touched nothing.
extern "C" int64_t metadescent_bring(const Parts* parts, const int64_t* rows, float* matrix,
                                     int64_t n, int64_t back) noexcept {
  if (!parts->fit(n)) return 1;
  for (int64_t l = 0; l < parts->leaves; matrix += rows[l++] * n) {
    float* column = matrix;
    for (int64_t k = 0; k < parts->count; column += parts->sizes[k++]) {
      const int64_t size = parts->sizes[k];
      float* part = parts->place(k, l);
      for (int64_t row = 0; size && row < rows[l]; ++row, part += size) {
        float* there = column + row * n;
        std::memcpy(back ? part : there, back ? there : part, size * sizeof(float));
      }
    }
  }
  return 0;
}
