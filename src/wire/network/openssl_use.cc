// exit() runs handlers in reverse order: ours, registered after OpenSSL's own, runs before it.
#include "wire/network/openssl_use.h"

#include <cstdlib>
#include <mutex>

namespace shadowserve {
namespace {

struct Door {
  std::shared_mutex mutex;
  bool closed = false;
};

// Leaked on purpose: threads come here while the process is being torn down.
Door& door() {
  static Door* const made = new Door;
  return *made;
}

void close_door() {
  const std::unique_lock lock(door().mutex);
  door().closed = true;
}

}  // namespace

OpensslUse::OpensslUse() : lock_(door().mutex), allowed_(!door().closed) {}

void OpensslUse::watch_for_exit() {
  static const int registered = std::atexit(close_door);
  (void)registered;
}

}  // namespace shadowserve
