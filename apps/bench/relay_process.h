// A relay of a bench's own, as a process beside it: what it costs must not hide in the bench's.
#pragma once

#include <sys/types.h>

#include "store/store_url.h"

namespace shadowserve {

class RelayProcess {
 public:
  /// Runs this very program as `shadowserve relay`, to the server `to`; it ends with this object and with
  /// the thread that made it. Throws StartError with what it said when it does not start.
  explicit RelayProcess(const StoreServer& to);
  ~RelayProcess();
  RelayProcess(const RelayProcess&) = delete;
  RelayProcess& operator=(const RelayProcess&) = delete;

  int port() const { return port_; }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int port_ = 0;
};

}  // namespace shadowserve
