// The update of `blend`, tensor by tensor: while one is worked on its arrays are in the core's cache.
//
//   1  m_.9, m_.99 and v renewed, `ahead` to where g will be, and means over the coordinates
//   2  of a matrix: `ahead` whitened in its place
//   3  the network on what the means say, and then u, in its place
//   4  g = u times a number
//
// Sums are of vectors within CHUNK coordinates and of doubles beyond, in an order that does not
// depend on threads: nor does the result, to the last bit. `metadescent/optimizers/blend.py` is the
// reference in JAX.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "blend_network.h"
#include "threads.h"
#include "whiten.h"

namespace metadescent {

constexpr int64_t CHUNK = 8192;
// Coordinates of a tensor that several threads share.
constexpr int64_t LARGE = 1 << 17;

// Within, denormal numbers are 0, as XLA has them; they would also be slow.
class Flushing {
 public:
#if defined(__SSE__)
  Flushing() : before_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(before_ | 0x8040); }
  ~Flushing() { __builtin_ia32_ldmxcsr(before_); }

 private:
  const unsigned before_;
#endif
};

// Call a function of where a vector begins and how many coordinates it has, which is known to the
// compiler but for the last one.
template <class Function>
inline void vectors(int64_t begin, int64_t end, Function function) {
  int64_t i = begin;
  for (; i + LANES <= end; i += LANES) function(i, std::integral_constant<int64_t, LANES>{});
  if (i < end) function(i, end - i);
}

inline double total(Vector v) {
  double sum = 0.0;
  for (int l = 0; l < LANES; ++l) sum += v[l];
  return sum;
}

// Step 1, of one chunk.
inline Sums renew(const Tensor& t, int64_t begin, int64_t end) {
  typedef int32_t Bits __attribute__((vector_size(LANES * sizeof(int32_t))));
  const Numbers& c = t.numbers();
  const float to_ahead = c.fast / c.weight_fast, to_root = 1.0f / c.weight_square;
  Vector sum[Sums::COUNT] = {};
  vectors(begin, end, [&](int64_t i, auto n) {
    const Vector gradient = load_some(t.gradient + i, n), theta = load_some(t.theta + i, n);
    const Vector before = load_some(t.fast + i, n);
    const Vector fast = c.fast * before + c.to_fast * gradient;
    const Vector slow = c.slow * load_some(t.slow + i, n) + c.to_slow * gradient;
    const Vector square =
        c.square * load_some(t.square + i, n) + c.to_square * gradient * gradient;
    const Vector root = rsqrt(square * to_root + c.tiny);
    const Vector ahead = to_ahead * fast + c.to_fast * gradient;
    const Vector adam = root * ahead, slow_adam = root * slow;
    store_some(t.fast_after + i, fast, n);
    store_some(t.slow_after + i, slow, n);
    store_some(t.square_after + i, square, n);
    store_some(t.g + i, ahead, n);
    sum[Sums::SQUARE] += gradient * gradient;
    sum[Sums::ALONG] += gradient * before;
    sum[Sums::BEFORE] += before * before;
    sum[Sums::FAST] += fast * fast;
    sum[Sums::SLOW] += slow * slow;
    sum[Sums::ABSOLUTE] += (Vector)((Bits)gradient & 0x7fffffff);
    sum[Sums::THETA] += theta * theta;
    sum[Sums::ADAM] += adam * adam;
    sum[Sums::SLOW_ADAM] += slow_adam * slow_adam;
  });
  Sums sums;
  for (int s = 0; s < Sums::COUNT; ++s) sums.of[s] = total(sum[s]);
  return sums;
}

// Step 3 of one chunk; returns Σ u².
inline double mix(const Tensor& t, const Mix& mix, int64_t begin, int64_t end) {
  const Numbers& c = t.numbers();
  const float to_root = 1.0f / c.weight_square;
  Vector sum{};
  vectors(begin, end, [&](int64_t i, auto n) {
    const Vector root = rsqrt(load_some(t.square_after + i, n) * to_root + c.tiny);
    Vector u = mix.fast * load_some(t.fast_after + i, n) +
               mix.gradient * load_some(t.gradient + i, n) +
               mix.slow * load_some(t.slow_after + i, n);
    u *= root;
    // What is not a number in a place that is not looked at stays out.
    if (t.is_matrix) u += mix.white * load_some(t.g + i, n);
    store_some(t.g + i, u, n);
    sum += u * u;
  });
  return total(sum);
}

// Step 4 of one chunk.
inline void lengthen(const Tensor& t, float scale, int64_t begin, int64_t end) {
  vectors(begin, end, [&](int64_t i, auto n) {
    store_some(t.g + i, scale * load_some(t.g + i, n), n);
  });
}

// A number of a buffer as a count, whatever it is.
inline int64_t counted(float x, int64_t most) {
  return x >= 1.0f && x <= static_cast<float>(most) ? static_cast<int64_t>(x) : most;
}

// Step 2; returns the sum of squares of what is white, in places where `ahead` is 0 too. Its parts are
// independent and handed to `for_all(count, worker)`, which may have threads; a worker is called on each
// of them, for a function of one index.
template <class ForAll>
double whiten(const Tensor& t, ForAll for_all) {
  const Numbers& c = t.numbers();
  const Blocks blocks(t.rows, t.columns, counted(c.rows, BLOCK));
  const int64_t iterations = counted(c.iterations, 32);
  // Pieces are as long as makes a sum of products much smaller than what it is of.
  const int64_t piece = 16 * BLOCK, pieces = (blocks.length + piece - 1) / piece;
  // Of a wide matrix each block is in one place; of a tall one all blocks of some rows are.
  const int64_t items = blocks.is_wide ? blocks.count * pieces : pieces;
  const auto each_piece = [&](auto function) {
    for_all(items, [&, function] {
      return [&, function, own = std::make_shared<Whitener>()](int64_t item) {
        const Flushing flushing;
        const int64_t k = item % pieces, begin = k * piece;
        const int64_t end = std::min(blocks.length, begin + piece);
        const int64_t first = blocks.is_wide ? item / pieces : 0;
        for (int64_t b = first; b < (blocks.is_wide ? first + 1 : blocks.count); ++b)
          function(*own, b, b * pieces + k, begin, end);
      };
    });
  };

  std::vector<Square> grams(blocks.count * pieces);
  each_piece([&](Whitener& own, int64_t b, int64_t part, int64_t begin, int64_t end) {
    own.gram(grams[part], t.g, blocks, b, begin, end);
  });
  for_all(blocks.count, [&] {
    return [&, own = std::make_shared<Whitener>()](int64_t b) {
      const Flushing flushing;
      Square& sum = grams[b * pieces];
      for (int64_t k = 1; k < pieces; ++k)
        for (int64_t i = 0; i < BLOCK * BLOCK; ++i) sum.x[i] += grams[b * pieces + k].x[i];
      own->root(sum, blocks.height_of(b), c.coefficients, iterations, c.tiny);
    };
  });
  std::vector<double> squares(blocks.count * pieces);
  each_piece([&](Whitener& own, int64_t b, int64_t part, int64_t begin, int64_t end) {
    squares[part] = own.apply(grams[b * pieces], t.g, blocks, b, begin, end);
  });
  double sum = 0.0;
  for (const double part : squares) sum += part;
  return sum;
}

// One tensor, all of it.
template <class ForAll>
void update_tensor(const Tensor& t, ForAll for_all) {
  const int64_t size = t.size(), chunks = (size + CHUNK - 1) / CHUNK;
  const auto each_chunk = [&](auto function) {
    for_all(chunks, [&, function] {
      return [&, function](int64_t k) {
        const Flushing flushing;
        function(k, k * CHUNK, std::min(size, (k + 1) * CHUNK));
      };
    });
  };

  std::vector<Sums> parts(chunks);
  each_chunk([&](int64_t k, int64_t begin, int64_t end) { parts[k] = renew(t, begin, end); });
  Sums sums;
  for (const Sums& part : parts)
    for (int s = 0; s < Sums::COUNT; ++s) sums.of[s] += part.of[s];

  const double white = t.is_matrix && size ? whiten(t, for_all) : 0.0;
  const Mix decided = [&] {
    const Flushing flushing;
    return decide(t, sums, white);
  }();
  std::vector<double> squares(chunks);
  each_chunk([&](int64_t k, int64_t begin, int64_t end) {
    squares[k] = mix(t, decided, begin, end);
  });
  double square = 0.0;
  for (const double part : squares) square += part;
  const float scale = -decided.scale * unit(square, size);
  each_chunk([&](int64_t, int64_t begin, int64_t end) { lengthen(t, scale, begin, end); });
}

// All tensors: large ones after each other, whose parts are shared out; of the others each is one
// thread's, several together where they are small.
template <class Pool>
void update_tensors(Pool& pool, const std::vector<Tensor>& tensors) {
  std::vector<const Tensor*> small;
  std::vector<size_t> begins{0};
  int64_t together = 0;
  for (const Tensor& t : tensors) {
    if (t.size() >= LARGE) {
      update_tensor(t, [&](int64_t count, auto worker) { for_each(pool, count, worker); });
      continue;
    }
    small.push_back(&t);
    // What a tensor costs beside its coordinates is worth some hundreds of these.
    together += t.size() + 256;
    if (together >= CHUNK) begins.push_back(small.size()), together = 0;
  }
  if (begins.back() < small.size()) begins.push_back(small.size());
  for_each(pool, static_cast<int64_t>(begins.size()) - 1, [&] {
    return [&](int64_t index) {
      for (size_t k = begins[index]; k < begins[index + 1]; ++k)
        update_tensor(*small[k], [](int64_t count, auto worker) {
          auto run = worker();
          for (int64_t i = 0; i < count; ++i) run(i);
        });
    };
  });
}

}  // namespace metadescent
