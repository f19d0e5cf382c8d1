// A device's inflate engine with this core's behind it: whatever the device does, frames are decoded.
#pragma once

#include <array>

#include "codec/host_inflate_engine.h"
#include "plane/engine_counters.h"
#include "world/clock.h"

namespace shadowserve {

/// A frame goes to the device if that takes it (coder, sizes, not lost), else to the host's engine. One that
/// the device fails is decoded again by the host's engine, once, and that one's verdict counts: a status
/// does not tell a fault of the device from a hostile frame. A task that is not back after kEngineTaskNsMax
/// makes the device give everything back. A busy device is waited for: kNoCapacity.
class RescuedInflateEngine final : public InflateEngine {
 public:
  static constexpr size_t kDepth = 2 * kFramesPerRecordMax;

  /// All three outlive this.
  RescuedInflateEngine(InflateEngine& device, InflateEngine& host, const Clock& clock);
  InflateAbilities abilities() const override { return {kDepth, SIZE_MAX, SIZE_MAX, UINT32_MAX}; }
  Result<void> submit(const InflateTask& task) override;
  size_t poll(std::span<InflateDone> out) override;

  const EngineCounters& counters() const { return counters_; }
  bool device_lost() const { return device_.lost(); }

 private:
  struct Entry {
    enum Where : uint8_t { kFree, kDevice, kForHost, kHost };
    InflateTask task;
    uint64_t since_ns = 0;
    Where where = kFree;
  };
  bool suits_device(const InflateTask& task) const;
  Result<void> submit_to_host(size_t index);
  Result<void> take(size_t index, const InflateTask& task);
  size_t poll_device(std::span<InflateDone> out);
  size_t poll_host(std::span<InflateDone> out);
  void rescue();
  void watch();
  uint64_t settle(uint64_t index);

  InflateEngine& device_;
  InflateEngine& host_;
  const Clock& clock_;
  const InflateAbilities device_takes_;
  EngineCounters counters_;
  size_t count_ = 0;
  std::array<size_t, Entry::kHost + 1> at_{};  ///< entries by where they are
  std::array<Entry, kDepth> entries_;
  std::array<uint16_t, kDepth> free_;  ///< a stack; the first kDepth - count_
  bool abandoned_ = false;
};

}  // namespace shadowserve
