// A device's copy engine with this core's behind it: whatever the device does, copies are made.
#pragma once

#include <array>

#include "plane/engine_counters.h"
#include "world/clock.h"
#include "world/copy_engine.h"

namespace shadowserve {

/// A copy goes to the device, in pieces where it is larger than one task may be, else to the host's engine.
/// One of which the device fails a piece is made again as a whole by the host's engine: copying twice is
/// harmless, both write the same bytes. A piece that is not back after kEngineTaskNsMax makes the device give
/// everything back. A busy device is waited for: kNoCapacity.
///
/// Without a host engine - this core cannot reach the other side: another machine's window - what the device
/// fails completes with kSystem, and what it refuses is refused.
class RescuedCopyEngine final : public CopyEngine {
 public:
  static constexpr size_t kDepth = 64;

  /// All outlive this; `host` may be null.
  RescuedCopyEngine(CopyEngine& device, CopyEngine* host, const Clock& clock);
  CopyAbilities abilities() const override { return {kDepth, SIZE_MAX}; }
  Result<void> submit(const CopyTask& task) override;
  size_t poll(std::span<CopyDone> out) override;

  const EngineCounters& counters() const { return counters_; }
  bool device_lost() const { return device_.lost(); }

 private:
  struct Entry {
    enum Where : uint8_t { kFree, kDevice, kHost, kHostDone };
    CopyTask task;
    size_t sent_bytes = 0;   ///< of the device's, in pieces
    uint32_t under_way = 0;  ///< pieces
    uint64_t since_ns = 0;
    bool failed = false;
    Where where = kFree;
  };
  Result<void> send_pieces(size_t index);
  Result<void> take(size_t index, const CopyTask& task);
  Result<void> submit_to_host(size_t index);
  void poll_device();
  void poll_host();
  bool advance(size_t index);
  void watch();

  CopyEngine& device_;
  CopyEngine* host_;
  const Clock& clock_;
  const size_t piece_bytes_max_;
  EngineCounters counters_;
  size_t count_ = 0;
  std::array<Entry, kDepth> entries_;
  bool abandoned_ = false;
};

}  // namespace shadowserve
