// The staging regions of a transfer's link, one part each, and who owns each of them right now.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "chunk/kv_geometry.h"
#include "wire/link_message.h"

namespace shadowserve {

class TransferJob;

/// One part of a job: `chunk` counts from the job's first one.
struct PartTask {
  uint32_t chunk = 0;
  uint32_t part = 0;
};

/// Fixed pool of regions at region(i) = i * region_stride. A region belongs to us or, from send() to
/// settle(), to the plane. Fetches and saves have shares of their own (3/4 and 1/4), so that saves never
/// delay a fetch. A ticket is the region's index and a generation: an answer to an earlier use of the region
/// fits nothing. Link thread only.
class StagingTable {
 public:
  static constexpr uint32_t kRegionsMin = 4;
  /// More would not help: it is what a link's ring can carry.
  static constexpr uint32_t kRegionsMax = kLinkRingEntries;

  /// A region is a full part and slack for vector stores, in whole pages.
  static size_t region_stride(const KvGeometry& geometry);

  StagingTable(const KvGeometry& geometry, uint64_t staging_bytes);

  struct Region {
    uint64_t ticket = 0;       ///< of this use
    uint64_t deadline_ns = 0;  ///< while the plane owns it
    LinkOp op = LinkOp::kFetch;
    bool with_plane = false;
    /// The job that waits for it. Null while the plane owns it: nobody waits any more, and the region is
    /// quarantined until the answer comes or the link is replaced.
    std::shared_ptr<TransferJob> job;
    PartTask task;
  };

  static constexpr uint32_t kNone = UINT32_MAX;
  /// A free region of this operation's share, now `job`'s; kNone when there is none.
  uint32_t take(LinkOp op, std::shared_ptr<TransferJob> job, PartTask task);
  /// The region goes to the plane; returns the ticket to send.
  uint64_t send(uint32_t region, uint64_t deadline_ns);
  /// The region that this reply answers, ours again; kNone when the reply fits nothing.
  uint32_t settle(const LinkReply& reply);
  /// Ours again without having been sent, or after settle().
  void give_back(uint32_t region);
  /// `job` waits for nothing any more: its own regions become free, those with the plane are quarantined.
  void abandon(const TransferJob* job);
  /// The link was replaced, and with it the memory: every region is free.
  void reset();

  Region& at(uint32_t region) { return regions_[region]; }
  uint64_t offset(uint32_t region) const { return region * stride_; }
  uint32_t with_plane() const { return with_plane_; }
  uint32_t free() const { return static_cast<uint32_t>(free_fetch_.size() + free_save_.size()); }
  uint32_t size() const { return static_cast<uint32_t>(regions_.size()); }
  /// Of the fetches' share.
  uint32_t fetch_regions() const { return fetch_regions_; }
  /// Earliest deadline of what the plane owns; UINT64_MAX when it owns nothing.
  uint64_t oldest_deadline_ns() const;

 private:
  std::vector<uint32_t>& free_of(uint32_t region) {
    return region < fetch_regions_ ? free_fetch_ : free_save_;
  }
  uint64_t stride_;
  uint32_t fetch_regions_;
  uint32_t with_plane_ = 0;
  uint64_t generation_ = 0;
  std::vector<Region> regions_;
  std::vector<uint32_t> free_fetch_, free_save_;
};

}  // namespace shadowserve
