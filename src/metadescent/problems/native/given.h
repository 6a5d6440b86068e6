// What XLA hands to a kernel is compared with what the kernel takes before a number is read: what
// does not fit is an error, and no memory is overrun.

#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace metadescent {

using Shape = std::vector<int64_t>;

inline Shape shape_of(const ffi::AnyBuffer& buffer) {
  const auto dimensions = buffer.dimensions();
  return Shape(dimensions.begin(), dimensions.end());
}

// A shape with axes before it, or after.
inline Shape joined(Shape a, const Shape& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class Given {
 public:
  explicit Given(std::string kernel) : kernel_(std::move(kernel)) {}

  // What is wrong is put into words only where it is: a small update takes as long as the words do.
  template <typename What>
  void require(bool is_so, const What& what) {
    if (!is_so) refuse(what);
  }

  // A buffer that is read: 32-bit floats of this shape.
  void reads(const std::string& name, const ffi::AnyBuffer& buffer, const Shape& shape) {
    look(name, buffer, shape, nullptr, false);
  }

  // A buffer that is written. It may be the place of the argument `renews`, and of nothing else.
  void writes(const std::string& name, const ffi::AnyBuffer& buffer, const Shape& shape,
              const void* renews = nullptr) {
    look(name, buffer, shape, renews, true);
  }

  // That a buffer is of 32-bit floats in this shape and lies somewhere, and no more.
  void shaped(const std::string& name, const ffi::AnyBuffer& buffer, const Shape& shape) {
    if (!fits()) return;
    const bool is_float = buffer.element_type() == ffi::DataType::F32;
    const auto own = buffer.dimensions();
    if (!is_float || !std::equal(own.begin(), own.end(), shape.begin(), shape.end()))
      return refuse(name + " is " + (is_float ? "" : "not ") + "of 32-bit floats in the shape " +
                    written(shape_of(buffer)) + " and must be of 32-bit floats in " +
                    written(shape));
    if (buffer.element_count() && buffer.untyped_data() == nullptr) refuse(name + " lies nowhere");
  }

  bool fits() const { return wrong_.empty(); }
  ffi::Error error() const { return ffi::Error::InvalidArgument(wrong_); }

 private:
  struct Span {
    const char *begin, *end;
    bool is_written;
  };

  // The first of what is wrong is told.
  void refuse(const std::string& what) {
    if (wrong_.empty()) wrong_ = kernel_ + ": " + what;
  }

  void look(const std::string& name, const ffi::AnyBuffer& buffer, const Shape& shape,
            const void* renews, bool is_written) {
    shaped(name, buffer, shape);
    if (!fits() || buffer.element_count() == 0) return;
    const char* begin = static_cast<const char*>(buffer.untyped_data());
    const Span span{begin, begin + buffer.element_count() * sizeof(float), is_written};
    int meetings = 0;
    for (const Span& other : spans_) {
      const bool meets = other.begin < span.end && span.begin < other.end;
      if (!meets || !(span.is_written || other.is_written)) continue;
      const bool is_renewed = renews == other.begin && renews == begin && span.end == other.end;
      if (!is_renewed || ++meetings > 1) refuse(name + " lies where another array does");
    }
    spans_.push_back(span);
  }

  static std::string written(const Shape& shape) {
    std::string text;
    for (const int64_t length : shape) text += (text.empty() ? "" : ", ") + std::to_string(length);
    return "[" + text + "]";
  }

  std::string kernel_, wrong_;
  std::vector<Span> spans_;
};

}  // namespace metadescent
