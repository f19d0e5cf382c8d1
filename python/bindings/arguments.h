// Python arguments as plain arrays: lists, or anything with the buffer protocol (numpy need not be
// installed).
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "shadowserve/shadowserve.h"

namespace shadowserve::bindings {

/// A sequence of ints or a one-dimensional buffer of any integer type. ValueError when one does not fit.
template <typename Number>
std::vector<Number> numbers(const pybind11::object& given);
extern template std::vector<uint32_t> numbers(const pybind11::object&);
extern template std::vector<int32_t> numbers(const pybind11::object&);
extern template std::vector<uint64_t> numbers(const pybind11::object&);

/// Concatenated keys. ValueError unless it is a whole number of them.
struct Keys {
  explicit Keys(const pybind11::bytes& given);
  const uint8_t* data = nullptr;
  size_t count = 0;
};

/// "vec", "vec16", "amx" or "plain"; ValueError otherwise.
ss_page_layout page_layout(std::string_view name);

/// A raw address (int), or the start of a contiguous buffer of at least `bytes` bytes.
class Memory {
 public:
  Memory(const pybind11::object& given, size_t bytes, bool writable);
  void* data() const { return data_; }

 private:
  pybind11::buffer_info buffer_;
  void* data_ = nullptr;
};

/// Code of an error's name (None: 0). ValueError when there is none of this name.
ss_error error_from(const pybind11::object& name);
/// None for 0.
pybind11::object error_name(ss_error error);

}  // namespace shadowserve::bindings
