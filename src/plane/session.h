// A session: one attached engine process, its rings, its staging memory and what its records look like.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codec/calibrated/calibrated_model.h"
#include "codec/profile.h"
#include "kernels/device_memory.h"
#include "memory/shared_region.h"
#include "wire/link_message.h"

namespace shadowserve {

/// A bounded FIFO of requests that wait for a slot. One thread; capacity taken at start.
class RequestQueue {
 public:
  struct Waiting {
    LinkRequest request;
    uint64_t arrived_ns = 0;
  };
  RequestQueue() : entries_(kLinkRingEntries) {}
  bool full() const { return tail_ - head_ == entries_.size(); }
  bool empty() const { return tail_ == head_; }
  uint32_t size() const { return static_cast<uint32_t>(tail_ - head_); }
  void push(const Waiting& waiting) { entries_[tail_++ % entries_.size()] = waiting; }
  Waiting& front() { return entries_[head_ % entries_.size()]; }
  void pop() { ++head_; }
  void clear() { head_ = tail_; }

 private:
  std::vector<Waiting> entries_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
};

/// One row of the fixed session table. The reception thread opens and closes it, the data plane's first
/// thread uses it while it is kActive; `state` hands it from one to the other.
class Session {
 public:
  Session() = default;
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  enum State : uint32_t {
    kFree,      ///< reception may open it
    kActive,    ///< the data plane serves it
    kDraining,  ///< the peer is gone; the data plane answers nobody and lets work in flight end
    kDrained,   ///< nothing in flight: reception may unmap it
  };

  // Reception thread, state kFree -> kActive. Takes `staging_fd` in every case. Opening a GPU's memory blocks
  // for milliseconds, the first time in a process for up to a second. `model` is what the calibration that
  // came with the hello gave for its profile and geometry.
  Result<void> open(const LinkHello& hello, int staging_fd, uint32_t ring_entries, std::string& message,
                    std::shared_ptr<const CalibratedModel> model = nullptr);
  /// kActive -> kDraining.
  void leave();
  /// kDrained -> kFree.
  void close();

  State state() const { return state_.load(std::memory_order_acquire); }

  // Data plane's first thread.
  RequestRing& requests() { return requests_; }
  /// Answers the peer. False when its ring is full, which an honest peer never lets happen.
  bool reply(const LinkReply& reply);
  RequestQueue& waiting_fetches() { return waiting_fetches_; }
  RequestQueue& waiting_saves() { return waiting_saves_; }
  void work_began() { ++in_flight_; }
  void work_ended() { --in_flight_; }
  uint32_t in_flight() const { return in_flight_; }
  /// kDraining -> kDrained once nothing is in flight.
  void drained();

  // Any thread of the data plane while work of this session is in flight.
  const KvGeometry& geometry() const { return geometry_; }
  const Profile& profile() const { return profile_; }
  const ChunkKey& seal() const { return seal_; }
  SealKind seal_kind() const { return seal_kind_; }
  std::string_view client_name() const { return client_name_; }
  /// Number of the GPU that holds the staging memory; -1: the host does, and this core may touch it.
  int device() const { return device_; }
  /// The staging memory if this host holds it, else nothing.
  std::span<std::byte> host_staging() const {
    return device_ < 0 ? std::span(staging_, staging_bytes_) : std::span<std::byte>();
  }
  /// Start of `bytes` bytes of staging memory. REQUIRES fits(offset, bytes).
  std::byte* staging(uint64_t offset, size_t bytes) const;
  bool fits(uint64_t offset, size_t bytes) const {
    return bytes <= staging_bytes_ && offset <= staging_bytes_ - bytes && offset % 64 == 0;
  }

  // For the welcome message.
  const SharedRegion& rings() const { return rings_; }
  uint64_t replies_offset() const { return RequestRing::bytes(ring_entries_); }
  uint32_t ring_entries() const { return ring_entries_; }
  int client_doorbell() const { return client_doorbell_; }

 private:
  Result<void> open_staging(const LinkHello& hello, int staging_fd, std::string& message);
  Result<void> take_profile(const LinkHello& hello, std::shared_ptr<const CalibratedModel> model,
                            std::string& message);
  Result<void> take_up(const LinkHello& hello, uint32_t ring_entries, std::string& message);
  void let_go();
  std::atomic<State> state_{kFree};
  KvGeometry geometry_;
  std::shared_ptr<const CalibratedModel> model_;
  Profile profile_;  ///< with model_
  ChunkKey seal_{};
  SealKind seal_kind_ = SealKind::kXxh3;
  std::string client_name_;
  SharedRegion host_staging_;
  DeviceMemory device_staging_;
  int device_ = -1;
  std::byte* staging_ = nullptr;  ///< of whichever of the two there is
  size_t staging_bytes_ = 0;
  SharedRegion rings_;
  uint32_t ring_entries_ = 0;
  int client_doorbell_ = -1;
  RequestRing requests_;
  ReplyRing replies_;
  RequestQueue waiting_fetches_;
  RequestQueue waiting_saves_;
  uint32_t in_flight_ = 0;
};

}  // namespace shadowserve
