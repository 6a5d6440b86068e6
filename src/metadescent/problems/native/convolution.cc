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

#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace metadescent {
namespace {

// Axis −k of a buffer.
int64_t size(const ffi::AnyBuffer& buffer, int64_t k) {
  const auto dimensions = buffer.dimensions();
  return dimensions[dimensions.size() - k];
}

ffi::Error run_slide(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer w,
                     ffi::Result<ffi::AnyBuffer> y) {
  const Sizes s{size(x, 3), size(x, 2), size(w, 2), size(w, 1), size(w, 4), size(w, 3)};
  const int64_t images = size(x, 4), in = s.height * s.width * s.inputs,
                out = s.height * s.width * s.outputs, all = in ? x.element_count() / in : 0;
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
  const Sizes s{size(x, 3), size(x, 2), size(x, 1), size(dy, 1), size(*dw, 4), size(*dw, 3)};
  const int64_t images = size(x, 4), in = s.height * s.width * s.inputs,
                out = s.height * s.width * s.outputs, window = s.window() * s.outputs,
                batches = window ? dw->element_count() / window : 0;
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
    unpack(s, parts[index].data(), to + index / chunks * window);
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
