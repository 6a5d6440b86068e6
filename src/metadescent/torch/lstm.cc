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

}  // namespace

// φ is (weight_ih, weight_hh, bias) a layer, and the output's weight and bias unless g is null; h is
// (h, c) a layer, renewed where it lies. Rows of x and of h are as far apart as the strides say.
// `sizes` are those of x and of each layer.
extern "C" void metadescent_lstm_update(int64_t layers, const int64_t* sizes,
                                        const float* const* phi, float scale, const float* x,
                                        int64_t x_stride, float* const* h, int64_t h_stride,
                                        float* g, int64_t n, int64_t threads) noexcept {
  metadescent::Arguments given;
  for (int64_t l = 0; l < layers; ++l)
    given.phi.layers.emplace_back(phi[3 * l], phi[3 * l + 1], phi[3 * l + 2], sizes[l],
                                  sizes[l + 1], false);
  given.phi.output = g ? phi[3 * layers] : nullptr;
  given.phi.bias = g ? *phi[3 * layers + 1] : 0.0f;
  given.phi.scale = scale;
  given.states.assign(h, h + 2 * layers);
  Threads pool(threads);
  metadescent::update_all(pool, given, x, x_stride, g, {h, h + 2 * layers}, h_stride, n);
}
