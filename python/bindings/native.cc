// The Python module shadowserve._native: the C API with Python's types.
#include <pybind11/pybind11.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arguments.h"
#include "options_dict.h"
#include "shadowserve/shadowserve.h"

namespace shadowserve::bindings {
namespace py = pybind11;
namespace {

// Opened by the constructor, null after close(). Stopping joins a thread: not under the interpreter's lock.
template <typename Object, Object* (*kOpen)(const ss_options*, char*, size_t), void (*kClose)(Object*)>
class Handle {
 public:
  explicit Handle(const py::dict& given) {
    const OptionsDict options(given);
    char message[768] = "";
    {
      py::gil_scoped_release without_lock;  // it may wait for the data plane
      object_ = kOpen(&options.options(), message, sizeof message);
    }
    if (object_ == nullptr) throw py::value_error(message);
  }
  ~Handle() { close(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  void close() {
    Object* object = std::exchange(object_, nullptr);
    if (object == nullptr) return;
    py::gil_scoped_release without_lock;
    kClose(object);
  }
  Object* get() const {
    if (object_ == nullptr) throw py::value_error("this object is closed");
    return object_;
  }

 private:
  Object* object_ = nullptr;
};

using LookupHandle = Handle<ss_lookup, ss_lookup_open, ss_lookup_close>;
using TransferHandle = Handle<ss_transfer, ss_transfer_open, ss_transfer_close>;

py::bytes chain(LookupHandle& lookup, const py::object& parent, const py::object& tokens,
                const py::bytes& extra) {
  const std::vector<uint32_t> ids = numbers<uint32_t>(tokens);
  const uint8_t* before = nullptr;
  if (!parent.is_none()) {
    const Keys key(py::cast<py::bytes>(parent));
    if (key.count != 1) throw py::value_error("parent is one key");
    before = key.data;
  }
  const std::string_view bound(extra);
  const size_t room =
      ss_chain(lookup.get(), before, ids.data(), ids.size(), bound.data(), bound.size(), nullptr, 0);
  std::string keys(room * SS_KEY_BYTES, '\0');
  const size_t count = ss_chain(lookup.get(), before, ids.data(), ids.size(), bound.data(), bound.size(),
                                reinterpret_cast<uint8_t*>(keys.data()), room);
  return py::bytes(keys.data(), count * SS_KEY_BYTES);
}

py::dict lookup_stats(LookupHandle& lookup) {
  ss_lookup_stats stats;
  ss_lookup_read_stats(lookup.get(), &stats);
  py::dict out;
  out["chunks_asked"] = stats.chunks_asked;
  out["chunks_found"] = stats.chunks_found;
  out["chunks_missing"] = stats.chunks_missing;
  out["chunks_timed_out"] = stats.chunks_timed_out;
  out["chunks_without_plane"] = stats.chunks_without_plane;
  out["chunks_breaker"] = stats.chunks_breaker;
  out["connects"] = stats.connects;
  out["disconnects"] = stats.disconnects;
  out["connected"] = stats.connected != 0;
  return out;
}

py::dict by_error(const uint64_t (&counts)[SS_ERROR_COUNT]) {
  py::dict out;
  for (ss_error error = 1; error < SS_ERROR_COUNT; ++error) {
    if (counts[error] != 0) out[ss_error_name(error)] = counts[error];
  }
  return out;
}

py::dict transfer_stats(TransferHandle& transfer) {
  ss_transfer_stats stats;
  ss_transfer_read_stats(transfer.get(), &stats);
  py::dict out;
  out["fetch_asked"] = stats.fetch_asked;
  out["fetch_placed"] = stats.fetch_placed;
  out["fetch_failed"] = by_error(stats.fetch_failed);
  out["save_asked"] = stats.save_asked;
  out["save_stored"] = stats.save_stored;
  out["save_failed"] = by_error(stats.save_failed);
  out["fetch_wire_bytes"] = stats.fetch_wire_bytes;
  out["fetch_value_bytes"] = stats.fetch_value_bytes;
  out["save_wire_bytes"] = stats.save_wire_bytes;
  out["save_value_bytes"] = stats.save_value_bytes;
  out["fetches"] = stats.fetches;
  out["fetch_us_total"] = stats.fetch_us_total;
  out["place_us_total"] = stats.place_us_total;
  out["gather_us_total"] = stats.gather_us_total;
  out["connects"] = stats.connects;
  out["disconnects"] = stats.disconnects;
  out["connected"] = stats.connected != 0;
  return out;
}

void register_pages(TransferHandle& transfer, const std::string& layout, const py::object& layer_ptrs,
                    uint32_t pages, uint32_t page_tokens, uint64_t page_stride_bytes,
                    uint64_t head_stride_bytes, uint64_t plane_stride_bytes, uint64_t token_stride_bytes) {
  std::vector<void*> bases;
  for (const uint64_t address : numbers<uint64_t>(layer_ptrs))
    bases.push_back(reinterpret_cast<void*>(address));
  const ss_pages given{page_layout(layout),
                       page_tokens,
                       pages,
                       page_stride_bytes,
                       head_stride_bytes,
                       bases.data(),
                       static_cast<uint32_t>(bases.size()),
                       plane_stride_bytes,
                       token_stride_bytes};
  char message[512] = "";
  if (ss_transfer_register_pages(transfer.get(), &given, message, sizeof message) != 0) {
    throw py::value_error(message);
  }
}

void fetch(TransferHandle& transfer, uint64_t id, const py::bytes& keys, uint32_t first_chunk,
           uint32_t first_token, const py::object& page_ids) {
  const Keys given(keys);
  const std::vector<int32_t> pages = numbers<int32_t>(page_ids);
  // A refused job ends with an event like every other: nothing here can fail a request.
  ss_fetch(transfer.get(), id, given.data, first_chunk, static_cast<uint32_t>(given.count), first_token,
           pages.data(), pages.size());
}

void save(TransferHandle& transfer, uint64_t id, const py::bytes& keys, uint32_t first_chunk,
          const py::object& page_ids) {
  const Keys given(keys);
  const std::vector<int32_t> pages = numbers<int32_t>(page_ids);
  ss_save(transfer.get(), id, given.data, first_chunk, static_cast<uint32_t>(given.count), pages.data(),
          pages.size());
}

py::list poll(TransferHandle& transfer) {
  py::list out;
  ss_event events[64];
  while (const size_t count = ss_transfer_poll(transfer.get(), events, 64)) {
    for (const ss_event& event : std::span(events, count)) {
      out.append(py::make_tuple(event.kind == SS_FETCHED ? "fetched" : "gathered", event.id,
                                error_name(event.error), event.chunks_placed, event.chunks));
    }
  }
  return out;
}

void check_page(ss_error error) {
  if (error != 0) throw py::value_error(std::string("page: ") + ss_error_sentence(error));
}

// One page's shape, and the sizes of its page and of its values.
struct Page {
  ss_page_shape shape;
  uint64_t values_bytes = 0, page_bytes = 0;
  Page(const std::string& layout, uint32_t tokens, uint32_t heads, uint32_t dim, uint64_t head_stride,
       uint32_t element, uint32_t planes)
      : shape{page_layout(layout), tokens, heads, dim, element, planes, head_stride} {
    check_page(ss_page_bytes(&shape, &values_bytes, &page_bytes));
  }
};

void place_page(const std::string& layout, uint32_t tokens, uint32_t heads, uint32_t dim,
                const py::object& values, const py::object& page, uint64_t head_stride, uint32_t element,
                uint32_t planes) {
  const Page given(layout, tokens, heads, dim, head_stride, element, planes);
  const Memory from(values, given.values_bytes, false), to(page, given.page_bytes, true);
  check_page(ss_place_page(&given.shape, from.data(), to.data()));
}

void gather_page(const std::string& layout, uint32_t tokens, uint32_t heads, uint32_t dim,
                 const py::object& page, uint64_t head_stride, const py::object& values, uint32_t element,
                 uint32_t planes) {
  const Page given(layout, tokens, heads, dim, head_stride, element, planes);
  const Memory from(page, given.page_bytes, false), to(values, given.values_bytes, true);
  check_page(ss_gather_page(&given.shape, from.data(), to.data()));
}

std::pair<std::string, std::string> fingerprints(const std::string& directory, const std::string& extra) {
  char out[65] = "", weights[65] = "";
  ss_error error;
  {
    py::gil_scoped_release without_lock;
    error = ss_model_fingerprint(directory.c_str(), extra.c_str(), out, weights);
  }
  if (error != 0)
    throw py::value_error("no readable weights (*.safetensors, *.bin, *.gguf, *.pt) in " + directory);
  return {out, weights};
}

std::string fingerprint(const std::string& directory, const std::string& extra) {
  return fingerprints(directory, extra).first;
}

py::list error_names() {
  py::list out;
  for (ss_error error = 0; error < SS_ERROR_COUNT; ++error) out.append(ss_error_name(error));
  return out;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "The control plane of ShadowServe (see include/shadowserve/shadowserve.h).";
  module.attr("KEY_BYTES") = SS_KEY_BYTES;

  py::class_<LookupHandle>(module, "Lookup")
      .def(py::init<const py::dict&>(), py::arg("options"))
      .def("chain", chain, py::arg("parent"), py::arg("tokens"), py::arg("extra") = py::bytes())
      .def(
          "start",
          [](LookupHandle& lookup, uint64_t id, const py::bytes& keys) {
            const Keys given(keys);
            ss_lookup_start(lookup.get(), id, given.data, given.count);
          },
          py::arg("id"), py::arg("keys"))
      .def(
          "poll",
          [](LookupHandle& lookup, uint64_t id) -> py::object {
            const int64_t found = ss_lookup_poll(lookup.get(), id);
            if (found == SS_PENDING) return py::none();
            return py::int_(found);
          },
          py::arg("id"))
      .def(
          "forget", [](LookupHandle& lookup, uint64_t id) { ss_lookup_forget(lookup.get(), id); },
          py::arg("id"))
      .def(
          "fetch_ended",
          [](LookupHandle& lookup, const py::object& error, const py::bytes& key) {
            const Keys given(key);
            ss_lookup_fetch_ended(lookup.get(), error_from(error), given.count == 1 ? given.data : nullptr);
          },
          py::arg("error"), py::arg("key"))
      .def(
          "claim_save",
          [](LookupHandle& lookup, const py::bytes& key) {
            const Keys given(key);
            if (given.count != 1) throw py::value_error("one key is needed");
            return ss_lookup_claim_save(lookup.get(), given.data) != 0;
          },
          py::arg("key"))
      .def("profile", [](const LookupHandle& lookup) { return std::string(ss_lookup_profile(lookup.get())); })
      .def("stats", lookup_stats)
      .def("close", &LookupHandle::close);

  py::class_<TransferHandle>(module, "Transfer")
      .def(py::init<const py::dict&>(), py::arg("options"))
      .def("register_pages", register_pages, py::arg("layout"), py::arg("layer_ptrs"), py::arg("pages"),
           py::arg("page_tokens"), py::arg("page_stride_bytes"), py::arg("head_stride_bytes"),
           py::arg("plane_stride_bytes") = 0, py::arg("token_stride_bytes") = 0)
      .def(
          "fence",
          [](TransferHandle& transfer, uint64_t cuda_stream) {
            // When it fails, what is asked for next is refused: the engine computes.
            ss_transfer_fence(transfer.get(), reinterpret_cast<void*>(cuda_stream));
          },
          py::arg("cuda_stream"))
      .def("fetch", fetch, py::arg("id"), py::arg("keys"), py::arg("first_chunk"), py::arg("first_token"),
           py::arg("page_ids"))
      .def("save", save, py::arg("id"), py::arg("keys"), py::arg("first_chunk"), py::arg("page_ids"))
      .def(
          "cancel", [](TransferHandle& transfer, uint64_t id) { ss_cancel(transfer.get(), id); },
          py::arg("id"))
      .def("poll", poll)
      .def("profile",
           [](const TransferHandle& transfer) { return std::string(ss_transfer_profile(transfer.get())); })
      .def("profile_reason",
           [](const TransferHandle& transfer) {
             return std::string(ss_transfer_profile_reason(transfer.get()));
           })
      .def("stats", transfer_stats)
      .def("close", &TransferHandle::close);

  module.def("place_page", place_page, py::arg("layout"), py::arg("page_tokens"), py::arg("kv_heads"),
             py::arg("head_dim"), py::arg("values"), py::arg("page"), py::arg("head_stride_bytes"),
             py::arg("element") = 1, py::arg("planes_per_layer") = 2);
  module.def("gather_page", gather_page, py::arg("layout"), py::arg("page_tokens"), py::arg("kv_heads"),
             py::arg("head_dim"), py::arg("page"), py::arg("head_stride_bytes"), py::arg("values"),
             py::arg("element") = 1, py::arg("planes_per_layer") = 2);
  module.def("model_fingerprint", fingerprint, py::arg("directory"), py::arg("extra") = "");
  module.def("model_fingerprints", fingerprints, py::arg("directory"), py::arg("extra"));
  module.def("error_names", error_names);
  module.def("version", ss_version);
}

}  // namespace shadowserve::bindings
