// One step of one tile:  (g_t, h_{t+1}) = m(x_t, h_t, φ).

#pragma once

#include <memory>

#include "layer.h"
#include "threads.h"

namespace metadescent {

// Tiles fetched and returned together. A matrix row is as long as θ, so each is on a page of its
// own: longer visits to a page are fewer.
constexpr int SPAN = 4;

// One thread's work: one step of SPAN tiles.
class Scratch {
 public:
  explicit Scratch(const Phi& phi) : phi_(phi), memory_(size(phi)) {
    for (const Layer& layer : phi.layers) {
      x_.push_back(memory_.take(SPAN * layer.columns * WIDTH));
      c_.push_back(memory_.take(SPAN * layer.hidden * WIDTH));
      h_.push_back(memory_.take(SPAN * layer.hidden * WIDTH));
      for (int64_t i = 0; i < SPAN; ++i)
        std::fill_n(x_.back() + ((i + 1) * layer.columns - 1) * WIDTH, WIDTH, 1.0f);
    }
    g_ = memory_.take(SPAN * WIDTH);
  }

  // x, whose rows may have another stride than h's, and g, if wanted, are those of all coordinates.
  void run(const Arguments& given, const float* x, int64_t x_stride, float* g,
           const std::vector<float*>& after, const Window& window) {
    const int64_t tiles = (window.count + WIDTH - 1) / WIDTH;
    for (size_t l = 0; l < phi_.layers.size(); ++l) {
      const Layer& layer = phi_.layers[l];
      const int64_t columns = layer.columns * WIDTH, hidden = layer.hidden * WIDTH;
      if (l == 0)
        gather(x_[0], columns, x, layer.inputs, {x_stride, window.begin, window.count});
      gather(x_[l] + layer.inputs * WIDTH, columns, given.states[2 * l], layer.hidden, window);
      gather(c_[l], hidden, given.states[2 * l + 1], layer.hidden, window);
      for (int64_t i = 0; i < tiles; ++i) {
        const Step step{x_[l] + i * columns, nullptr, c_[l] + i * hidden, nullptr};
        if (l > 0)
          std::memcpy(step.x, h_[l - 1] + i * layer.inputs * WIDTH,
                      layer.inputs * WIDTH * sizeof(float));
        forward<false>(layer, step, step.c, h_[l] + i * hidden);
      }
      scatter(h_[l], hidden, after[2 * l], layer.hidden, window);
      scatter(c_[l], hidden, after[2 * l + 1], layer.hidden, window);
    }
    if (g == nullptr) return;
    const int64_t hidden = phi_.layers.back().hidden;
    for (int64_t i = 0; i < tiles; ++i)
      for (int v = 0; v < VECTORS; ++v) {
        Vector sum = fill(phi_.bias);
        for (int64_t j = 0; j < hidden; ++j)
          sum += phi_.output[j] * load(h_.back() + (i * hidden + j) * WIDTH + v * LANES);
        store(g_ + i * WIDTH + v * LANES, phi_.scale * sum);
      }
    scatter(g_, WIDTH, g, 1, window);
  }

 private:
  static size_t size(const Phi& phi) {
    size_t size = SPAN * WIDTH;
    for (const Layer& layer : phi.layers) size += SPAN * (layer.columns + 2 * layer.hidden) * WIDTH;
    return size;
  }

  const Phi& phi_;
  Floats memory_;
  std::vector<float*> x_, c_, h_;
  float* g_;
};

// One step of n coordinates. `after` may be h before.
template <typename Pool>
void update_all(Pool& pool, const Arguments& given, const float* x, int64_t x_stride, float* g,
                const std::vector<float*>& after, int64_t stride, int64_t n) {
  // Enough chunks to share out evenly, few enough that handing them out costs nothing.
  const int64_t width = SPAN * WIDTH, spans = (n + width - 1) / width;
  const int64_t chunk = std::max<int64_t>(1, std::min<int64_t>(16, spans / 16));

  for_each(pool, (spans + chunk - 1) / chunk, [&, chunk] {
    return [&, chunk, scratch = std::make_shared<Scratch>(given.phi)](int64_t index) {
      for (int64_t span = index * chunk; span < std::min(spans, (index + 1) * chunk); ++span) {
        const Window window{stride, span * width, std::min(width, n - span * width)};
        scratch->run(given, x, x_stride, g, after, window);
      }
    };
  });
}

}  // namespace metadescent
