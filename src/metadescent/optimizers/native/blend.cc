// The update of `blend` for all tensors of θ, as one XLA custom call.
//
// Arguments are the numbers of the step, φ (p, W₁, b₁, W₂, b₂), the tensors' traits and figures, and
// then of every tensor ∇, of every tensor θ, m_.9, m_.99 and v; results are the figures after, and of
// every tensor g, m_.9, m_.99 and v after, which may lie where they did before. All may have further
// axes in front: that many separate updates.
//
// `blend.py` beside this calls it; `metadescent/optimizers/blend.py` is the reference in JAX.

#include "blend.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "given.h"

namespace metadescent {
namespace {

constexpr size_t FIRST = 8, EACH = 5;  // arguments before those of tensors, and kinds of these
const char* const BEFORE[EACH] = {"gradient ", "theta ", "fast ", "slow ", "square "};
const char* const AFTER[EACH - 1] = {"g ", "fast after ", "slow after ", "square after "};

struct Span {
  const char *begin, *end;
  bool is_written;
};

// Whether nothing that is written lies where something else does: they are too many for pairs.
bool are_apart(std::vector<Span>& spans) {
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  const char *any = nullptr, *written = nullptr;
  for (const Span& span : spans) {
    if (span.begin < (span.is_written ? any : written)) return false;
    any = std::max(any, span.end);
    if (span.is_written) written = std::max(written, span.end);
  }
  return true;
}

// The buffers of a call, and what they are of.
struct Buffers {
  const ffi::RemainingArgs& args;
  const ffi::RemainingRets& rets;
  const size_t tensors;
  Shape front;  // the axes before all others

  Buffers(const ffi::RemainingArgs& args, const ffi::RemainingRets& rets)
      : args(args), rets(rets), tensors(args.size() < FIRST ? 0 : (args.size() - FIRST) / EACH) {}

  ffi::AnyBuffer arg(size_t i) const { return *args.get<ffi::AnyBuffer>(i); }
  ffi::AnyBuffer ret(size_t i) const { return **rets.get<ffi::AnyBuffer>(i); }
  ffi::AnyBuffer before(size_t kind, size_t k) const { return arg(FIRST + kind * tensors + k); }
  ffi::AnyBuffer after(size_t kind, size_t k) const { return ret(1 + kind * tensors + k); }

  // The axes that a tensor has itself.
  Shape own(size_t k) const {
    const Shape all = shape_of(before(0, k));
    return Shape(all.begin() + std::min(all.size(), front.size()), all.end());
  }
};

// See that all shapes are as they must be.
void look_at_shapes(Given& given, Buffers& all) {
  const int64_t tensors = all.tensors;
  given.require(all.args.size() == FIRST + EACH * tensors && tensors > 0,
                "this is no number of arrays that tensors have");
  given.require(all.rets.size() == 1 + (EACH - 1) * tensors,
                "this is no number of results that tensors have");
  if (!given.fits()) return;
  all.front = shape_of(all.arg(0));
  given.require(!all.front.empty(), "there are no numbers of the step");
  if (!given.fits()) return;
  all.front.pop_back();
  const Shape units = shape_of(all.arg(3));
  given.require(!units.empty() && units.back() > 0, "the network has no units");
  if (!given.fits()) return;
  const int64_t hidden = units.back();
  const std::pair<const char*, Shape> first[FIRST] = {
      {"the numbers of the step", {NUMBERS}}, {"p", {2}},
      {"W_1", {hidden, FEATURES}},            {"b_1", {hidden}},
      {"W_2", {DIRECTIONS + 2, hidden}},      {"b_2", {DIRECTIONS + 2}},
      {"traits", {tensors, TRAITS}},          {"figures", {tensors, FIGURES}}};
  for (size_t i = 0; i < FIRST; ++i)
    given.shaped(first[i].first, all.arg(i), joined(all.front, first[i].second));
  given.shaped("figures after", all.ret(0), joined(all.front, {tensors, FIGURES}));
  for (int64_t k = 0; given.fits() && k < tensors; ++k) {
    const Shape shape = joined(all.front, all.own(k));
    for (size_t kind = 0; kind < EACH; ++kind)
      given.shaped(BEFORE[kind] + std::to_string(k), all.before(kind, k), shape);
    for (size_t kind = 0; kind + 1 < EACH; ++kind)
      given.shaped(AFTER[kind] + std::to_string(k), all.after(kind, k), shape);
  }
}

// See that results lie apart, but where they renew an argument.
void look_at_places(Given& given, const Buffers& all) {
  std::vector<Span> spans;
  spans.reserve(all.args.size() + all.rets.size());
  const auto span = [](const ffi::AnyBuffer& buffer, bool is_written) {
    const char* begin = static_cast<const char*>(buffer.untyped_data());
    return Span{begin, begin + buffer.element_count() * sizeof(float), is_written};
  };
  const auto add = [&](const Span& it) {
    if (it.begin != it.end) spans.push_back(it);
  };
  // A result and what it renews, of the same shape, count once.
  const auto add_renewed = [&](const ffi::AnyBuffer& before, const ffi::AnyBuffer& after) {
    const bool is_same = before.untyped_data() == after.untyped_data();
    if (!is_same) add(span(after, true));
    add(span(before, is_same));
  };
  for (size_t i = 0; i + 1 < FIRST; ++i) add(span(all.arg(i), false));
  add_renewed(all.arg(FIRST - 1), all.ret(0));
  for (size_t k = 0; k < all.tensors; ++k) {
    for (size_t kind = 0; kind < 2; ++kind) add(span(all.before(kind, k), false));
    add(span(all.after(0, k), true));
    for (size_t kind = 2; kind < EACH; ++kind)
      add_renewed(all.before(kind, k), all.after(kind - 1, k));
  }
  given.require(are_apart(spans), "a result lies where another array does");
}

// A place in a tensor, and what it is of all updates, one `stride` after the other.
template <class Number>
struct Place {
  Number** place;
  Number* data;
  int64_t stride;

  Place(Number** place, const ffi::AnyBuffer& buffer, int64_t updates, int64_t begin = 0)
      : place(place), data(buffer.typed_data<float>() + begin),
        stride(buffer.element_count() / updates) {}
  void of(int64_t update) const { *place = data + update * stride; }
};

// Tensor k of every update; those of one update lie side by side.
void put_tensor(std::vector<Tensor>& tensors, const Buffers& all, size_t k, int64_t updates) {
  const Shape shape = all.own(k);
  Tensor t;
  t.is_matrix = shape.size() > 1;
  t.rows = 1, t.columns = shape.empty() ? 1 : shape.back();
  for (size_t axis = 0; axis + 1 < shape.size(); ++axis) t.rows *= shape[axis];
  Learned& phi = t.learned;
  phi.hidden = all.arg(3).dimensions().back();
  const int64_t trait = k * TRAITS, figure = k * FIGURES;
  const Place<const float> reads[] = {
      {&t.step, all.arg(0), updates},
      {&phi.p, all.arg(1), updates},
      {&phi.W_1, all.arg(2), updates},
      {&phi.b_1, all.arg(3), updates},
      {&phi.W_2, all.arg(4), updates},
      {&phi.b_2, all.arg(5), updates},
      {&t.traits, all.arg(6), updates, trait},
      {&t.figures, all.arg(7), updates, figure},
      {&t.gradient, all.before(0, k), updates},
      {&t.theta, all.before(1, k), updates},
      {&t.fast, all.before(2, k), updates},
      {&t.slow, all.before(3, k), updates},
      {&t.square, all.before(4, k), updates},
  };
  const Place<float> writes[] = {
      {&t.figures_after, all.ret(0), updates, figure},
      {&t.g, all.after(0, k), updates},
      {&t.fast_after, all.after(1, k), updates},
      {&t.slow_after, all.after(2, k), updates},
      {&t.square_after, all.after(3, k), updates},
  };
  for (int64_t b = 0; b < updates; ++b) {
    for (const auto& place : reads) place.of(b);
    for (const auto& place : writes) place.of(b);
    tensors[b * all.tensors + k] = t;
  }
}

ffi::Error update(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  Given given("blend_update");
  Buffers all(args, rets);
  look_at_shapes(given, all);
  if (given.fits()) look_at_places(given, all);
  if (!given.fits()) return given.error();

  int64_t updates = 1;
  for (const int64_t length : all.front) updates *= length;
  std::vector<Tensor> tensors(updates * all.tensors);
  for (size_t k = 0; updates && k < all.tensors; ++k) put_tensor(tensors, all, k, updates);
  update_tensors(pool, tensors);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace metadescent

XLA_FFI_DEFINE_HANDLER_SYMBOL(metadescent_blend_update, metadescent::update,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets());
