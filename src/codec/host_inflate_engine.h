// The software InflateEngine: this core, which decodes several Deflate frames at once.
#pragma once

#include "codec/codec.h"
#include "codec/deflate/deflate_streams.h"
#include "world/inflate_engine.h"

namespace shadowserve {

/// submit() only queues, poll() works: about kPollBytes of symbols of Deflate frames, or one frame of another
/// kind, so that a poll may well complete nothing. Completions come in the order of submission. No
/// allocation.
class HostInflateEngine final : public InflateEngine {
 public:
  static constexpr size_t kDepth = 2 * kFramesPerRecordMax;
  /// Together as much work as one frame of usual size, one at a time: what shares the thread waits no longer.
  static constexpr size_t kPollBytes = 64u << 10;

  explicit HostInflateEngine(CoderWorkspace& workspace) : workspace_(workspace) {}
  /// Every coder: what it does not know it completes with kUnsupported.
  InflateAbilities abilities() const override { return {kDepth, SIZE_MAX, SIZE_MAX, UINT32_MAX}; }
  Result<void> submit(const InflateTask& task) override;
  size_t poll(std::span<InflateDone> out) override;

 private:
  struct Entry {
    InflateTask task;
    DeflateStream stream;
    bool done;
    Error error;
  };
  Entry& entry(size_t number) { return entries_[number % kDepth]; }
  void work();
  static size_t lanes_for(size_t waiting);
  bool start_next();
  void decode_alone(Entry& entry);
  bool settle(Entry& entry);

  CoderWorkspace& workspace_;
  // Entries are numbered: [first_, next_) were begun, [next_, end_) wait.
  size_t first_ = 0;
  size_t next_ = 0;
  size_t end_ = 0;
  size_t lanes_ = kStreamLanes;  ///< in use at once, as long as any is
  Entry entries_[kDepth] = {};
  DeflateStreams streams_;
};

}  // namespace shadowserve
