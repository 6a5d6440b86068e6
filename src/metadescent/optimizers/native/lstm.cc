// The LSTM of section 2.1 on rows of coordinates, fused, as three XLA custom calls.
//
//   update      (g_t, h_{t+1}) = m(x_t, h_t, φ)            for n coordinates
//   pull_back   Σ_t ⟨λ_t, ∂g_t/∂φ⟩                         for n coordinates over T steps
//   vjp         cotangents of (g, h after) → of (φ, x, h)  for n coordinates
//
// Coordinates do not look at one another, so both go tile by tile of WIDTH coordinates, and all
// that a tile needs stays in the core's own cache. Within a tile the four gates of a hidden unit
// are computed together and never leave the registers before the nonlinearities have been applied.
// In pull_back the weights' gradients are formed once a tile, over all its steps, not once a step.
//
// `lstm.py` beside this calls it; `metadescent/optimizers/lstm.py` is the reference in JAX.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "given.h"
#include "pull_back.h"
#include "threads.h"
#include "update.h"

namespace metadescent {
namespace {

const float* data(const ffi::RemainingArgs& args, size_t i) {
  return args.get<ffi::AnyBuffer>(i)->typed_data<float>();
}
float* data(const ffi::RemainingRets& rets, size_t i) {
  return (*rets.get<ffi::AnyBuffer>(i))->typed_data<float>();
}

// How many layers there are, with 3 arrays of φ, 2 of h and `more` in each, and 2 of the output;
// 0 if that is not so.
size_t layers_of(const ffi::RemainingArgs& args, size_t more = 0) {
  const size_t each = 5 + more, size = args.size();
  return size > 2 && (size - 2) % each == 0 ? (size - 2) / each : 0;
}

// The shapes of φ and then of h, of layers as wide as their weight_hh says: `inputs` features of
// coordinates that lie in a shape of their own.
std::vector<Shape> shapes_of(const ffi::RemainingArgs& args, size_t layers, int64_t inputs,
                             const Shape& coordinates) {
  std::vector<Shape> phi, states;
  for (size_t l = 0; l < layers; ++l) {
    const Shape hh = shape_of(*args.get<ffi::AnyBuffer>(3 * l + 1));
    const int64_t hidden = hh.empty() ? 0 : hh.back();
    phi.insert(phi.end(), {{4 * hidden, inputs}, {4 * hidden, hidden}, {4 * hidden}});
    states.insert(states.end(), 2, joined({hidden}, coordinates));
    inputs = hidden;
  }
  phi.insert(phi.end(), {{1, inputs}, {1}});
  phi.insert(phi.end(), states.begin(), states.end());
  return phi;
}

std::string numbered(const char* what, size_t i) { return what + std::to_string(i); }

// See that φ and h are as they must be, given how many layers there are and the shape of x.
std::vector<Shape> look_at(Given& given, const ffi::RemainingArgs& args, size_t layers,
                           const Shape& x, const Shape& coordinates) {
  given.require(layers > 0, "this is no number of arrays that a stack of layers has");
  given.require(!x.empty() && x[0] > 0, "x has no features");
  if (!given.fits()) return {};
  const std::vector<Shape> shapes = shapes_of(args, layers, x[0], coordinates);
  for (size_t l = 0; l < layers; ++l)
    given.require(shapes[3 * l][0] > 0, numbered("there are no units in layer ", l));
  for (size_t i = 0; i < shapes.size(); ++i)
    given.reads(i < 3 * layers + 2 ? numbered("phi ", i) : numbered("h ", i - 3 * layers - 2),
                *args.get<ffi::AnyBuffer>(i), shapes[i]);
  return shapes;
}

Arguments read(const ffi::RemainingArgs& args, size_t layers, float scale, bool differentiate) {
  Arguments result;
  for (size_t l = 0; l < layers; ++l) {
    const auto shape = args.get<ffi::AnyBuffer>(3 * l)->dimensions();
    result.phi.layers.emplace_back(data(args, 3 * l), data(args, 3 * l + 1), data(args, 3 * l + 2),
                                   shape[1], shape[0] / 4, differentiate);
  }
  result.phi.output = data(args, 3 * layers);
  result.phi.bias = *data(args, 3 * layers + 1);
  result.phi.scale = scale;
  for (size_t i = 0; i < 2 * layers; ++i) result.states.push_back(data(args, 3 * layers + 2 + i));
  return result;
}

ffi::Error update(ffi::ThreadPool pool, float scale, ffi::AnyBuffer x, ffi::RemainingArgs args,
                  ffi::Result<ffi::AnyBuffer> g, ffi::RemainingRets rets) {
  const size_t layers = layers_of(args);
  const Shape shape = shape_of(x), coordinates(shape.begin() + !shape.empty(), shape.end());
  Given handed("lstm_update");
  handed.reads("x", x, shape);
  handed.require(rets.size() == 2 * layers, "there are not as many h after as before");
  const std::vector<Shape> shapes = look_at(handed, args, layers, shape, coordinates);
  handed.writes("g", *g, coordinates);
  for (size_t i = 0; handed.fits() && i < rets.size(); ++i)
    handed.writes(numbered("h after ", i), **rets.get<ffi::AnyBuffer>(i),
                  shapes[3 * layers + 2 + i], data(args, 3 * layers + 2 + i));
  if (!handed.fits()) return handed.error();

  const Arguments given = read(args, layers, scale, false);
  const int64_t n = x.element_count() / shape[0];
  std::vector<float*> after;
  for (size_t i = 0; i < rets.size(); ++i) after.push_back(data(rets, i));
  update_all(pool, given.phi, x.typed_data<float>(), n, g->typed_data<float>(),
             Whole(given.states, after, n), n);
  return ffi::Error::Success();
}

// See that results have these shapes.
void look_at_results(Given& handed, const ffi::RemainingRets& rets,
                     const std::vector<Shape>& shapes) {
  handed.require(rets.size() == shapes.size(), "this is no number of results that there are");
  for (size_t i = 0; handed.fits() && i < shapes.size(); ++i)
    handed.writes(numbered("result ", i), **rets.get<ffi::AnyBuffer>(i), shapes[i]);
}

// φ's gradient into the first of `rets`. `run` does coordinates [begin, begin + count), a multiple
// of WIDTH but at the end, with a tape for T steps.
template <class Run>
void differentiate(ffi::ThreadPool& pool, const Phi& phi, int64_t T, int64_t n, int64_t count,
                   ffi::RemainingRets& rets, Run run) {
  const int64_t pieces = (n + count - 1) / count;
  // The chunks, and the order in which they are added, do not depend on the number of threads: nor
  // does the result, to the last bit.
  const int64_t chunk = std::max<int64_t>(1, (pieces + 63) / 64),
                chunks = (pieces + chunk - 1) / chunk;
  std::vector<Gradient> parts(chunks);

  for_each(pool, chunks, [&, chunk] {
    return [&, chunk, tape = std::make_shared<Tape>(phi, T)](int64_t index) {
      Gradient& part = parts[index];
      for (const Layer& layer : phi.layers)
        part.layers.emplace_back(4 * layer.hidden * layer.columns, 0.0f);
      part.output.assign(phi.layers.back().hidden, 0.0f);
      for (int64_t piece = index * chunk; piece < std::min(pieces, (index + 1) * chunk); ++piece) {
        const int64_t begin = piece * count;
        run(*tape, Window{n, begin, std::min(count, n - begin)}, part);
      }
    };
  });

  const size_t layers = phi.layers.size();
  for (size_t i = 0; i < 3 * layers + 2; ++i) {
    auto buffer = *rets.get<ffi::AnyBuffer>(i);
    std::fill_n(buffer->typed_data<float>(), buffer->element_count(), 0.0f);
  }
  for (const Gradient& part : parts) {
    for (size_t l = 0; l < layers; ++l) {
      const Layer& layer = phi.layers[l];
      float *ih = data(rets, 3 * l), *hh = data(rets, 3 * l + 1), *bias = data(rets, 3 * l + 2);
      const float* d = part.layers[l].data();
      for (int64_t row = 0; row < 4 * layer.hidden; ++row) {
        const int64_t r = (row % 4) * layer.hidden + row / 4;
        for (int64_t k = 0; k < layer.inputs; ++k) ih[r * layer.inputs + k] += *d++;
        for (int64_t k = 0; k < layer.hidden; ++k) hh[r * layer.hidden + k] += *d++;
        bias[r] += *d++;
      }
    }
    float* output = data(rets, 3 * layers);
    for (size_t j = 0; j < part.output.size(); ++j) output[j] += part.output[j];
    *data(rets, 3 * layers + 1) += part.bias;
  }
}

ffi::Error pull_back(ffi::ThreadPool pool, float scale, ffi::AnyBuffer x, ffi::AnyBuffer cotangents,
                     ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const size_t layers = layers_of(args);
  const Shape shape = shape_of(x);
  Given handed("lstm_pull_back");
  handed.require(shape.size() == 3, "x must be features × steps × coordinates");
  handed.reads("x", x, shape);
  if (!handed.fits()) return handed.error();
  handed.reads("cotangents", cotangents, {shape[1], shape[2]});
  std::vector<Shape> shapes = look_at(handed, args, layers, shape, {shape[2]});
  if (handed.fits()) shapes.resize(3 * layers + 2);  // those of φ
  look_at_results(handed, rets, shapes);
  if (!handed.fits()) return handed.error();

  const Arguments given = read(args, layers, scale, true);
  const float *xs = x.typed_data<float>(), *lambdas = cotangents.typed_data<float>();
  differentiate(pool, given.phi, x.dimensions()[1], x.dimensions()[2], WIDTH, rets,
                [&](Tape& tape, const Window& window, Gradient& part) {
                  tape.run(given, xs, lambdas, window, part);
                });
  return ffi::Error::Success();
}

// As pull_back's with one step, and then the cotangents of h, c after, a layer. The results are the
// cotangents of φ, of x, and of h, c, a layer.
ffi::Error vjp(ffi::ThreadPool pool, float scale, ffi::AnyBuffer x, ffi::AnyBuffer cotangent,
               ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const size_t layers = layers_of(args, 2);
  const Shape shape = shape_of(x), coordinates(shape.begin() + !shape.empty(), shape.end());
  Given handed("lstm_vjp");
  handed.reads("x", x, shape);
  handed.reads("the cotangent", cotangent, coordinates);
  std::vector<Shape> shapes = look_at(handed, args, layers, shape, coordinates);
  for (size_t i = 3 * layers + 2; handed.fits() && i < 5 * layers + 2; ++i)
    handed.reads(numbered("cotangent of h ", i - 3 * layers - 2),
                 *args.get<ffi::AnyBuffer>(i + 2 * layers), shapes[i]);
  if (handed.fits()) shapes.insert(shapes.begin() + 3 * layers + 2, shape);
  look_at_results(handed, rets, shapes);
  if (!handed.fits()) return handed.error();

  const Arguments given = read(args, layers, scale, true);
  Ends ends;
  ends.dx = data(rets, 3 * layers + 2);
  for (size_t i = 0; i < 2 * layers; ++i) {
    ends.after.push_back(data(args, 5 * layers + 2 + i));
    ends.before.push_back(data(rets, 3 * layers + 3 + i));
  }
  const float *xs = x.typed_data<float>(), *dg = cotangent.typed_data<float>();
  // As many tiles abreast as leave the tape in the core's own cache.
  const int64_t abreast = 8;
  differentiate(pool, given.phi, abreast, x.element_count() / x.dimensions()[0], abreast * WIDTH,
                rets, [&](Tape& tape, const Window& window, Gradient& part) {
                  tape.run_abreast(given, xs, dg, ends, window, part);
                });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace metadescent

XLA_FFI_DEFINE_HANDLER_SYMBOL(metadescent_lstm_update, metadescent::update,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<float>("scale")
                                  .Arg<ffi::AnyBuffer>()
                                  .RemainingArgs()
                                  .Ret<ffi::AnyBuffer>()
                                  .RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(metadescent_lstm_pull_back, metadescent::pull_back,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<float>("scale")
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .RemainingArgs()
                                  .RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(metadescent_lstm_vjp, metadescent::vjp,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<float>("scale")
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .RemainingArgs()
                                  .RemainingRets());
