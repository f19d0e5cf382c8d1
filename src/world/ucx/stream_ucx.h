// Bytes through UCX, from a relay that stands beside the store: RDMA where there is hardware for it, else
// TCP.
#pragma once

#include <memory>
#include <string>

#include "world/stream.h"

namespace shadowserve {

/// Whether this process can use UCX, found out by loading its library and asking it for a context. Allocates
/// and blocks for a moment: call it at start, on a thread whose signal mask others may inherit (UCX starts
/// one of its own). From then on the library stays loaded.
struct UcxFinding {
  bool usable = false;
  std::string found;   ///< for people, without a full stop: what there is, or why it cannot be used
  std::string remedy;  ///< when not usable: what to do about it
};
UcxFinding find_ucx();

/// A stream to a UcxRelay, which pumps its bytes over TCP. Each has a thread that makes and ends its
/// connections, for UCX blocks and allocates there; connect() and close() only ask it. While bytes flow there
/// is no other thread: readv() and writev() drive UCX themselves.
///
/// Made on any thread; connect() to close() belong to one. fd() is an epoll descriptor: ask has_input()
/// before sleeping on it. Destroying waits for the thread, some 100 ms.
class UcxStream : public Stream {
 public:
  /// Starts the thread. kSystem with a sentence in `message` when find_ucx() would say no.
  static Result<std::unique_ptr<UcxStream>> create(std::string& message);
};

}  // namespace shadowserve
