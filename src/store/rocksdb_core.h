// The embedded database shared by all clients: opening it, its threads, eviction, and keeping the disk
// bounded.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "store/record_directory.h"
#include "store/rocksdb_channel.h"
#include "store/rocksdb_store.h"

namespace shadowserve {

class RocksdbCore {
 public:
  /// Keys that begin so list what is there: kListing + record key -> bytes, sequence. The directory is
  /// rebuilt from them; being small they lie in the tables, so that this reads no values.
  static constexpr std::string_view kListing = "dir:";

  static Result<std::shared_ptr<RocksdbCore>> open(const RocksdbOptions& options, std::string& message);
  ~RocksdbCore();

  /// Threads: 0 .. readers-1 serve gets, the last one puts.
  uint32_t thread_count() const { return static_cast<uint32_t>(threads_.size()); }
  uint32_t writer() const { return thread_count() - 1; }
  void attach(std::shared_ptr<RocksdbChannel> channel);
  void detach(const RocksdbChannel* channel);
  /// Client: something was pushed to this thread's ring of a channel.
  void ring(uint32_t thread);

  const RecordDirectory& directory() const { return directory_; }
  const RocksdbOptions& options() const { return options_; }
  /// Bytes on disk, as last measured, plus what was written since.
  uint64_t disk_bytes() const { return disk_bytes_.load() + unmeasured_bytes_.load(); }

 private:
  struct StoreThread {
    std::thread thread;
    int doorbell = -1;
  };
  explicit RocksdbCore(const RocksdbOptions& options);
  Result<void> open_database(std::string& message);
  Result<void> load_directory(std::string& message);
  void start();

  void serve(uint32_t index);
  void run(RocksdbChannel& channel, RocksdbOperation& operation, rocksdb::PinnableSlice& value);
  Error run_get(RocksdbOperation& operation, rocksdb::PinnableSlice& value);
  Error run_put(RocksdbOperation& operation);
  void list(std::string_view key, uint64_t bytes);
  /// Writes the batch together with what makes room for `bytes` under the limit, then lists `key` (unless
  /// empty).
  bool write_with_room(std::string_view key, uint64_t bytes);
  void keep_bounded();
  void measure_disk();
  void clean(double oldest_share);
  void warn(const char* what, const rocksdb::Status& status);

  const RocksdbOptions options_;
  std::unique_ptr<rocksdb::DB> database_;
  RecordDirectory directory_;
  uint64_t sequence_ = 0;  // the writer's, as is the batch, which keeps its memory
  rocksdb::WriteBatch batch_;

  std::vector<StoreThread> threads_;
  std::mutex channels_mutex_;
  std::vector<std::shared_ptr<RocksdbChannel>> channels_;
  std::atomic<uint64_t> channels_version_{1};
  std::atomic<bool> stopping_{false};

  std::thread cleaner_;
  std::mutex cleaner_mutex_;
  std::condition_variable cleaner_wakes_;
  std::atomic<uint64_t> disk_bytes_{0}, unmeasured_bytes_{0};
  std::atomic<uint64_t> next_warning_ns_{0};
  std::atomic<bool> write_failed_{false};
};

}  // namespace shadowserve
