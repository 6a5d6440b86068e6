// One step of `blend` for the tensors of a row, for callers that have pointers and no XLA.
//
// `metadescent/torch/native_blend.py` calls this; the arithmetic is that of JAX's kernel. Each tensor
// has a clock of its own.

#include "blend.h"

#include <cstdint>
#include <vector>

#include "places.h"

namespace {

using namespace metadescent;

enum Leaf { AT_FAST, AT_SLOW, AT_SQUARE, AT_FIGURES, AT_T, LEAVES };

// A tensor as a matrix, and where its ∇, θ and g lie without gaps.
struct Array {
  int64_t is_matrix, rows, columns;
  const float *gradient, *theta;
  float* g;

  bool fits(int64_t size) const {
    int64_t product;
    return rows >= 0 && columns >= 0 && !__builtin_mul_overflow(rows, columns, &product) &&
           product == size && (!size || (gradient && theta && g));
  }
};

// What does not fit, or 0.
int64_t wrong(const Matrix* phi, const Parts& h, const Array* arrays, const Matrix& numbers,
              const Matrix& traits) {
  const int64_t hidden = phi[2].columns, outputs = DIRECTIONS + 2;
  const int64_t sides[5][2] = {
      {1, 2}, {hidden, FEATURES}, {1, hidden}, {outputs, hidden}, {1, outputs}};
  for (int64_t i = 0; i < 5; ++i)
    if (hidden < 1 || !phi[i].is(sides[i][0], sides[i][1]) ||
        (sides[i][0] > 1 && phi[i].stride != sides[i][1]))
      return 1;
  int64_t n = 0;
  for (int64_t k = 0; k < h.count; ++k)
    if (h.sizes[k] < 0 || __builtin_add_overflow(n, h.sizes[k], &n)) return 2;
  if (h.count < 0 || h.leaves != LEAVES || !h.fit(n)) return 2;
  for (int64_t k = 0; k < h.count; ++k) {
    if (!h.place(k, AT_FIGURES) || !h.place(k, AT_T)) return 2;
    if (!arrays[k].fits(h.sizes[k])) return 3;
  }
  if (!numbers.is(h.count, NUMBERS) || (h.count > 1 && numbers.stride != NUMBERS)) return 4;
  if (!traits.is(h.count, TRAITS) || (h.count > 1 && traits.stride != TRAITS)) return 4;
  return 0;
}

}  // namespace

// φ is (p, W₁, b₁, W₂, b₂). h is m_.9, m_.99, v, the figures and t of each tensor, and is renewed where
// it lies; numbers and traits have a row for each. Returns 0, or what does not fit, and has then touched
// nothing: 1 φ, 2 h, 3 ∇, θ or g, 4 numbers or traits.
extern "C" int64_t metadescent_blend_step(const Matrix* phi, const Parts* h, const Array* arrays,
                                          const Matrix* numbers, const Matrix* traits,
                                          int64_t threads) noexcept {
  if (const int64_t what = wrong(phi, *h, arrays, *numbers, *traits)) return what;
  const Learned learned{phi[0].data, phi[1].data, phi[2].data,
                        phi[3].data, phi[4].data, phi[2].columns};
  std::vector<Tensor> tensors(h->count);
  for (int64_t k = 0; k < h->count; ++k) {
    Tensor& t = tensors[k];
    const Array& array = arrays[k];
    t.step = numbers->data + k * NUMBERS;
    t.traits = traits->data + k * TRAITS;
    t.gradient = array.gradient, t.theta = array.theta, t.g = array.g;
    t.fast = t.fast_after = h->place(k, AT_FAST);
    t.slow = t.slow_after = h->place(k, AT_SLOW);
    t.square = t.square_after = h->place(k, AT_SQUARE);
    t.figures = t.figures_after = h->place(k, AT_FIGURES);
    t.rows = array.rows, t.columns = array.columns;
    t.is_matrix = array.is_matrix != 0;
    t.is_new = *h->place(k, AT_T) == 0.0f;
    t.learned = learned;
  }
  Threads pool(threads);
  update_tensors(pool, tensors);
  for (int64_t k = 0; k < h->count; ++k) *h->place(k, AT_T) += 1.0f;
  return 0;
}
