// A point in the work of an engine's stream that others can wait for.
#pragma once

#include <memory>

#include "contract/result.h"

namespace shadowserve {

/// Shared by the jobs that must not touch pages before the stream has passed it. Made on the engine's thread
/// (no waiting, some microseconds), read on any; the last to let go of it may be any thread too.
class StreamFence {
 public:
  /// `stream` is a cudaStream_t of `device`; null is the default stream. The thread's current device stays.
  /// Errors: kSystem (also for a stream that is being captured: it runs nothing), kUnsupported.
  static Result<std::shared_ptr<const StreamFence>> record(int device, void* stream);
  ~StreamFence();
  StreamFence(const StreamFence&) = delete;
  StreamFence& operator=(const StreamFence&) = delete;
  void* event() const { return event_; }  ///< cudaEvent_t

 private:
  StreamFence() = default;
  void* event_ = nullptr;
};

}  // namespace shadowserve
