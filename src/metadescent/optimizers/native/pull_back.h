// All steps of one tile and back again:  Σ_t ⟨λ_t, ∂g_t/∂φ⟩; or one step of many tiles.

#pragma once

#include "layer.h"

namespace metadescent {

// φ's gradient from some of the tiles: [4·hidden][columns] a layer, then the output's weight and
// bias.
struct Gradient {
  std::vector<std::vector<float>> layers;
  std::vector<float> output;
  float bias = 0;
};

// The cotangents of h, c after a step, a layer; where those of x and of h, c before it go.
struct Ends {
  std::vector<const float*> after;
  float* dx;
  std::vector<float*> before;
};

// One thread's work: everything that T steps of one tile leave behind.
class Tape {
 public:
  Tape(const Phi& phi, int64_t T) : phi_(phi), T_(T), memory_(size(phi, T)) {
    for (const Layer& layer : phi.layers) {
      std::vector<Step> steps;
      for (int64_t t = 0; t <= T; ++t) {
        Step step;
        step.x = memory_.take(layer.columns * WIDTH);
        step.gates = memory_.take(4 * layer.hidden * WIDTH);
        step.c = memory_.take(layer.hidden * WIDTH);
        step.tanh_c = memory_.take(layer.hidden * WIDTH);
        std::fill_n(step.x + (layer.columns - 1) * WIDTH, WIDTH, 1.0f);
        steps.push_back(step);
      }
      steps_.push_back(steps);
      step_size_.push_back((layer.columns + 6 * layer.hidden) * WIDTH);
      dh_.push_back(memory_.take(layer.hidden * WIDTH));
      dc_.push_back(memory_.take(layer.hidden * WIDTH));
      below_.push_back(memory_.take(layer.inputs * WIDTH));
    }
    out_sum_ = memory_.take(phi.layers.back().hidden * WIDTH);
    bias_sum_ = memory_.take(WIDTH);
    lambda_ = memory_.take(T * WIDTH);
  }

  // T steps of one tile, from its h to the last step and back.
  void run(const Arguments& given, const float* x, const float* cotangents, const Window& window,
           Gradient& total) {
    gather(lambda_, 0, cotangents, T_, window);
    begin(given, 0, window);
    for (int64_t t = 0; t < T_; ++t) {
      for (int64_t i = 0; i < phi_.layers[0].inputs; ++i)
        gather(steps_[0][t].x + i * WIDTH, 0, x + (i * T_ + t) * window.stride, 1, window);
      ahead(t);
    }
    for (size_t l = 0; l < phi_.layers.size(); ++l) {
      std::memset(dh_[l], 0, phi_.layers[l].hidden * WIDTH * sizeof(float));
      std::memset(dc_[l], 0, phi_.layers[l].hidden * WIDTH * sizeof(float));
    }
    clear_sums();
    for (int64_t t = T_ - 1; t >= 0; --t) back(t, false);
    accumulate(total, T_);
  }

  // One step of up to T tiles, each in the place of a step: the weights' gradients, whose sums over
  // the lanes cost most, are again formed once for all of them. The window spans them.
  void run_abreast(const Arguments& given, const float* x, const float* cotangent, const Ends& ends,
                   const Window& window, Gradient& total) {
    clear_sums();
    int64_t t = 0;
    for (int64_t at = 0; at < window.count; at += WIDTH, ++t) {
      const Window tile{window.stride, window.begin + at,
                        std::min<int64_t>(WIDTH, window.count - at)};
      begin(given, t, tile);
      gather(lambda_ + t * WIDTH, 0, cotangent, 1, tile);
      gather(steps_[0][t].x, 0, x, phi_.layers[0].inputs, tile);
      ahead(t);
      for (size_t i = 0; i < ends.after.size(); ++i)
        gather((i % 2 ? dc_ : dh_)[i / 2], 0, ends.after[i], phi_.layers[i / 2].hidden, tile);
      back(t, true);
      scatter(below_[0], 0, ends.dx, phi_.layers[0].inputs, tile);
      for (size_t i = 0; i < ends.before.size(); ++i)
        scatter((i % 2 ? dc_ : dh_)[i / 2], 0, ends.before[i], phi_.layers[i / 2].hidden, tile);
    }
    accumulate(total, t);
  }

 private:
  static size_t size(const Phi& phi, int64_t T) {
    size_t size = (phi.layers.back().hidden + 1 + T) * WIDTH;
    for (const Layer& layer : phi.layers)
      size +=
          ((T + 1) * (layer.columns + 6 * layer.hidden) + 2 * layer.hidden + layer.inputs) * WIDTH;
    return size;
  }

  void clear_sums() {
    std::memset(out_sum_, 0, phi_.layers.back().hidden * WIDTH * sizeof(float));
    std::memset(bias_sum_, 0, WIDTH * sizeof(float));
  }

  // h and c before step t.
  void begin(const Arguments& given, int64_t t, const Window& window) {
    for (size_t l = 0; l < phi_.layers.size(); ++l) {
      const Layer& layer = phi_.layers[l];
      gather(steps_[l][t].x + layer.inputs * WIDTH, 0, given.states[2 * l], layer.hidden, window);
      gather(steps_[l][t].c, 0, given.states[2 * l + 1], layer.hidden, window);
    }
  }

  // Step t; what comes after it lies where step t + 1 begins.
  void ahead(int64_t t) {
    for (size_t l = 0; l < phi_.layers.size(); ++l) {
      const Layer& layer = phi_.layers[l];
      float* h = steps_[l][t + 1].x + layer.inputs * WIDTH;
      forward<true>(layer, steps_[l][t], steps_[l][t + 1].c, h);
      if (l + 1 < phi_.layers.size())
        std::memcpy(steps_[l + 1][t].x, h, layer.hidden * WIDTH * sizeof(float));
    }
  }

  // Back through step t: dh and dc after it become those before it.
  void back(int64_t t, bool want_dx) {
    readout(t);
    for (size_t l = phi_.layers.size(); l-- > 0;) {
      through_gates(l, t);
      through_weights(l, t, l > 0 || want_dx);
      if (l > 0)
        for (int64_t i = 0; i < phi_.layers[l].inputs * WIDTH; i += LANES)
          store(dh_[l - 1] + i, load(dh_[l - 1] + i) + load(below_[l] + i));
    }
  }

  // g = scale (w·h + b): λ_t reaches h of the last layer, and w and b.
  void readout(int64_t t) {
    const size_t last = phi_.layers.size() - 1;
    const Layer& layer = phi_.layers[last];
    const float* h = steps_[last][t + 1].x + layer.inputs * WIDTH;
    for (int v = 0; v < VECTORS; ++v) {
      const Vector dg = phi_.scale * load(lambda_ + t * WIDTH + v * LANES);
      store(bias_sum_ + v * LANES, load(bias_sum_ + v * LANES) + dg);
      for (int64_t j = 0; j < layer.hidden; ++j) {
        const int64_t at = j * WIDTH + v * LANES;
        store(dh_[last] + at, load(dh_[last] + at) + phi_.output[j] * dg);
        store(out_sum_ + at, load(out_sum_ + at) + load(h + at) * dg);
      }
    }
  }

  // dh, dc after → dz (in place of the gates), dc before.
  void through_gates(size_t l, int64_t t) {
    const Step& step = steps_[l][t];
    for (int64_t j = 0; j < phi_.layers[l].hidden; ++j)
      for (int v = 0; v < VECTORS; ++v) {
        const int64_t at = j * WIDTH + v * LANES;
        float* gates = step.gates + 4 * j * WIDTH + v * LANES;
        const Vector i = load(gates), f = load(gates + WIDTH), g = load(gates + 2 * WIDTH),
                     o = load(gates + 3 * WIDTH);
        const Vector c = load(step.c + at), tanh_c = load(step.tanh_c + at), dh = load(dh_[l] + at);
        const Vector dc = load(dc_[l] + at) + dh * o * (1.0f - tanh_c * tanh_c);
        store(gates, dc * g * i * (1.0f - i));
        store(gates + WIDTH, dc * c * f * (1.0f - f));
        store(gates + 2 * WIDTH, dc * i * (1.0f - g * g));
        store(gates + 3 * WIDTH, dh * tanh_c * o * (1.0f - o));
        store(dc_[l] + at, dc * f);
      }
  }

  // [dx; dh before] = Wᵀ dz.
  void through_weights(size_t l, int64_t t, bool want_dx) {
    const Layer& layer = phi_.layers[l];
    const float* dz = steps_[l][t].gates;
    const float* w = layer.backward.data();
    const int64_t rows = 4 * layer.hidden;
    for (int64_t column = 0; column < layer.inputs + layer.hidden;) {
      const int64_t group = layer.columns_at(column);
      if (want_dx || column >= layer.inputs) {
        float* out = column < layer.inputs ? below_[l] + column * WIDTH
                                           : dh_[l] + (column - layer.inputs) * WIDTH;
        group == 8   ? columns<8>(out, w, dz, rows)
        : group == 4 ? columns<4>(out, w, dz, rows)
                     : columns<1>(out, w, dz, rows);
      }
      w += group * rows;
      column += group;
    }
  }

  template <int COLUMNS>
  static void columns(float* out, const float* w, const float* dz, int64_t rows) {
    Vector sum[COLUMNS][VECTORS];
    product<COLUMNS>(sum, w, dz, rows);
    for (int k = 0; k < COLUMNS; ++k)
      for (int v = 0; v < VECTORS; ++v) store(out + k * WIDTH + v * LANES, sum[k][v]);
  }

  void accumulate(Gradient& total, int64_t steps) {
    for (size_t l = 0; l < phi_.layers.size(); ++l) {
      const Layer& layer = phi_.layers[l];
      const Step& first = steps_[l][0];
      const int64_t step = step_size_[l];
      for (int64_t row = 0; row < 4 * layer.hidden; row += 4)
        for (int64_t k = 0; k < layer.columns; k += 4) {
          float* out = total.layers[l].data() + row * layer.columns + k;
          const float *dz = first.gates + row * WIDTH, *x = first.x + k * WIDTH;
          switch (std::min<int64_t>(4, layer.columns - k)) {
            case 4:
              outer<4>(out, layer.columns, dz, step, x, step, steps);
              break;
            case 3:
              outer<3>(out, layer.columns, dz, step, x, step, steps);
              break;
            case 2:
              outer<2>(out, layer.columns, dz, step, x, step, steps);
              break;
            default:
              outer<1>(out, layer.columns, dz, step, x, step, steps);
          }
        }
    }
    for (size_t j = 0; j < total.output.size(); ++j)
      for (int i = 0; i < WIDTH; ++i) total.output[j] += out_sum_[j * WIDTH + i];
    for (int i = 0; i < WIDTH; ++i) total.bias += bias_sum_[i];
  }

  const Phi& phi_;
  int64_t T_;
  Floats memory_;
  std::vector<std::vector<Step>> steps_;
  std::vector<int64_t> step_size_;
  std::vector<float*> dh_, dc_, below_;
  float *out_sum_, *bias_sum_, *lambda_;
};

}  // namespace metadescent
