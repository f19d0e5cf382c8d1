// Leave to call OpenSSL, which takes its own state away when the process ends - while an engine's link
// threads still run.
#pragma once

#include <shared_mutex>

namespace shadowserve {

/// Held around calls of OpenSSL by threads that nobody stops before exit(). Any number at once.
class OpensslUse {
 public:
  OpensslUse();
  /// False once exit() began: then OpenSSL is not touched any more, and what it holds is left to the system.
  explicit operator bool() const { return allowed_; }

  /// Once OpenSSL has been used; any number of times. From then on exit() waits for whoever is inside.
  static void watch_for_exit();

 private:
  std::shared_lock<std::shared_mutex> lock_;
  bool allowed_;
};

}  // namespace shadowserve
