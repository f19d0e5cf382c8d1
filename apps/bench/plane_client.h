// The bench as an engine: saves parts through a data plane's rings and fetches them back to back.
#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "bench/bench_input.h"
#include "plane/pipeline.h"
#include "plane/session.h"

namespace shadowserve {

/// What was delivered between two replies.
struct FetchTally {
  uint64_t value_bytes = 0, wire_bytes = 0;
  uint64_t begin_ns = 0, end_ns = 0;  ///< of the replies
  std::vector<double> chunk_ms;       ///< first request to last reply, of chunks whose last lies within
  double seconds() const { return static_cast<double>(end_ns - begin_ns) * 1e-9; }
};

/// One session of a plane whose loops run. One thread, which sleeps while nothing is answered.
class PlaneClient {
 public:
  static constexpr uint32_t kRingEntries = 256;

  /// `session` is open with these ring entries; `staging` is what it was opened with.
  PlaneClient(Session& session, Doorbell& plane, const SharedRegion& staging, uint32_t window);

  /// Saves every part. Throws StartError.
  void save(const BenchInput& input);

  /// Fetches chunk after chunk for `warm_s` and then `seconds`, with as many parts asked for as the window
  /// allows. `begin` is called when the first part after warming up has come, `end` after the last one.
  /// `came` gets every part of the first chunk, and in the end of the last one: its number in the input and
  /// its values. Throws StartError.
  FetchTally fetch(const BenchInput& input, double warm_s, double seconds, const std::function<void()>& begin,
                   const std::function<void()>& end,
                   const std::function<void(uint32_t, std::span<const std::byte>)>& came);

 private:
  struct OpenChunk {
    uint64_t begun_ns = 0;
    uint32_t left = 0;
  };
  void ask(LinkOp op, const BenchInput& input, uint64_t number);
  /// Waits at most 100 ms. False when nothing was answered.
  bool answer(LinkReply& reply);
  std::span<std::byte> place_of(uint64_t number, size_t bytes) const;
  void fill_window(const BenchInput& input);

  Session& session_;
  Doorbell& plane_;
  std::span<std::byte> staging_;
  uint32_t window_;
  MonotonicClock clock_;
  RequestRing requests_;
  ReplyRing replies_;
  size_t stride_ = 0, places_ = 0;
  std::vector<bool> taken_;  // places in staging memory that were asked for
  uint64_t asked_ = 0, answered_ = 0;
  std::unordered_map<uint64_t, OpenChunk> open_;
};

}  // namespace shadowserve
