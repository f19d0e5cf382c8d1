// What the double's objects are made of.
#pragma once

#include <doca_buf.h>
#include <doca_buf_inventory.h>
#include <doca_compress.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_dma.h>
#include <doca_mmap.h>
#include <doca_pe.h>
#include <zlib.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "doca_double.h"

struct doca_devinfo {
  uint32_t number = 0;
};
struct doca_dev {
  doca_devinfo info;
  int users = 0;  ///< contexts and memory maps
};
struct doca_mmap {
  std::byte* start = nullptr;
  size_t bytes = 0;
  uint32_t access = 0;
  bool started = false;
  bool imported = false;
  int bufs = 0;
  doca_dev* device = nullptr;
  std::array<uint64_t, 4> exported{};
  bool covers(const std::byte* at, size_t count) const {
    return started && at >= start && at + count <= start + bytes;
  }
};
struct doca_buf {
  doca_buf_inventory* inventory = nullptr;
  doca_mmap* map = nullptr;
  std::byte* start = nullptr;
  size_t bytes = 0;
  size_t data_bytes = 0;  ///< from the start on
  int references = 0;
  bool in_task = false;
};
struct doca_buf_inventory {
  std::vector<doca_buf> bufs;
  std::vector<doca_buf*> free;
  bool started = false;
};
struct doca_task {
  doca_ctx* owner = nullptr;
  const doca_buf* from = nullptr;
  doca_buf* to = nullptr;
  doca_data user_data{};
  doca_error_t status = DOCA_SUCCESS;
  bool allocated = false;
  bool under_way = false;
  bool flushed_out = false;  ///< not kept back by the library
};
struct doca_pe {
  std::vector<doca_ctx*> contexts;
  size_t next = 0;
  std::atomic<std::thread::id> thread{};  ///< in a call that has this engine or one of its contexts
  bool in_callback = false;
};

/// A context of either library.
struct doca_ctx {
  enum Library { kInflate, kCopy };
  using Callback = std::function<void(doca_task*, doca_data, doca_data)>;
  explicit doca_ctx(Library library_) : library(library_) {}

  Library library;
  doca_dev* device = nullptr;
  doca_pe* engine = nullptr;
  doca_ctx_states state = DOCA_CTX_STATE_IDLE;
  doca_data user_data{};
  doca_ctx_state_changed_callback_t state_changed = nullptr;
  Callback completed, failed;
  uint32_t tasks_max = 0;
  bool broken = false;  ///< the device was reset, and the library has not told yet
  std::vector<std::unique_ptr<doca_task>> tasks;
  std::vector<doca_task*> under_way;  ///< in the order of submission
  z_stream stream{};
  std::vector<std::byte> stream_memory;
  size_t stream_used = 0;
};
struct doca_compress {
  doca_ctx context{doca_ctx::kInflate};
};
struct doca_dma {
  doca_ctx context{doca_ctx::kCopy};
};
struct doca_compress_task_decompress_deflate : doca_task {};
struct doca_dma_task_memcpy : doca_task {};

namespace doca_double {

struct World {
  Behaviour behaviour;
  Counts counts;
  std::vector<std::string> complaints;
  std::vector<doca_ctx*> contexts;
  std::vector<doca_mmap*> maps;
  size_t objects = 0;
  uint64_t tasks_begun = 0;
  uint64_t tasks_ended = 0;
  std::mt19937_64 random;
  uint64_t random_seed = 0;
  std::mutex mutex;            ///< guards complaints
  std::recursive_mutex calls;  ///< guards everything else, once a call has passed its check
};
World& world();
void complain(std::string what);

/// Complains when two threads use one progress engine, or its contexts, at a time. Otherwise threads take
/// turns.
class OneThread {
 public:
  explicit OneThread(doca_pe* engine, const char* call);
  ~OneThread();

 private:
  doca_pe* engine_;
  bool nested_ = false;
};

/// The device's work on one task; what the library would report.
doca_error_t carry_out(doca_ctx& context, doca_task& task);
void set_state(doca_ctx& context, doca_ctx_states next);

}  // namespace doca_double
