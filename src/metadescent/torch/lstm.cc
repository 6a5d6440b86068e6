// One step of the LSTM on rows of coordinates, for callers that have pointers and no XLA.
//
//   (g_t, h_{t+1}) = m(x_t, h_t, φ)
//
// `metadescent/torch/native.py` calls this; the arithmetic is that of JAX's kernel.

#include <cstdint>
#include <functional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "update.h"

namespace {

// Threads that are started for one call and have ended when it returns.
class Threads {
 public:
  explicit Threads(int64_t count) : count_(count) {}
  ~Threads() {
    for (std::thread& thread : threads_) thread.join();
  }
  int64_t num_threads() const { return count_; }
  void Schedule(std::function<void()> work) {
    try {
      threads_.emplace_back(std::move(work));
    } catch (const std::system_error&) {  // no thread to be had: the others do its work
    }
  }

 private:
  int64_t count_;
  std::vector<std::thread> threads_;
};

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
    for (int64_t i = 0; i < 2; ++i) {
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
  for (int64_t i = 0; i < 2 * layers; ++i) {
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
// (h, c) a layer, renewed where it lies, with rows as far apart in all of them. Returns 0, or what
// does not fit, and has then touched nothing: 1 x, 2 φ, 3 h, 4 memory that is another's too.
extern "C" int64_t metadescent_lstm_update(int64_t layers, const Matrix* phi, float scale,
                                           const Matrix* x, const Matrix* h, const Matrix* g,
                                           int64_t threads) noexcept {
  if (const int64_t what = wrong(layers, phi, *x, h, g)) return what;
  metadescent::Arguments given;
  std::vector<float*> after;
  for (int64_t l = 0; l < layers; ++l, phi += 3)
    given.phi.layers.emplace_back(phi[0].data, phi[1].data, phi[2].data, phi[0].columns,
                                  phi[1].columns, false);
  given.phi.output = g ? phi[0].data : nullptr;
  given.phi.bias = g ? *phi[1].data : 0.0f;
  given.phi.scale = scale;
  for (int64_t i = 0; i < 2 * layers; ++i) after.push_back(h[i].data);
  given.states.assign(after.begin(), after.end());
  Threads pool(threads);
  metadescent::update_all(pool, given, x->data, x->stride, g ? g->data : nullptr, after,
                          h[0].stride, x->columns);
  return 0;
}
