// One table of option names, by type.
#include "options_dict.h"

#include <limits>
#include <map>
#include <variant>

namespace shadowserve::bindings {
namespace py = pybind11;
namespace {

using Field = std::variant<const char * ss_options::*, uint32_t ss_options::*, uint64_t ss_options::*,
                           int32_t ss_options::*>;

const std::map<std::string, Field>& fields() {
  static const std::map<std::string, Field> all = {
      {"socket_path", &ss_options::socket_path},
      {"client_name", &ss_options::client_name},
      {"model_fingerprint", &ss_options::model_fingerprint},
      {"profile", &ss_options::profile},
      {"tenant_salt", &ss_options::tenant_salt},
      {"shard", &ss_options::shard},
      {"shard_count", &ss_options::shard_count},
      {"layers", &ss_options::layers},
      {"kv_heads", &ss_options::kv_heads},
      {"head_dim", &ss_options::head_dim},
      {"chunk_tokens", &ss_options::chunk_tokens},
      {"element", &ss_options::element},
      {"planes_per_layer", &ss_options::planes_per_layer},
      {"lookup_timeout_ms", &ss_options::lookup_timeout_ms},
      {"fetch_timeout_ms", &ss_options::fetch_timeout_ms},
      {"save_timeout_ms", &ss_options::save_timeout_ms},
      {"staging_bytes", &ss_options::staging_bytes},
      {"core", &ss_options::core},
      {"device", &ss_options::device},
      {"calibration", &ss_options::calibration},
      {"weights_fingerprint", &ss_options::weights_fingerprint},
      {"tls_certificate", &ss_options::tls_certificate},
      {"tls_key", &ss_options::tls_key},
      {"tls_ca", &ss_options::tls_ca},
      {"tls_name", &ss_options::tls_name},
      {"window", &ss_options::window},
      {"direct_pages", &ss_options::direct_pages},
  };
  return all;
}

std::string unknown_option(const std::string& name) {
  py::list known;
  for (const auto& [each, field] : fields()) known.append(each);
  const py::list nearest = py::module_::import("difflib").attr("get_close_matches")(name, known, 1);
  if (!nearest.empty())
    return "unknown option '" + name + "': did you mean '" + py::cast<std::string>(nearest[0]) + "'?";
  return "unknown option '" + name + "': known are " +
         py::cast<std::string>(py::str(", ").attr("join")(known));
}

template <typename Number>
Number number_from(const std::string& name, const py::handle& value) {
  // bool is an int in Python; nobody means True milliseconds.
  if (!PyLong_Check(value.ptr()) || PyBool_Check(value.ptr())) {
    throw py::type_error("option '" + name + "' is an int, not " + py::cast<std::string>(py::repr(value)));
  }
  try {
    return py::cast<Number>(value);
  } catch (const py::cast_error&) {
    throw py::value_error("option '" + name + "' is " + py::cast<std::string>(py::str(value)) +
                          ": it must be between " + std::to_string(std::numeric_limits<Number>::min()) +
                          " and " + std::to_string(std::numeric_limits<Number>::max()));
  }
}

}  // namespace

OptionsDict::OptionsDict(const py::dict& given) {
  options_.struct_size = sizeof options_;
  for (const auto& [key, value] : given) {
    const auto name = py::cast<std::string>(py::str(key));
    const auto found = fields().find(name);
    if (found == fields().end()) throw py::value_error(unknown_option(name));
    if (value.is_none()) continue;
    std::visit(
        [&](auto field) {
          using Value = std::remove_reference_t<decltype(options_.*field)>;
          if constexpr (std::is_same_v<Value, const char*>) {
            if (!py::isinstance<py::str>(value)) {
              throw py::type_error("option '" + name + "' is a str, not " +
                                   py::cast<std::string>(py::repr(value)));
            }
            options_.*field = strings_.emplace_back(py::cast<std::string>(value)).c_str();
          } else {
            options_.*field = number_from<Value>(name, value);
          }
        },
        found->second);
  }
}

}  // namespace shadowserve::bindings
