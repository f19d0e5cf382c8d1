// Opening and closing the database, and its threads.
#include "store/rocksdb_core.h"

#include <fmt/format.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "contract/check.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

rocksdb::DBOptions database_options(uint64_t write_buffer) {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.max_open_files = 512;
  options.max_background_jobs = 2;
  options.max_total_wal_size = write_buffer * 2;
  options.allow_fallocate = false;   // preallocated logs would count against the limit
  options.bytes_per_sync = 1 << 20;  // write back steadily instead of in bursts that stall readers; logs
                                     // mostly are deleted before the system writes them back at all
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1 << 20;
  options.stats_dump_period_sec = 0;
  return options;
}

rocksdb::ColumnFamilyOptions record_options(uint64_t write_buffer) {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = write_buffer;
  options.max_write_buffer_number = 3;            // with more RocksDB slows writers down long before
  options.compression = rocksdb::kNoCompression;  // records are entropy coded already
  options.enable_blob_files = true;
  options.min_blob_size = 4096;
  options.blob_file_size = write_buffer;
  options.blob_compression_type = rocksdb::kNoCompression;
  // Blob files whose records are all gone are deleted by any compaction. Moving survivors out of the others
  // is left to the cleaner: RocksDB's own rule moves the oldest files at every compaction, needed or not, and
  // with hashed keys every compaction touches all of them.
  options.enable_blob_garbage_collection = true;
  options.blob_garbage_collection_age_cutoff = 0;
  options.level0_file_num_compaction_trigger = 2;  // tables hold keys only: compaction is cheap
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(16u << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

/// Empty when `path` may be opened, else why not.
std::string unsuitable(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code code;
  fs::create_directories(path, code);
  if (code) return fmt::format("cannot create {}: {}", path, code.message());
  if (fs::exists(fs::path(path) / "CURRENT", code) || fs::exists(fs::path(path) / "LOCK", code)) return {};
  const fs::directory_iterator entries(path, code);
  if (code) return fmt::format("cannot read {}: {}", path, code.message());
  if (entries != fs::directory_iterator()) {
    return fmt::format("{} holds something that is not a record store; name an empty or new folder", path);
  }
  return {};
}

}  // namespace

RocksdbCore::RocksdbCore(const RocksdbOptions& options) : options_(options), directory_(options.evict_fifo) {}

Result<std::shared_ptr<RocksdbCore>> RocksdbCore::open(const RocksdbOptions& options, std::string& message) {
  if (options.limit_bytes < kRocksdbLimitMin) {
    message = fmt::format("limit={} is too small for a RocksDB store; give it at least {}",
                          format_byte_size(options.limit_bytes), format_byte_size(kRocksdbLimitMin));
    return fail(Error::kConfig);
  }
  const std::shared_ptr<RocksdbCore> core(new RocksdbCore(options));
  if (const Result<void> opened = core->open_database(message); !opened) return fail(opened.error());
  if (const Result<void> loaded = core->load_directory(message); !loaded) return fail(loaded.error());
  core->start();
  return core;
}

Result<void> RocksdbCore::open_database(std::string& message) {
  if (message = unsuitable(options_.path); !message.empty()) return fail(Error::kConfig);
  const uint64_t write_buffer = std::clamp<uint64_t>(options_.limit_bytes / 64, 2u << 20, 64u << 20);
  rocksdb::DB* database = nullptr;
  // One column family: with several RocksDB syncs its log at every flush, and everything goes to the disk
  // twice.
  const rocksdb::Options options(database_options(write_buffer), record_options(write_buffer));
  const rocksdb::Status status = rocksdb::DB::Open(options, options_.path, &database);
  if (status.ok()) {
    database_.reset(database);
    return {};
  }
  const std::string why = status.ToString();
  if (status.IsIOError() && why.find("lock") != std::string::npos) {
    message = fmt::format(
        "the store at {} is in use by another process or store; stop that one or name another "
        "path ({})",
        options_.path, why);
    return fail(Error::kConfig);
  }
  if (status.IsCorruption() || status.IsInvalidArgument()) {
    message = fmt::format(
        "the store at {} is damaged or of another kind ({}); it is only a cache: delete the "
        "folder to start with an empty one: rm -r '{}'",
        options_.path, why, options_.path);
    return fail(Error::kConfig);
  }
  message = fmt::format("cannot open the store at {}: {}; check the disk and the folder's permissions",
                        options_.path, why);
  return fail(Error::kSystem);
}

Result<void> RocksdbCore::load_directory(std::string& message) {
  struct Listed {
    std::string key;
    uint64_t bytes, sequence;
  };
  std::vector<Listed> all;
  const std::unique_ptr<rocksdb::Iterator> entry(database_->NewIterator(rocksdb::ReadOptions()));
  for (entry->Seek(kListing); entry->Valid() && entry->key().starts_with(kListing); entry->Next()) {
    uint64_t numbers[2];
    if (entry->value().size() != sizeof(numbers)) continue;
    std::memcpy(numbers, entry->value().data(), sizeof(numbers));
    all.push_back({entry->key().ToString().substr(kListing.size()), numbers[0], numbers[1]});
  }
  if (!entry->status().ok()) {
    message = fmt::format(
        "the store at {} has an unreadable directory ({}); it is only a cache: delete the folder "
        "to start with an empty one: rm -r '{}'",
        options_.path, entry->status().ToString(), options_.path);
    return fail(Error::kConfig);
  }
  std::sort(all.begin(), all.end(), [](const Listed& a, const Listed& b) { return a.sequence < b.sequence; });
  for (const Listed& record : all) directory_.add(record.key, record.bytes);
  if (!all.empty()) sequence_ = all.back().sequence + 1;
  // The limit may be lower than last time.
  batch_.Clear();
  if (directory_.usage().bytes > options_.limit_bytes && !write_with_room({}, 0)) {
    message = fmt::format("the store at {} holds more than its limit and cannot be written; check the disk",
                          options_.path);
    return fail(Error::kSystem);
  }
  return {};
}

void RocksdbCore::start() {
  measure_disk();
  threads_.resize(size_t{std::max(options_.readers, 1u)} + 1);
  for (StoreThread& thread : threads_) {
    thread.doorbell = eventfd(0, EFD_CLOEXEC);
    SS_CHECK(thread.doorbell >= 0, "the store gets its descriptors at start");
  }
  for (uint32_t i = 0; i < thread_count(); ++i) threads_[i].thread = std::thread([this, i] { serve(i); });
  cleaner_ = std::thread([this] { keep_bounded(); });
}

RocksdbCore::~RocksdbCore() {
  stopping_.store(true);
  for (uint32_t i = 0; i < thread_count(); ++i) ring(i);
  for (StoreThread& thread : threads_) {
    thread.thread.join();
    close(thread.doorbell);
  }
  if (cleaner_.joinable()) {
    { const std::lock_guard lock(cleaner_mutex_); }
    cleaner_wakes_.notify_all();
    cleaner_.join();
  }
  if (database_ == nullptr) return;
  const rocksdb::Status flushed = database_->Flush(rocksdb::FlushOptions());
  if (!flushed.ok()) spdlog::warn("store {}: last flush: {}", options_.path, flushed.ToString());
  database_->Close();
}

void RocksdbCore::attach(std::shared_ptr<RocksdbChannel> channel) {
  const std::lock_guard lock(channels_mutex_);
  channels_.push_back(std::move(channel));
  channels_version_.fetch_add(1);
}

void RocksdbCore::detach(const RocksdbChannel* channel) {
  const std::lock_guard lock(channels_mutex_);
  std::erase_if(channels_, [&](const auto& entry) { return entry.get() == channel; });
  channels_version_.fetch_add(1);
}

void RocksdbCore::ring(uint32_t thread) { eventfd_write(threads_[thread].doorbell, 1); }

}  // namespace shadowserve
