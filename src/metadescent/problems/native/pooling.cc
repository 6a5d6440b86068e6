// The maximum of each square of 2 × 2 places, and every channel's mean and variance, of images ×
// height × width × channels, as two XLA custom calls.
//
//   pool     m[n, i, j] = max z[n, 2i…2i+1, 2j…2j+1],   mean and variance over n and all places
//   unpool   dz = (dm, in equal parts, where z is the maximum)
//               + (dmean + 2 dvariance (z − mean)) / number of places
//
// All may have further axes in front: that many separate batches of images.
//
// `problems/native/pooling.py` calls this; `problems/pooling.py` has the reference in JAX.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "given.h"
#include "threads.h"
#include "vector.h"

namespace metadescent {
namespace {

struct Maps {
  int64_t images = 0, height = 0, width = 0, channels = 0, all = 0;  // images of a batch, and of all batches

  Shape whole, half, moments;  // of z, of its maxima, of a number for each channel

  Maps(Given& given, const ffi::AnyBuffer& z) : whole(shape_of(z)) {
    given.reads("z", z, whole);
    const size_t k = whole.size();
    given.require(k >= 4, "z must be images × height × width × channels");
    if (!given.fits()) return;
    images = whole[k - 4], height = whole[k - 3], width = whole[k - 2], channels = whole[k - 1];
    given.require(height % 2 == 0 && width % 2 == 0, "height and width must be even");
    const Shape front(whole.begin(), whole.end() - 4);
    half = joined(front, {images, height / 2, width / 2, channels});
    moments = joined(front, {channels});
    all = size() ? z.element_count() / size() : 0;
  }
  int64_t size() const { return height * width * channels; }
  int64_t places() const { return height * width; }
};

// A NaN among them stays one.
inline Vector larger(Vector a, Vector b) { return (a > b) | (a != a) ? a : b; }

// m of one image, and what its mean and its sum of squares about that mean are. Channels from c on.
void pool_image(const Maps& s, const float* z, float* m, float* mean, float* squares, int64_t c) {
  const int64_t left = s.channels - c, row = s.width * s.channels;
  Vector sum{}, about{};
  for (int64_t i = 0; i < s.height; i += 2)
    for (int64_t j = 0; j < s.width; j += 2) {
      const float* from = z + i * row + j * s.channels + c;
      const Vector a = load_some(from, left), b = load_some(from + s.channels, left),
                   d = load_some(from + row, left), e = load_some(from + row + s.channels, left);
      sum += (a + b) + (d + e);
      store_some(m + (i / 2 * (s.width / 2) + j / 2) * s.channels + c,
                 larger(larger(a, b), larger(d, e)), left);
    }
  const Vector middle = sum / static_cast<float>(s.places());
  for (int64_t p = 0; p < s.places(); ++p) {
    const Vector apart = load_some(z + p * s.channels + c, left) - middle;
    about += apart * apart;
  }
  store_some(mean + c, middle, left);
  store_some(squares + c, about, left);
}

ffi::Error run_pool(ffi::ThreadPool threads, ffi::AnyBuffer z, ffi::Result<ffi::AnyBuffer> m,
                    ffi::Result<ffi::AnyBuffer> mean, ffi::Result<ffi::AnyBuffer> variance) {
  Given given("pool");
  const Maps s(given, z);
  given.writes("the maxima", *m, s.half);
  given.writes("the means", *mean, s.moments);
  given.writes("the variances", *variance, s.moments);
  if (!given.fits()) return given.error();
  // Of no places there is no mean.
  for (ffi::Result<ffi::AnyBuffer> moment : {mean, variance})
    std::fill_n(moment->typed_data<float>(), s.all ? 0 : moment->element_count(),
                std::numeric_limits<float>::quiet_NaN());

  const float* from = z.typed_data<float>();
  float* to = m->typed_data<float>();
  std::vector<float> means(s.all * s.channels), squares(s.all * s.channels);
  for_each(threads, s.all, [&] {
    return [&](int64_t n) {
      for (int64_t c = 0; c < s.channels; c += LANES)
        pool_image(s, from + n * s.size(), to + n * (s.size() / 4), &means[n * s.channels],
                   &squares[n * s.channels], c);
    };
  });
  for (int64_t b = 0; b * s.images < s.all; ++b)
    for (int64_t c = 0; c < s.channels; ++c) {
      double sum = 0.0, about = 0.0;
      const auto at = [&](int64_t n) { return (b * s.images + n) * s.channels + c; };
      for (int64_t n = 0; n < s.images; ++n) sum += means[at(n)];
      const double middle = sum / s.images;
      for (int64_t n = 0; n < s.images; ++n) {
        const double apart = means[at(n)] - middle;
        about += squares[at(n)] / s.places() + apart * apart;
      }
      mean->typed_data<float>()[b * s.channels + c] = middle;
      variance->typed_data<float>()[b * s.channels + c] = about / s.images;
    }
  return ffi::Error::Success();
}

void unpool_image(const Maps& s, const float* z, const float* m, const float* dm, const float* mean,
                  const float* dmean, const float* dvariance, float* dz, int64_t c) {
  const int64_t left = s.channels - c, row = s.width * s.channels;
  const float count = static_cast<float>(s.places() * s.images);
  const Vector slope = load_some(dvariance + c, left) * (2.0f / count),
               level = load_some(dmean + c, left) / count - slope * load_some(mean + c, left);
  for (int64_t i = 0; i < s.height; i += 2)
    for (int64_t j = 0; j < s.width; j += 2) {
      const int64_t at = i * row + j * s.channels + c,
                    half = (i / 2 * (s.width / 2) + j / 2) * s.channels + c;
      const int64_t places[] = {at, at + s.channels, at + row, at + row + s.channels};
      const Vector top = load_some(m + half, left), one = fill(1.0f), none{};
      Vector value[4], number{};
      for (int k = 0; k < 4; ++k) {
        value[k] = load_some(z + places[k], left);
        number += value[k] == top ? one : none;
      }
      const Vector share = load_some(dm + half, left) / number;
      for (int k = 0; k < 4; ++k)
        store_some(dz + places[k], slope * value[k] + level + (value[k] == top ? share : none),
                   left);
    }
}

ffi::Error run_unpool(ffi::ThreadPool threads, ffi::AnyBuffer z, ffi::AnyBuffer m,
                      ffi::AnyBuffer mean, ffi::AnyBuffer dm, ffi::AnyBuffer dmean,
                      ffi::AnyBuffer dvariance, ffi::Result<ffi::AnyBuffer> dz) {
  Given given("unpool");
  const Maps s(given, z);
  given.reads("the maxima", m, s.half);
  given.reads("their cotangents", dm, s.half);
  given.reads("the means", mean, s.moments);
  given.reads("their cotangents", dmean, s.moments);
  given.reads("the variances' cotangents", dvariance, s.moments);
  given.writes("dz", *dz, s.whole);
  if (!given.fits()) return given.error();

  const auto data = [](const ffi::AnyBuffer& buffer) { return buffer.typed_data<float>(); };
  for_each(threads, s.all, [&] {
    return [&](int64_t n) {
      const int64_t whole = n * s.size(), half = whole / 4, channel = n / s.images * s.channels;
      for (int64_t c = 0; c < s.channels; c += LANES)
        unpool_image(s, data(z) + whole, data(m) + half, data(dm) + half, data(mean) + channel,
                     data(dmean) + channel, data(dvariance) + channel,
                     dz->typed_data<float>() + whole, c);
    };
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace metadescent

XLA_FFI_DEFINE_HANDLER_SYMBOL(metadescent_pool, metadescent::run_pool,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(metadescent_unpool, metadescent::run_unpool,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
