// Conversions with the checks that C does not make.
#include "arguments.h"

#include <cstring>
#include <limits>
#include <string>

namespace shadowserve::bindings {
namespace py = pybind11;
namespace {

template <typename Number>
Number checked(long long value) {
  if (value < static_cast<long long>(std::numeric_limits<Number>::min()) ||
      (sizeof(Number) < 8 && value > static_cast<long long>(std::numeric_limits<Number>::max()))) {
    throw py::value_error(std::to_string(value) + " is out of range");
  }
  return static_cast<Number>(value);
}

template <typename Number, typename Element>
void append(std::vector<Number>& out, const py::buffer_info& info) {
  const auto* at = static_cast<const char*>(info.ptr);
  for (py::ssize_t i = 0; i < info.shape[0]; ++i, at += info.strides[0]) {
    Element element;
    std::memcpy(&element, at, sizeof element);
    if (std::is_same_v<Element, uint64_t> && static_cast<uint64_t>(element) > INT64_MAX) {
      throw py::value_error("an element is out of range");
    }
    out.push_back(checked<Number>(static_cast<long long>(element)));
  }
}

template <typename Number>
std::vector<Number> from_buffer(const py::buffer_info& info) {
  if (info.ndim != 1) throw py::value_error("a one-dimensional array is needed");
  std::vector<Number> out;
  out.reserve(static_cast<size_t>(info.shape[0]));
  const char kind = info.format.empty() ? 'B' : info.format.back();
  const bool is_signed = kind == 'b' || kind == 'h' || kind == 'i' || kind == 'l' || kind == 'q';
  const bool is_unsigned = kind == 'B' || kind == 'H' || kind == 'I' || kind == 'L' || kind == 'Q';
  if (is_signed && info.itemsize == 4)
    append<Number, int32_t>(out, info);
  else if (is_unsigned && info.itemsize == 4)
    append<Number, uint32_t>(out, info);
  else if (is_signed && info.itemsize == 8)
    append<Number, int64_t>(out, info);
  else if (is_unsigned && info.itemsize == 8)
    append<Number, uint64_t>(out, info);
  else
    throw py::type_error("an array of 32-bit or 64-bit integers is needed");
  return out;
}

}  // namespace

template <typename Number>
std::vector<Number> numbers(const py::object& given) {
  if (!PyList_Check(given.ptr()) && !PyTuple_Check(given.ptr()) && PyObject_CheckBuffer(given.ptr())) {
    return from_buffer<Number>(py::reinterpret_borrow<py::buffer>(given).request());
  }
  const auto sequence =
      py::reinterpret_steal<py::object>(PySequence_Fast(given.ptr(), "a sequence of ints is needed"));
  if (!sequence) throw py::error_already_set();
  const py::ssize_t count = PySequence_Fast_GET_SIZE(sequence.ptr());
  PyObject** items = PySequence_Fast_ITEMS(sequence.ptr());
  std::vector<Number> out(static_cast<size_t>(count));
  for (py::ssize_t i = 0; i < count; ++i) {
    const long long value = PyLong_AsLongLong(items[i]);
    if (value == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    out[static_cast<size_t>(i)] = checked<Number>(value);
  }
  return out;
}
template std::vector<uint32_t> numbers(const py::object&);
template std::vector<int32_t> numbers(const py::object&);
template std::vector<uint64_t> numbers(const py::object&);

Keys::Keys(const py::bytes& given) {
  const std::string_view text(given);
  if (text.size() % SS_KEY_BYTES != 0) {
    throw py::value_error("keys are " + std::to_string(SS_KEY_BYTES) + " bytes each, these are " +
                          std::to_string(text.size()) + " bytes");
  }
  data = reinterpret_cast<const uint8_t*>(text.data());
  count = text.size() / SS_KEY_BYTES;
}

ss_page_layout page_layout(std::string_view name) {
  if (name == "vec" || name == "vec16") return SS_PAGES_VEC;
  if (name == "amx") return SS_PAGES_AMX;
  if (name == "plain") return SS_PAGES_PLAIN;
  if (name == "strided") return SS_PAGES_STRIDED;
  throw py::value_error("page layout '" + std::string(name) +
                        "' is unknown: use vec, vec16, amx, plain or strided");
}

Memory::Memory(const py::object& given, size_t bytes, bool writable) {
  if (PyLong_Check(given.ptr())) {
    data_ = PyLong_AsVoidPtr(given.ptr());
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    if (data_ == nullptr) throw py::value_error("an address is 0");
    return;
  }
  if (!PyObject_CheckBuffer(given.ptr())) throw py::type_error("an address (int) or a buffer is needed");
  buffer_ = py::reinterpret_borrow<py::buffer>(given).request(writable);
  if (!PyBuffer_IsContiguous(buffer_.view(), 'C')) throw py::value_error("a contiguous buffer is needed");
  if (static_cast<size_t>(buffer_.size * buffer_.itemsize) < bytes) {
    throw py::value_error("a buffer of " + std::to_string(buffer_.size * buffer_.itemsize) +
                          " bytes is too small: " + std::to_string(bytes) + " are needed");
  }
  data_ = buffer_.ptr;
}

ss_error error_from(const py::object& name) {
  if (name.is_none()) return 0;
  const auto text = py::cast<std::string>(name);
  for (ss_error error = 0; error < SS_ERROR_COUNT; ++error) {
    if (text == ss_error_name(error)) return error;
  }
  throw py::value_error("there is no error '" + text + "': see error_names()");
}

py::object error_name(ss_error error) {
  if (error == 0) return py::none();
  return py::str(ss_error_name(error));
}

}  // namespace shadowserve::bindings
