// One step of one tile:  (g_t, h_{t+1}) = m(x_t, h_t, φ).

#pragma once

#include <memory>

#include "layer.h"
#include "threads.h"

namespace metadescent {

// Tiles fetched and returned together. A matrix row is as long as θ, so each is on a page of its
// own: longer visits to a page are fewer.
constexpr int SPAN = 4;

// Where h of coordinates [begin, begin + count) is fetched from and returned to, leaf by leaf. It is
// no parameter of a template: with two kinds of it the compiler would not put a layer's step in place.
class Memory {
 public:
  virtual void gather(float* tiles, int64_t tile, size_t leaf, int64_t rows, int64_t begin,
                      int64_t count) const = 0;
  virtual void scatter(const float* tiles, int64_t tile, size_t leaf, int64_t rows, int64_t begin,
                       int64_t count) const = 0;

 protected:
  ~Memory() = default;
};

// h before and after of all coordinates, each leaf a matrix, with rows `stride` apart.
class Whole final : public Memory {
 public:
  Whole(const std::vector<const float*>& before, const std::vector<float*>& after, int64_t stride)
      : before_(before), after_(after), stride_(stride) {}
  void gather(float* tiles, int64_t tile, size_t leaf, int64_t rows, int64_t begin,
              int64_t count) const override {
    metadescent::gather(tiles, tile, before_[leaf], rows, {stride_, begin, count});
  }
  void scatter(const float* tiles, int64_t tile, size_t leaf, int64_t rows, int64_t begin,
               int64_t count) const override {
    metadescent::scatter(tiles, tile, after_[leaf], rows, {stride_, begin, count});
  }

 private:
  const std::vector<const float*>& before_;
  const std::vector<float*>& after_;
  const int64_t stride_;
};

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

  // Coordinates [begin, begin + count); x, g, if wanted, and h are those of all.
  void run(const float* x, int64_t x_stride, float* g, const Memory& h, int64_t begin,
           int64_t count) {
    const int64_t tiles = (count + WIDTH - 1) / WIDTH;
    for (size_t l = 0; l < phi_.layers.size(); ++l) {
      const Layer& layer = phi_.layers[l];
      const int64_t columns = layer.columns * WIDTH, hidden = layer.hidden * WIDTH;
      if (l == 0)
        gather(x_[0], columns, x, layer.inputs, {x_stride, begin, count});
      h.gather(x_[l] + layer.inputs * WIDTH, columns, 2 * l, layer.hidden, begin, count);
      h.gather(c_[l], hidden, 2 * l + 1, layer.hidden, begin, count);
      for (int64_t i = 0; i < tiles; ++i) {
        const Step step{x_[l] + i * columns, nullptr, c_[l] + i * hidden, nullptr};
        if (l > 0)
          std::memcpy(step.x, h_[l - 1] + i * layer.inputs * WIDTH,
                      layer.inputs * WIDTH * sizeof(float));
        forward<false>(layer, step, step.c, h_[l] + i * hidden);
      }
      h.scatter(h_[l], hidden, 2 * l, layer.hidden, begin, count);
      h.scatter(c_[l], hidden, 2 * l + 1, layer.hidden, begin, count);
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
    scatter(g_, WIDTH, g, 1, {0, begin, count});
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

// One step of n coordinates. h after may lie where h before does.
template <typename Pool>
void update_all(Pool& pool, const Phi& phi, const float* x, int64_t x_stride, float* g,
                const Memory& h, int64_t n) {
  // Enough chunks to share out evenly, few enough that handing them out costs nothing.
  const int64_t width = SPAN * WIDTH, spans = (n + width - 1) / width;
  const int64_t chunk = std::max<int64_t>(1, std::min<int64_t>(16, spans / 16));

  for_each(pool, (spans + chunk - 1) / chunk, [&, chunk] {
    return [&, chunk, scratch = std::make_shared<Scratch>(phi)](int64_t index) {
      for (int64_t span = index * chunk; span < std::min(spans, (index + 1) * chunk); ++span)
        scratch->run(x, x_stride, g, h, span * width, std::min(width, n - span * width));
    };
  });
}

}  // namespace metadescent
