// Ownership of staging regions.
#include "control/staging_table.h"

#include <algorithm>

#include "contract/check.h"
#include "contract/limits.h"

namespace shadowserve {
namespace {

constexpr uint32_t kRegionBits = 16;
static_assert(StagingTable::kRegionsMax <= 1u << kRegionBits);
constexpr size_t kPageBytes = 4096;

}  // namespace

size_t StagingTable::region_stride(const KvGeometry& geometry) {
  const size_t bytes = geometry.planes_per_part() * geometry.plane_bytes() + kRegionSlack;
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

StagingTable::StagingTable(const KvGeometry& geometry, uint64_t staging_bytes)
    : stride_(region_stride(geometry)) {
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(kRegionsMax, staging_bytes / stride_));
  SS_CHECK(count >= kRegionsMin, "the options were checked");
  fetch_regions_ = count - count / 4;
  regions_.resize(count);
  free_fetch_.reserve(count);
  free_save_.reserve(count);
  reset();
}

void StagingTable::reset() {
  free_fetch_.clear();
  free_save_.clear();
  with_plane_ = 0;
  for (uint32_t region = size(); region-- > 0;) {
    regions_[region] = {};
    free_of(region).push_back(region);
  }
}

uint32_t StagingTable::take(LinkOp op, std::shared_ptr<TransferJob> job, PartTask task) {
  std::vector<uint32_t>& share = op == LinkOp::kFetch ? free_fetch_ : free_save_;
  if (share.empty()) return kNone;
  const uint32_t index = share.back();
  share.pop_back();
  regions_[index] = {0, 0, op, false, std::move(job), task};
  return index;
}

uint64_t StagingTable::send(uint32_t region, uint64_t deadline_ns) {
  Region& sent = regions_[region];
  SS_CHECK(!sent.with_plane, "a region is sent once per use");
  sent.ticket = ++generation_ << kRegionBits | region;
  sent.deadline_ns = deadline_ns;
  sent.with_plane = true;
  ++with_plane_;
  return sent.ticket;
}

uint32_t StagingTable::settle(const LinkReply& reply) {
  const auto index = static_cast<uint32_t>(reply.ticket & ((1u << kRegionBits) - 1));
  if (index >= regions_.size()) return kNone;
  Region& region = regions_[index];
  if (!region.with_plane || region.ticket != reply.ticket || region.op != reply.op) return kNone;
  region.with_plane = false;
  --with_plane_;
  return index;
}

void StagingTable::give_back(uint32_t region) {
  SS_CHECK(!regions_[region].with_plane, "only the plane's answer ends its ownership");
  regions_[region] = {};
  free_of(region).push_back(region);
}

void StagingTable::abandon(const TransferJob* job) {
  for (uint32_t index = 0; index < size(); ++index) {
    Region& region = regions_[index];
    if (region.job.get() != job) continue;
    region.job.reset();
    if (!region.with_plane) give_back(index);
  }
}

uint64_t StagingTable::oldest_deadline_ns() const {
  uint64_t oldest = UINT64_MAX;
  if (with_plane_ == 0) return oldest;
  for (const Region& region : regions_) {
    if (region.with_plane) oldest = std::min(oldest, region.deadline_ns);
  }
  return oldest;
}

}  // namespace shadowserve
