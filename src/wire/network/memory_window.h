// The window: how a data plane on another machine reaches an engine's staging memory. Here it stands for
// PCIe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "contract/limits.h"
#include "contract/result.h"
#include "memory/shared_region.h"

namespace shadowserve {

enum class WindowKind : uint8_t {
  kNone = 0,    ///< a link for lookups only
  kWindow = 1,  ///< a token; the memory was announced at the plane's window socket
};

/// What travels in a hello, as the descriptor of an exported memory map does: it names memory, it is not the
/// memory.
struct WindowHandle {
  std::array<std::byte, 16> token{};
  uint64_t bytes = 0;  ///< 0: no memory
};

/// The engine's end: exports memory for the plane that listens on a window socket. A Unix socket on a folder
/// that both see reaches across network namespaces; the handle of the memory is all that crosses it.
class WindowExport {
 public:
  WindowExport() = default;
  WindowExport(WindowExport&& other) noexcept;
  WindowExport& operator=(WindowExport&& other) noexcept;
  ~WindowExport();

  /// Announces the region under a token that nobody can guess. Does not block. kPlaneDown or kSystem with a
  /// sentence in `message`. The announcement ends with the object, unless the plane has taken it.
  static Result<WindowExport> announce(const std::string& path, const SharedRegion& region, uint64_t bytes,
                                       std::string& message);
  const WindowHandle& handle() const { return handle_; }

 private:
  int fd_ = -1;
  WindowHandle handle_;
};

/// The plane's end: keeps what engines announce until a hello asks for it. One thread; nothing blocks.
class WindowDesk {
 public:
  WindowDesk() = default;
  ~WindowDesk();
  WindowDesk(const WindowDesk&) = delete;
  WindowDesk& operator=(const WindowDesk&) = delete;

  /// kConfig with a sentence in `message`.
  Result<void> listen(const std::string& path, std::string& message);
  /// Takes in what was announced, forgets what was withdrawn.
  void step();
  /// The memory's descriptor, which is the caller's; each token works once. kConfig with a sentence in
  /// `message`.
  Result<int> take(const WindowHandle& handle, std::string& message);
  size_t waiting() const;
  /// Readable when somebody announces; -1: not listening.
  int fd() const { return fd_; }

 private:
  struct Announcement {
    int socket = -1;
    int memory = -1;
    WindowHandle handle;
    uint64_t by_ns = 0;  ///< nothing announced by then: show it the door
  };
  void hear(Announcement& each);
  static void forget(Announcement& each);
  std::string path_;
  int fd_ = -1;
  std::array<Announcement, kNetworkPeersMax> rows_;
};

}  // namespace shadowserve
