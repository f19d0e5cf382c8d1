// Where the data plane listens, and engines connect, when nobody says otherwise.
#pragma once

#include <cstdlib>
#include <string>

#include <unistd.h>

namespace shadowserve {

/// $SHADOWSERVE_SOCKET, else $XDG_RUNTIME_DIR/shadowserve.sock, else /tmp/shadowserve-<uid>.sock.
inline std::string default_socket_path() {
  const auto set = [](const char* value) { return value != nullptr && *value != '\0'; };
  if (const char* path = std::getenv("SHADOWSERVE_SOCKET"); set(path)) return path;
  if (const char* folder = std::getenv("XDG_RUNTIME_DIR"); set(folder)) {
    return std::string(folder) + "/shadowserve.sock";
  }
  return "/tmp/shadowserve-" + std::to_string(getuid()) + ".sock";
}

}  // namespace shadowserve
