// φ packed for tiles, and one step of one layer:  (h, c) after = LSTM(x, h, c).

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tile.h"

namespace metadescent {

// One layer: z = W [x; h; 1], rows of z in the order i, f, g, o of unit 0, then of unit 1, …
struct Layer {
  int64_t inputs, hidden, columns;  // columns = inputs + hidden + 1
  std::vector<float> forward;       // [group of 2 units, or the last one][column][gate rows]
  std::vector<float> backward;      // [group of 8, 4 or 1 columns][gate row][column]

  Layer(const float* ih, const float* hh, const float* bias, int64_t inputs, int64_t hidden,
        bool differentiate)
      : inputs(inputs), hidden(hidden), columns(inputs + hidden + 1) {
    auto weight = [&](int64_t row, int64_t column) {
      const int64_t r = (row % 4) * hidden + row / 4;  // in φ the rows of a gate lie together
      if (column < inputs) return ih[r * inputs + column];
      if (column < inputs + hidden) return hh[r * hidden + column - inputs];
      return bias[r];
    };
    for (int64_t unit = 0; unit < hidden;) {
      const int64_t group = unit + 2 <= hidden ? 2 : 1;
      for (int64_t column = 0; column < columns; ++column)
        for (int64_t row = 4 * unit; row < 4 * (unit + group); ++row)
          forward.push_back(weight(row, column));
      unit += group;
    }
    for (int64_t column = 0; differentiate && column < inputs + hidden;) {
      const int64_t group = columns_at(column);
      for (int64_t row = 0; row < 4 * hidden; ++row)
        for (int64_t k = column; k < column + group; ++k) backward.push_back(weight(row, k));
      column += group;
    }
  }

  // Columns are taken 8, 4 or 1 at a time; h's begin a group of their own.
  int64_t columns_at(int64_t column) const {
    const int64_t left = (column < inputs ? inputs : inputs + hidden) - column;
    return left >= 8 ? 8 : left >= 4 ? 4 : 1;
  }
};

struct Phi {
  std::vector<Layer> layers;
  const float* output;
  float bias, scale;
};

// What one step of one tile leaves for the way back, for one layer.
struct Step {
  float* x;       // [columns]: x, h before, 1
  float* gates;   // [hidden][4]: i, f, g, o; on the way back dz
  float* c;       // [hidden]: before
  float* tanh_c;  // [hidden]: of c after
};

// z → gates → c, h for units [unit, unit + UNITS). c_after may be the c before.
template <int UNITS, bool KEEP>
inline void units(const Layer& layer, const float* w, int64_t unit, const Step& step,
                  float* c_after, float* h_after) {
  Vector z[4 * UNITS][VECTORS];
  product<4 * UNITS>(z, w, step.x, layer.columns);
  for (int u = 0; u < UNITS; ++u)
    for (int v = 0; v < VECTORS; ++v) {
      const int64_t at = (unit + u) * WIDTH + v * LANES;
      const Vector i = sigmoid(z[4 * u][v]), f = sigmoid(z[4 * u + 1][v]);
      const Vector g = tanh(z[4 * u + 2][v]), o = sigmoid(z[4 * u + 3][v]);
      const Vector c = f * load(step.c + at) + i * g;
      const Vector tanh_c = tanh(c);
      store(c_after + at, c);
      store(h_after + at, o * tanh_c);
      if (KEEP) {
        float* gates = step.gates + 4 * (unit + u) * WIDTH + v * LANES;
        store(gates, i), store(gates + WIDTH, f), store(gates + 2 * WIDTH, g),
            store(gates + 3 * WIDTH, o);
        store(step.tanh_c + at, tanh_c);
      }
    }
}

template <bool KEEP>
inline void forward(const Layer& layer, const Step& step, float* c_after, float* h_after) {
  const float* w = layer.forward.data();
  int64_t unit = 0;
  for (; unit + 2 <= layer.hidden; unit += 2, w += 8 * layer.columns)
    units<2, KEEP>(layer, w, unit, step, c_after, h_after);
  if (unit < layer.hidden) units<1, KEEP>(layer, w, unit, step, c_after, h_after);
}

// Arguments: φ as (weight_ih, weight_hh, bias) a layer, the output's weight and bias; then h, c a
// layer.
struct Arguments {
  Phi phi;
  std::vector<const float*> states;
};

}  // namespace metadescent
