// libucp, loaded when it is asked for: linking it would put its constructors - handlers of signals, hooks of
// malloc() - into every process.
#pragma once

#include <ucp/api/ucp.h>

#include <memory>
#include <string>

namespace shadowserve {

/// The functions of libucp that are used. Never unloaded.
struct UcxLibrary {
  decltype(&::ucp_get_version_string) get_version_string;
  decltype(&::ucp_config_read) config_read;
  decltype(&::ucp_config_modify) config_modify;
  decltype(&::ucp_config_release) config_release;
  decltype(&::ucp_init_version) init_version;
  decltype(&::ucp_cleanup) cleanup;
  decltype(&::ucp_worker_create) worker_create;
  decltype(&::ucp_worker_destroy) worker_destroy;
  decltype(&::ucp_worker_get_address) worker_get_address;
  decltype(&::ucp_worker_release_address) worker_release_address;
  decltype(&::ucp_worker_progress) worker_progress;
  decltype(&::ucp_worker_get_efd) worker_get_efd;
  decltype(&::ucp_worker_arm) worker_arm;
  decltype(&::ucp_ep_create) ep_create;
  decltype(&::ucp_ep_close_nbx) ep_close;
  decltype(&::ucp_stream_send_nbx) stream_send;
  decltype(&::ucp_stream_recv_data_nb) stream_receive;
  decltype(&::ucp_stream_data_release) stream_release;
  decltype(&::ucp_request_check_status) request_status;
  decltype(&::ucp_request_free) request_free;
  decltype(&::ucs_status_string) status_string;

  /// The same table each time; null, and `why` for people, when there is no such library. Before the first
  /// time it puts defaults of ours into the environment, where UCX looks for them; what is there already
  /// stays. At start.
  static const UcxLibrary* load(std::string& why);
};

/// A context of UCX; workers on several threads share it.
class UcxContext {
 public:
  /// Who keeps bytes in memory of his own (`copies`) has them copied by UCX as well, whatever their number:
  /// nothing is registered with a NIC while bytes flow. Null and `why` when UCX gives none.
  static std::shared_ptr<const UcxContext> create(bool copies, std::string& why);
  ~UcxContext() { calls_.cleanup(handle_); }
  UcxContext(const UcxContext&) = delete;
  UcxContext& operator=(const UcxContext&) = delete;

  const UcxLibrary& calls() const { return calls_; }
  ucp_context_h handle() const { return handle_; }

 private:
  UcxContext(const UcxLibrary& calls, ucp_context_h handle) : calls_(calls), handle_(handle) {}
  const UcxLibrary& calls_;
  ucp_context_h handle_;
};

/// The errno that comes nearest.
int ucx_errno(ucs_status_t status);

}  // namespace shadowserve
