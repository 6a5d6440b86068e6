// Convolutions of stride 1 on images × height × width × channels, as two XLA custom calls.
//
//   slide        y[n, i, j, o] = Σ x[n, i + a, j + b, c] w[a, b, c, o]
//   slide_pull   dw[a, b, c, o] = Σ x[n, i + a, j + b, c] dy[n, i, j, o]
//
// with zeros around x. The derivative in x is the first, with the window turned round. All may have
// further axes in front: that many separate convolutions.
//
// `problems/native/convolution.py` calls this; `problems/convolution.py` has the reference in JAX.

#include "convolution.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "given.h"
#include "threads.h"

namespace metadescent {
namespace {

// Axis −k of a shape.
int64_t size(const Shape& shape, size_t k) { return shape[shape.size() - k]; }

// See that x, a window and y fit, given the shapes of images, window and images after. An argument
// is read, the last one written.
template <class Look>
void look_at(Given& given, const Shape& x, const Shape& w, Look look) {
  given.require(x.size() >= 4 && x.size() == w.size(), "x and window must have four axes or more");
  if (!given.fits()) return;
  given.require(size(w, 4) % 2 == 1 && size(w, 3) % 2 == 1, "the sides of the window must be odd");
  const Shape front(x.begin(), x.end() - 4);
  look(joined(front, {size(w, 4), size(w, 3), size(x, 1), size(w, 1)}),
       joined(front, {size(x, 4), size(x, 3), size(x, 2), size(w, 1)}));
}

ffi::Error run_slide(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer w,
                     ffi::Result<ffi::AnyBuffer> y) {
  const Shape shape = shape_of(x), window = shape_of(w);
  Given given("slide");
  given.reads("x", x, shape);
  look_at(given, shape, window, [&](const Shape& ws, const Shape& ys) {
    given.reads("the window", w, ws);
    given.writes("y", *y, ys);
  });
  if (!given.fits()) return given.error();

  const Sizes s{size(shape, 3),  size(shape, 2),  size(shape, 1),
                size(window, 1), size(window, 4), size(window, 3)};
  const int64_t images = size(shape, 4), in = s.height * s.width * s.inputs,
                out = s.height * s.width * s.outputs, all = in ? x.element_count() / in : 0;
  // Of no channels the sums are 0.
  std::fill_n(y->typed_data<float>(), in ? 0 : y->element_count(), 0.0f);
  std::vector<std::vector<Vector>> packed;
  for (int64_t k = 0; k * images < all; ++k)
    packed.push_back(pack(s, w.typed_data<float>() + k * s.window() * s.outputs));
  const float* xs = x.typed_data<float>();
  float* ys = y->typed_data<float>();

  for_each(pool, all, [&] {
    return [&, padded = std::make_shared<std::vector<float>>(s.padded())](int64_t n) {
      pad(s, xs + n * in, padded->data());
      slide(s, padded->data(), packed[n / images].data(), ys + n * out);
    };
  });
  return ffi::Error::Success();
}

ffi::Error run_pull(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer dy,
                    ffi::Result<ffi::AnyBuffer> dw) {
  const Shape shape = shape_of(x), window = shape_of(*dw);
  Given given("slide_pull");
  given.reads("x", x, shape);
  look_at(given, shape, window, [&](const Shape& ws, const Shape& ys) {
    given.reads("dy", dy, ys);
    given.writes("dw", *dw, ws);
  });
  if (!given.fits()) return given.error();

  const Sizes s{size(shape, 3),  size(shape, 2),  size(shape, 1),
                size(window, 1), size(window, 4), size(window, 3)};
  const int64_t images = size(shape, 4), in = s.height * s.width * s.inputs,
                out = s.height * s.width * s.outputs, length = s.window() * s.outputs,
                batches = length ? dw->element_count() / length : 0;
  // The chunks, and the order in which they are added, do not depend on the number of threads.
  const int64_t chunks = std::min<int64_t>(16, images);
  std::vector<std::vector<Vector>> parts(batches * chunks);
  const float *xs = x.typed_data<float>(), *dys = dy.typed_data<float>();

  for_each(pool, batches * chunks, [&, chunks] {
    return [&, chunks, padded = std::make_shared<std::vector<float>>(s.padded())](int64_t index) {
      const int64_t k = index / chunks, chunk = index % chunks;
      auto& part = parts[index];
      part.assign(s.window() * s.vectors(), Vector{});
      for (int64_t n = chunk * images / chunks; n < (chunk + 1) * images / chunks; ++n) {
        pad(s, xs + (k * images + n) * in, padded->data());
        pull(s, padded->data(), dys + (k * images + n) * out, part.data());
      }
    };
  });

  float* to = dw->typed_data<float>();
  std::fill_n(to, dw->element_count(), 0.0f);
  for (int64_t index = 0; index < batches * chunks; ++index)
    unpack(s, parts[index].data(), to + index / chunks * length);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace metadescent

XLA_FFI_DEFINE_HANDLER_SYMBOL(metadescent_slide, metadescent::run_slide,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(metadescent_slide_pull, metadescent::run_pull,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
