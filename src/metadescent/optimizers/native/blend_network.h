// What `blend` knows of a tensor, and what its network makes of it: the figures after a step, and how
// directions are mixed. `metadescent/optimizers/blend_figures.py` is the reference in JAX.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace metadescent {

constexpr int64_t DIRECTIONS = 3, FEATURES = 14, FIGURES = 7, TRAITS = 4;

// What is not learned, and what step it is: `blend.py` beside this and
// `torch/native_blend.py` fill it in, in this order.
struct Numbers {
  float fast, to_fast, slow, to_slow, square, to_square;
  float weight_fast, weight_slow, weight_square, clock, factor;
  float kappa, farthest, ceiling, faint, tiny, log_depth, by_depth, by_aspect;
  float coefficients[3], iterations, rows;
};
constexpr int64_t NUMBERS = sizeof(Numbers) / sizeof(float);

struct Learned {
  const float *p, *W_1, *b_1, *W_2, *b_2;
  int64_t hidden;
};

// A tensor of h and θ, as a matrix if it has axes for that. Its traits are whether it has, log₁₀ n,
// log(k/n), n.
struct Tensor {
  const float *step, *gradient, *theta, *fast, *slow, *square, *traits, *figures;
  float *g, *fast_after, *slow_after, *square_after, *figures_after;
  int64_t rows, columns;
  bool is_matrix;
  // Whether its size is not among the figures yet, but is what it is now.
  bool is_new = false;
  Learned learned;

  const Numbers& numbers() const { return *reinterpret_cast<const Numbers*>(step); }
  int64_t size() const { return rows * columns; }
};

// Sums over coordinates: of those of `Means`, of θ², and of the squares of D_2 and D_3 without units.
struct Sums {
  enum Name { SQUARE, ALONG, BEFORE, FAST, SLOW, ABSOLUTE, THETA, ADAM, SLOW_ADAM, COUNT };
  double of[COUNT] = {};
};

// What a coordinate's direction is made of, once the network has spoken:
//   u = white · W + (fast m_.9 + gradient ∇ + slow m_.99) / √v
struct Mix {
  float white, fast, gradient, slow, scale;
};

// What makes a sum of squares over a tensor a mean of 1; where there is none, 1.
inline float unit(double squares, int64_t size) {
  const float mean = static_cast<float>(squares / std::max<int64_t>(size, 1));
  return mean > 0.0f ? 1.0f / std::sqrt(mean) : 1.0f;
}

// The figures after, and what the network makes of them: how directions are mixed.
inline Mix decide(const Tensor& t, const Sums& sums, double white) {
  const Numbers& c = t.numbers();
  const Learned& phi = t.learned;
  float mean[Sums::COUNT];
  for (int s = 0; s < Sums::COUNT; ++s)
    mean[s] = static_cast<float>(sums.of[s] / std::max<int64_t>(t.size(), 1));
  float size = std::sqrt(mean[Sums::THETA] + std::exp(2.0f * phi.p[1]) / t.traits[3]);
  size /= std::sqrt(1.0f + size / c.ceiling * (size / c.ceiling));

  const float *f = t.figures, length = f[4], start = t.is_new ? size : f[5];
  float* after = t.figures_after;
  const float root = 1.0f / std::sqrt(mean[Sums::SQUARE] + c.tiny);
  const float agrees = mean[Sums::ALONG] * root / std::sqrt(mean[Sums::BEFORE] + c.tiny);
  const float renewed[FIGURES] = {
      c.fast * f[0] + c.to_fast * agrees,
      c.slow * f[1] + c.to_slow * agrees,
      c.fast * f[2] + c.to_fast * mean[Sums::SQUARE],
      c.slow * f[3] + c.to_slow * mean[Sums::SQUARE],
      length,
      start,
      c.slow * f[6] + c.to_slow * mean[Sums::ABSOLUTE] * root,
  };
  const float square = renewed[3] / c.weight_slow + c.tiny;
  const float x[FEATURES] = {
      renewed[0],
      renewed[1] / c.weight_slow,
      0.5f * std::log10(mean[Sums::FAST] / (c.weight_fast * c.weight_fast) / square + 1e-6f),
      0.5f * std::log10(mean[Sums::SLOW] / (c.weight_slow * c.weight_slow) / square + 1e-6f),
      0.5f * std::log10((renewed[2] / c.weight_fast + c.tiny) / square),
      std::log10(size / start),
      std::log10(size),
      t.traits[0],
      t.traits[1] - 1.0f,
      c.clock,
      length,
      renewed[6] / c.weight_slow - 0.7f,
      c.log_depth / std::log(10.0f),
      t.traits[2] / 4.0f,
  };
  float out[DIRECTIONS + 2];
  std::copy_n(phi.b_2, DIRECTIONS + 2, out);
  for (int64_t h = 0; h < phi.hidden; ++h) {
    float z = phi.b_1[h];
    for (int64_t k = 0; k < FEATURES; ++k) z += phi.W_1[h * FEATURES + k] * x[k];
    z = std::tanh(z);
    for (int64_t k = 0; k < DIRECTIONS + 2; ++k) out[k] += phi.W_2[k * phi.hidden + h] * z;
  }
  float lasting = length + c.kappa * std::tanh(out[DIRECTIONS + 1]);
  lasting = lasting > c.farthest ? c.farthest : lasting < -c.farthest ? -c.farthest : lasting;
  std::copy_n(renewed, FIGURES, after);
  after[4] = lasting;
  const float r = std::exp(phi.p[0] + (lasting + out[DIRECTIONS]) - c.by_depth * c.log_depth +
                           0.5f * c.by_aspect * t.traits[2]);

  const float share = mean[Sums::FAST] / (c.weight_fast * c.weight_fast) /
                      (renewed[2] / c.weight_fast + c.tiny);
  const float strength = std::min(std::sqrt(share + c.tiny) / c.faint, 1.0f);
  const float adam = unit(sums.of[Sums::ADAM], t.size()) * (t.is_matrix ? out[1] : out[0] + out[1]);
  return {out[0] * unit(white, t.size()), adam * c.fast / c.weight_fast, adam * c.to_fast,
          out[2] * unit(sums.of[Sums::SLOW_ADAM], t.size()), r * c.factor * size * strength};
}

}  // namespace metadescent
