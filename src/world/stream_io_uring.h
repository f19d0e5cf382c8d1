// TCP through io_uring: receiving and sending share one call into the kernel, and asking in vain takes none.
#pragma once

#include <memory>
#include <string>

#include "world/stream.h"

namespace shadowserve {

/// How the kernel tells of what happened, best first; older kernels have only the later ones.
enum class IoUringMode : uint8_t {
  kDeferred,     ///< only when the owning thread calls, and for it alone (Linux 6.1)
  kCooperative,  ///< when the thread is in the kernel anyway (5.19)
  kPlain,        ///< whenever it likes, interrupting the thread (5.13)
};

/// Whether this process may use io_uring, found out by taking a ring and giving it back. Allocates and
/// blocks for a moment: call it at start.
struct IoUringFinding {
  bool usable = false;
  IoUringMode best = IoUringMode::kPlain;
  std::string found;   ///< for people, without a full stop: what there is, or why it is refused
  std::string remedy;  ///< when not usable: what to do about it
};
IoUringFinding find_io_uring();

/// A stream like TcpStream, with a ring of its own. No operation of the ring outlives the call that began it,
/// but for the two that only watch the socket: the memory of readv() and writev() is the caller's again when
/// they return. readv() in vain looks at memory shared with the kernel and calls nothing. writev() keeps
/// small amounts, which leave in the same call as the next readv(), or with flush().
///
/// Made on any thread; from the first ready() on it belongs to the thread that called it, all others may only
/// destroy it.
class IoUringStream : public Stream {
 public:
  /// What writev() keeps at most.
  static constexpr size_t kKeptBytesMax = 16u << 10;

  /// Takes the ring, and all memory that it ever takes. kSystem with a sentence in `message` when the kernel
  /// or the container refuses it, or where this build has no io_uring.
  static Result<std::unique_ptr<IoUringStream>> create(IoUringMode mode, std::string& message);

  /// Calls into the kernel so far, but for those of connect() and ready().
  virtual uint64_t kernel_calls() const = 0;
  /// Whether reads into the memory of use_memory() name it by its registration: on Linux 6.5 and later, and
  /// as far as the limit on locked memory allows.
  virtual bool has_registered_memory() const = 0;
};

}  // namespace shadowserve
