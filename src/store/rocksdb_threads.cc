// What the embedded store's threads do: gets, puts with eviction, and cleaning.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "store/rocksdb_core.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

std::string listing_key(std::string_view key) { return std::string(RocksdbCore::kListing).append(key); }

constexpr uint64_t percent(uint64_t whole, uint64_t share) { return whole / 100 * share; }

// Shares of the limit that the disk may hold before old files are cleaned up, and before puts wait for that.
// The rest up to 130 % is for logs, and for the copies that cleaning makes before it deletes.
constexpr uint64_t kCleanFromPercent = 104;
constexpr uint64_t kRefuseFromPercent = 110;
constexpr double kCleanedShare = 0.08;
constexpr int kCleanedSharesMax = 12;

// For each byte put at most this many bytes of old but used records are written again. Evicting in the order
// of writing, with a second turn for what was used, keeps garbage together in the oldest files, which then go
// whole: strict LRU would leave holes everywhere, and filling those means rewriting the whole store again and
// again.
constexpr uint64_t kRenewedPerWritten = 2;

}  // namespace

void RocksdbCore::serve(uint32_t index) {
  std::vector<std::shared_ptr<RocksdbChannel>> channels;
  rocksdb::PinnableSlice value;  // keeps its memory from one get to the next
  uint64_t version = 0;
  while (!stopping_.load()) {
    if (version != channels_version_.load()) {
      const std::lock_guard lock(channels_mutex_);
      version = channels_version_.load();
      channels = channels_;
    }
    bool worked = false;
    for (const auto& channel :
         channels) {  // one operation each in turn: nobody waits behind a burst of another
      uint32_t slot = 0;
      if (!channel->lanes[index].requests->ring.pop(slot)) continue;
      run(*channel, channel->operations[slot], value);
      channel->finish(index, slot);
      worked = true;
    }
    if (worked) continue;
    bool sleep = true;
    for (const auto& channel : channels)
      sleep = channel->lanes[index].requests->ring.prepare_sleep() && sleep;
    eventfd_t count = 0;
    if (sleep && version == channels_version_.load()) eventfd_read(threads_[index].doorbell, &count);
    for (const auto& channel : channels) channel->lanes[index].requests->ring.end_sleep();
  }
}

void RocksdbCore::run(RocksdbChannel& channel, RocksdbOperation& operation, rocksdb::PinnableSlice& value) {
  operation.bytes = 0;
  if (channel.closing.load() || operation.hold.load() == Hold::kAbandoned) {
    operation.error = Error::kCancelled;
  } else if (channel.clock.now_ns() > operation.deadline_ns) {
    operation.error = Error::kDeadline;
  } else {
    operation.error =
        operation.kind == RocksdbOperation::Kind::kGet ? run_get(operation, value) : run_put(operation);
  }
}

Error RocksdbCore::run_get(RocksdbOperation& operation, rocksdb::PinnableSlice& value) {
  const std::string_view key = operation.key.view();
  if (!directory_.touch(key)) return Error::kMiss;
  value.Reset();
  const rocksdb::Status status =
      database_->Get(rocksdb::ReadOptions(), database_->DefaultColumnFamily(), slice(key), &value);
  if (status.IsNotFound()) return Error::kMiss;  // evicted this moment
  if (!status.ok()) {
    warn("get", status);
    return Error::kStoreRefused;
  }
  if (value.size() > operation.into.size()) return Error::kNoCapacity;
  if (!operation.claim()) return Error::kDeadline;
  if (value.size() > 0) std::memcpy(operation.into.data(), value.data(), value.size());
  operation.release();
  operation.bytes = value.size();
  value.Reset();
  return Error::kNone;
}

Error RocksdbCore::run_put(RocksdbOperation& operation) {
  const std::string_view key = operation.key.view();
  const size_t bytes = operation.from.size();
  if (bytes > options_.limit_bytes) return Error::kNoCapacity;
  if (disk_bytes() + bytes > percent(options_.limit_bytes, kRefuseFromPercent)) {
    cleaner_wakes_.notify_all();
    warn("put", rocksdb::Status::Busy("the disk is at its limit until old records are cleaned up"));
    return Error::kStoreRefused;
  }
  batch_.Clear();
  if (!operation.claim()) return Error::kDeadline;
  batch_.Put(slice(key), {reinterpret_cast<const char*>(operation.from.data()), bytes});
  operation.release();  // the batch has a copy
  list(key, bytes);
  if (!write_with_room(key, bytes)) return Error::kStoreRefused;
  operation.bytes = bytes;
  return Error::kNone;
}

void RocksdbCore::list(std::string_view key, uint64_t bytes) {
  const std::array<uint64_t, 2> numbers = {bytes, sequence_++};
  batch_.Put(listing_key(key), {reinterpret_cast<const char*>(numbers.data()), sizeof(numbers)});
}

bool RocksdbCore::write_with_room(std::string_view key, uint64_t bytes) {
  const RecordDirectory::Plan plan =
      directory_.make_room(bytes, options_.limit_bytes, bytes * kRenewedPerWritten, key);
  for (const RecordDirectory::Record& record : plan.evicted) {
    batch_.Delete(record.key);
    batch_.Delete(listing_key(record.key));
  }
  uint64_t renewed_bytes = 0;
  for (const RecordDirectory::Record& record : plan.renewed) {
    rocksdb::PinnableSlice value;
    if (!database_->Get(rocksdb::ReadOptions(), database_->DefaultColumnFamily(), record.key, &value).ok())
      continue;
    batch_.Put(record.key, value);
    list(record.key, value.size());
    renewed_bytes += value.size();
  }
  const rocksdb::Status status = database_->Write(rocksdb::WriteOptions(), &batch_);
  if (!status.ok()) {
    directory_.restore(plan.evicted);
    write_failed_.store(true);
    warn("put", status);
    return false;
  }
  if (!key.empty()) directory_.add(key, bytes);
  const uint64_t written = bytes + renewed_bytes;
  if (unmeasured_bytes_.fetch_add(written) + written > options_.limit_bytes / 64) cleaner_wakes_.notify_all();
  return true;
}

void RocksdbCore::warn(const char* what, const rocksdb::Status& status) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto now_ns = static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
  uint64_t next_ns = next_warning_ns_.load();
  if (now_ns < next_ns || !next_warning_ns_.compare_exchange_strong(next_ns, now_ns + 5 * kNsPerMs * 1000))
    return;
  spdlog::warn("store {}: {}: {}", options_.path, what, status.ToString());
}

void RocksdbCore::measure_disk() {
  namespace fs = std::filesystem;
  unmeasured_bytes_.store(0);
  uint64_t bytes = 0;
  std::error_code code;
  for (fs::directory_iterator entry(options_.path, code), end; !code && entry != end; entry.increment(code)) {
    std::error_code gone;  // files come and go while we look
    const uint64_t size = entry->is_regular_file(gone) ? entry->file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  disk_bytes_.store(bytes);
}

void RocksdbCore::clean(double oldest_share) {
  rocksdb::CompactRangeOptions range;
  range.exclusive_manual_compaction = false;
  range.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  range.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
  range.blob_garbage_collection_age_cutoff = oldest_share;
  const rocksdb::Status status = database_->CompactRange(range, nullptr, nullptr);
  if (!status.ok()) warn("clean", status);
}

void RocksdbCore::keep_bounded() {
  while (!stopping_.load()) {
    {
      std::unique_lock lock(cleaner_mutex_);
      cleaner_wakes_.wait_for(lock, std::chrono::seconds(1));
    }
    if (stopping_.load()) return;
    // A failed write (a full disk) stops RocksDB from writing until it is told that things may be better now.
    if (write_failed_.exchange(false)) database_->Resume().PermitUncheckedError();
    measure_disk();
    const auto too_much = [&] { return disk_bytes() > percent(options_.limit_bytes, kCleanFromPercent); };
    if (!too_much()) continue;
    clean(0);  // finds out what was deleted, and drops files of which nothing is left
    measure_disk();
    // Values written again and again leave holes elsewhere: then move survivors together, a few files at a
    // time.
    for (int i = 0; i < kCleanedSharesMax && too_much() && !stopping_.load(); ++i) {
      clean(kCleanedShare);
      measure_disk();
    }
  }
}

}  // namespace shadowserve
