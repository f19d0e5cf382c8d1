// Loads libucp and asks it for contexts.
#include "world/ucx/ucx_library.h"

#include <dlfcn.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <utility>

namespace shadowserve {
namespace {

/// UCX reads these when it is loaded or makes a context.
constexpr std::array<std::pair<const char*, const char*>, 11> kDefaults = {{
    {"UCX_HANDLE_ERRORS", "none"},  // no handlers of SIGSEGV and its like,
    {"UCX_ERROR_SIGNALS", ""},      // by no other way either,
    {"UCX_DEBUG_SIGNO", "0"},       // nor of SIGHUP
    {"UCX_MEM_EVENTS", "n"},        // nobody watches malloc() and mmap()
    {"UCX_MEM_MMAP_HOOK_MODE", "none"},
    {"UCX_MEM_MALLOC_HOOKS", "n"},
    {"UCX_MEM_MALLOC_RELOC", "n"},
    {"UCX_KEEPALIVE_INTERVAL", "inf"},  // it allocates; the TCP connection beside tells as much
    {"UCX_VFS_ENABLE", "n"},            // no thread that waits for a debugger's daemon
    {"UCX_LOG_LEVEL", "fatal"},         // it writes to stdout, and every peer that goes away would be a line
    {"UCX_WARN_UNUSED_ENV_VARS", "n"},
}};

template <typename Function>
bool find(void* library, const char* name, Function& out, std::string& why) {
  out = reinterpret_cast<Function>(dlsym(library, name));
  if (out == nullptr) why = std::string("libucp.so.0 is not UCX 1.10 or later: it has no ") + name + "()";
  return out != nullptr;
}

bool fill(void* from, UcxLibrary& table, std::string& why) {
  return find(from, "ucp_get_version_string", table.get_version_string, why) &&
         find(from, "ucp_config_read", table.config_read, why) &&
         find(from, "ucp_config_modify", table.config_modify, why) &&
         find(from, "ucp_config_release", table.config_release, why) &&
         find(from, "ucp_init_version", table.init_version, why) &&
         find(from, "ucp_cleanup", table.cleanup, why) &&
         find(from, "ucp_worker_create", table.worker_create, why) &&
         find(from, "ucp_worker_destroy", table.worker_destroy, why) &&
         find(from, "ucp_worker_get_address", table.worker_get_address, why) &&
         find(from, "ucp_worker_release_address", table.worker_release_address, why) &&
         find(from, "ucp_worker_progress", table.worker_progress, why) &&
         find(from, "ucp_worker_get_efd", table.worker_get_efd, why) &&
         find(from, "ucp_worker_arm", table.worker_arm, why) &&
         find(from, "ucp_ep_create", table.ep_create, why) &&
         find(from, "ucp_ep_close_nbx", table.ep_close, why) &&
         find(from, "ucp_stream_send_nbx", table.stream_send, why) &&
         find(from, "ucp_stream_recv_data_nb", table.stream_receive, why) &&
         find(from, "ucp_stream_data_release", table.stream_release, why) &&
         find(from, "ucp_request_check_status", table.request_status, why) &&
         find(from, "ucp_request_free", table.request_free, why) &&
         find(from, "ucs_status_string", table.status_string, why);
}

}  // namespace

const UcxLibrary* UcxLibrary::load(std::string& why) {
  static std::mutex one_at_a_time;
  static UcxLibrary table;
  static bool loaded = false;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  if (loaded) return &table;
  for (const auto& [name, value] : kDefaults) setenv(name, value, 0);
  void* library = dlopen("libucp.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* said = dlerror();
    why = std::string("UCX is not installed here (") + (said != nullptr ? said : "libucp.so.0") + ")";
    return nullptr;
  }
  loaded = fill(library, table, why);
  return loaded ? &table : nullptr;
}

std::shared_ptr<const UcxContext> UcxContext::create(bool copies, std::string& why) {
  const UcxLibrary* calls = UcxLibrary::load(why);
  if (calls == nullptr) return nullptr;
  ucp_config_t* config = nullptr;
  ucs_status_t status = calls->config_read(nullptr, nullptr, &config);
  if (status == UCS_OK) {
    if (copies) calls->config_modify(config, "ZCOPY_THRESH", "inf");
    ucp_params_t params{};
    params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_MT_WORKERS_SHARED;
    params.features = UCP_FEATURE_STREAM | UCP_FEATURE_WAKEUP;
    params.mt_workers_shared = 1;
    ucp_context_h handle = nullptr;
    status = calls->init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &handle);
    calls->config_release(config);
    if (status == UCS_OK) return std::shared_ptr<const UcxContext>(new UcxContext(*calls, handle));
  }
  why = std::string("UCX ") + calls->get_version_string() + " is here and does not start (" +
        calls->status_string(status) + ")";
  return nullptr;
}

int ucx_errno(ucs_status_t status) {
  switch (status) {
    case UCS_ERR_UNREACHABLE:
      return EHOSTUNREACH;
    case UCS_ERR_REJECTED:
    case UCS_ERR_NOT_CONNECTED:
      return ECONNREFUSED;
    case UCS_ERR_CONNECTION_RESET:
    case UCS_ERR_ENDPOINT_TIMEOUT:
      return ECONNRESET;
    case UCS_ERR_TIMED_OUT:
      return ETIMEDOUT;
    case UCS_ERR_NO_MEMORY:
      return ENOMEM;
    default:
      return EIO;
  }
}

}  // namespace shadowserve
