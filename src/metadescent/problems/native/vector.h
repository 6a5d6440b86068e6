// As many floats as one register holds, and the functions on them that are not just arithmetic.

#pragma once

#include <cmath>
#include <cstdint>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace metadescent {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif defined(__AVX__)
constexpr int LANES = 8;
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
constexpr int LANES = 4;
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#endif
constexpr int VECTORS = 2;  // vectors a tile
constexpr int WIDTH = LANES * VECTORS;

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));

#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t Lanes __attribute__((vector_size(LANES * sizeof(int32_t))));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Lanes{__VA_ARGS__})
#endif

inline Vector load(const float* p) { return *reinterpret_cast<const Vector*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<Vector*>(p) = v; }
inline Vector fill(float x) { return Vector{} + x; }

// A register's worth of floats that lie anywhere; of the last ones there may be fewer.
typedef float Anywhere __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

#if defined(__AVX512F__)
inline __mmask16 first(int64_t count) { return (1u << count) - 1u; }

inline void store_some(float* p, Vector v, int64_t count) {
  if (count >= LANES) return void(*reinterpret_cast<Anywhere*>(p) = v);
  _mm512_mask_storeu_ps(p, first(count), (__m512)v);
}

inline Vector load_some(const float* p, int64_t count) {
  if (count >= LANES) return *reinterpret_cast<const Anywhere*>(p);
  return (Vector)_mm512_maskz_loadu_ps(first(count), p);
}
#else
inline void store_some(float* p, Vector v, int64_t count) {
  if (count >= LANES) return void(*reinterpret_cast<Anywhere*>(p) = v);
  for (int64_t l = 0; l < count; ++l) p[l] = v[l];
}

inline Vector load_some(const float* p, int64_t count) {
  if (count >= LANES) return *reinterpret_cast<const Anywhere*>(p);
  Vector v{};
  for (int64_t l = 0; l < count; ++l) v[l] = p[l];
  return v;
}
#endif

// 1/√x of positive numbers that are not denormal, to 2e-7 of it; of ∞ it may be 0 or no number.
inline Vector rsqrt(Vector x) {
#if defined(__AVX512F__)
  const Vector y = (Vector)_mm512_rsqrt14_ps((__m512)x);
  return y * (1.5f - 0.5f * x * y * y);
#elif defined(__AVX__)
  return 1.0f / (Vector)_mm256_sqrt_ps((__m256)x);
#else
  for (int l = 0; l < LANES; ++l) x[l] = 1.0f / std::sqrt(x[l]);
  return x;
#endif
}

// tanh(x) = x P(x²)/Q(x²), a rational fit whose relative error is 6e-9 on [-8, 8], before rounding;
// beyond, tanh is ±1 to within 2.3e-7. A NaN stays one.
inline Vector tanh(Vector x) {
  const Vector limit = fill(8.0f);
  x = x > limit ? limit : x;
  x = x < -limit ? -limit : x;
  const Vector u = x * x;
  const Vector p =
      (((u * 1.5230999e-08f + 2.189508e-05f) * u + 3.5716237e-03f) * u + 0.13444519f) * u + 1.0f;
  const Vector q =
      (((u * 8.522684e-07f + 3.411334e-04f) * u + 2.6164541e-02f) * u + 0.46777847f) * u + 1.0f;
  return x * p / q;
}

inline Vector sigmoid(Vector x) { return 0.5f * tanh(0.5f * x) + 0.5f; }

// The sums of LANES vectors, as the lanes of one.
inline Vector sums(Vector* v) {
  for (int count = LANES; count > 1; count /= 2)
    for (int i = 0; i < count / 2; ++i)
      v[i] = SHUFFLE(v[2 * i], v[2 * i + 1], EVEN) + SHUFFLE(v[2 * i], v[2 * i + 1], ODD);
  return v[0];
}

}  // namespace metadescent
