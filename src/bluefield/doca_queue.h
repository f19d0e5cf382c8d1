// One DOCA context as a queue of tasks: what both engines of a BlueField have in common. Needs the SDK; only
// the engines' .cc files and their tests include it.
#pragma once

#include <doca_buf.h>
#include <doca_buf_inventory.h>
#include <doca_ctx.h>
#include <doca_pe.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "bluefield/bluefield_device.h"
#include "contract/error.h"

namespace shadowserve {

/// What the queue has an answer to. Tests take one away and must see their check fail.
struct DocaHandling {
  bool busy = true;         ///< a submit that the device has no room for now
  bool failed_task = true;  ///< a task that ends with an error
  bool any_order = true;    ///< tasks that end in another order than they were submitted in
  bool reset = true;        ///< a context that stops by itself
};

/// `Kind` names the library's calls: see doca_kinds.h. Tasks and the buffers of the slots' side are taken
/// once and used again and again; a buffer of the other side comes from the inventory, which is a free list,
/// for one task.
template <class Kind, DocaHandling kHandling = DocaHandling{}>
class DocaQueue {
 public:
  struct Work {
    std::byte* from = nullptr;
    size_t from_bytes = 0;
    std::byte* to = nullptr;
    size_t to_bytes = 0;
    uint64_t ticket = 0;
  };
  struct Done {
    uint64_t ticket = 0;
    bool ok = false;
  };

  static Result<std::unique_ptr<DocaQueue>> create(const BluefieldDevice& device, const BluefieldReach& reach,
                                                   size_t depth_max) {
    std::unique_ptr<DocaQueue> queue(new DocaQueue(reach));
    if (!queue->make(device, depth_max)) return fail(Error::kSystem);
    return queue;
  }
  ~DocaQueue() {
    if (under_way_ > 0) take_back();
    // A device that keeps tasks even now may still write: nothing that it knows of is pulled from under it.
    if (under_way_ > 0) return;
    close();
    if (inventory_ != nullptr) doca_buf_inventory_destroy(inventory_);
    if (library_ != nullptr) Kind::destroy(library_);
    if (engine_ != nullptr) doca_pe_destroy(engine_);
  }
  DocaQueue(const DocaQueue&) = delete;
  DocaQueue& operator=(const DocaQueue&) = delete;

  size_t depth() const { return depth_; }
  bool lost() const { return lost_.load(std::memory_order_acquire); }

  Result<void> submit(const Work& work) {
    if (lost() || !running_) return fail(Error::kSystem);
    if (free_.empty()) return fail(Error::kNoCapacity);
    Item& item = items_[free_.back()];
    if (!place(item, work)) {
      let_go(item);
      return fail(Error::kUnsupported);
    }
    Kind::set_src(item.task, item.from);
    Kind::set_dst(item.task, item.to);
    item.ticket = work.ticket;
    item.expected_bytes = work.to_bytes;
    // Without the flush a library may keep tasks to itself until more have come.
    const doca_error_t answer = doca_task_submit_ex(Kind::as_task(item.task), DOCA_TASK_SUBMIT_FLAG_FLUSH);
    if (answer != DOCA_SUCCESS) {
      let_go(item);
      return refused(answer);
    }
    item.sequence = submitted_++;
    free_.pop_back();
    ++under_way_;
    return {};
  }

  /// Drives the library - its callbacks run inside - and tells what ended.
  size_t poll(std::span<Done> out) {
    if (lost()) return 0;  // and perhaps being revived, by another thread
    // Bounded: each call tells of one event at most.
    for (size_t i = 0; i < out.size() && under_way_ > 0 && doca_pe_progress(engine_) != 0; ++i) continue;
    const size_t count = std::min(out.size(), ended_.size());
    std::copy_n(ended_.begin(), count, out.begin());
    ended_.erase(ended_.begin(), ended_.begin() + static_cast<ptrdiff_t>(count));
    note_loss();
    return count;
  }

  void abandon() {
    if (!lost() && running_) doca_ctx_stop(context());
  }

  Result<void> revive() {
    if (!lost()) return {};
    close();
    if (!open()) {
      close();
      return fail(Error::kSystem);
    }
    lost_.store(false, std::memory_order_release);
    return {};
  }

 private:
  using Task = typename Kind::Task;
  struct Item {
    uint32_t number = 0;
    Task* task = nullptr;
    doca_buf* kept_from = nullptr;  ///< in the slots
    doca_buf* kept_to = nullptr;
    doca_buf* from = nullptr;  ///< of the task under way: kept or lent
    doca_buf* to = nullptr;
    uint64_t ticket = 0;
    uint64_t sequence = 0;
    size_t expected_bytes = 0;
  };
  static constexpr auto kPatience = std::chrono::seconds(1);

  explicit DocaQueue(const BluefieldReach& reach) : reach_(reach) {}
  doca_ctx* context() const { return Kind::as_ctx(library_); }

  bool make(const BluefieldDevice& device, size_t depth_max) {
    uint32_t device_max = 0;
    if (doca_pe_create(&engine_) != DOCA_SUCCESS ||
        Kind::create(device.handle(), &library_) != DOCA_SUCCESS ||
        Kind::get_max_num_tasks(library_, &device_max) != DOCA_SUCCESS) {
      return false;
    }
    depth_ = std::min<size_t>(depth_max, device_max);
    if (depth_ == 0) return false;
    items_.resize(depth_);
    free_.reserve(depth_);
    ended_.reserve(depth_);
    doca_data ours{};
    ours.ptr = this;
    const bool made = Kind::set_conf(library_, &completed, kHandling.failed_task ? &failed : &completed,
                                     static_cast<uint32_t>(depth_)) == DOCA_SUCCESS &&
                      doca_ctx_set_user_data(context(), ours) == DOCA_SUCCESS &&
                      doca_ctx_set_state_changed_cb(context(), &state_changed) == DOCA_SUCCESS &&
                      doca_pe_connect_ctx(engine_, context()) == DOCA_SUCCESS &&
                      // Kept and lent ones, for both sides of every task.
                      doca_buf_inventory_create(4 * depth_, &inventory_) == DOCA_SUCCESS &&
                      doca_buf_inventory_start(inventory_) == DOCA_SUCCESS;
    return made && open();
  }

  /// Starts the context and takes its tasks.
  bool open() {
    const doca_error_t started = doca_ctx_start(context());
    if (started != DOCA_SUCCESS && started != DOCA_ERROR_IN_PROGRESS) return false;
    if (!progress_until(DOCA_CTX_STATE_RUNNING)) return false;
    std::byte* slots = reach_.slots().start();
    doca_mmap* map = reach_.slots().handle();
    free_.clear();
    for (uint32_t i = 0; i < depth_; ++i) {
      Item& item = items_[i];
      item.number = i;
      doca_data ours{};
      ours.ptr = &item;
      if (doca_buf_inventory_buf_get_by_data(inventory_, map, slots, 1, &item.kept_from) != DOCA_SUCCESS ||
          doca_buf_inventory_buf_get_by_addr(inventory_, map, slots, 1, &item.kept_to) != DOCA_SUCCESS ||
          Kind::alloc_init(library_, item.kept_from, item.kept_to, ours, &item.task) != DOCA_SUCCESS) {
        return false;
      }
      free_.push_back(i);
    }
    running_ = true;
    return true;
  }

  /// The opposite, from whatever state. A context becomes idle when all its tasks were given back. REQUIRES
  /// that none is under way.
  void close() {
    running_ = false;
    for (Item& item : items_) {
      if (item.task != nullptr) doca_task_free(Kind::as_task(item.task));
      for (doca_buf* kept : {item.kept_from, item.kept_to}) {
        if (kept != nullptr) doca_buf_dec_refcount(kept, nullptr);
      }
      item = {};
    }
    if (library_ == nullptr) return;
    doca_ctx_states state = DOCA_CTX_STATE_IDLE;
    doca_ctx_get_state(context(), &state);
    if (state == DOCA_CTX_STATE_IDLE) return;
    if (state != DOCA_CTX_STATE_STOPPING) doca_ctx_stop(context());
    progress_until(DOCA_CTX_STATE_IDLE);
  }

  /// For the end of the queue: whatever is still with the device must come back before memory goes.
  void take_back() {
    abandon();
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (under_way_ > 0 && std::chrono::steady_clock::now() < until) doca_pe_progress(engine_);
  }

  bool progress_until(doca_ctx_states wanted) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    doca_ctx_states state = wanted;
    while (doca_ctx_get_state(context(), &state) == DOCA_SUCCESS && state != wanted) {
      if (std::chrono::steady_clock::now() >= until) return false;
      doca_pe_progress(engine_);
    }
    return state == wanted;
  }

  /// Points the item's buffers at the work. False when the device was not told of the memory.
  bool place(Item& item, const Work& work) {
    const BluefieldMemory* from = reach_.find(work.from, work.from_bytes);
    const BluefieldMemory* to = reach_.find(work.to, work.to_bytes);
    if (from == nullptr || to == nullptr) return false;
    doca_error_t placed = DOCA_SUCCESS;
    if (from == &reach_.slots()) {
      item.from = item.kept_from;
      placed = doca_buf_inventory_buf_reuse_by_data(item.from, work.from, work.from_bytes);
    } else {
      placed = doca_buf_inventory_buf_get_by_data(inventory_, from->handle(), work.from, work.from_bytes,
                                                  &item.from);
    }
    if (placed != DOCA_SUCCESS) return false;
    if (to == &reach_.slots()) {
      item.to = item.kept_to;
      placed = doca_buf_inventory_buf_reuse_by_addr(item.to, work.to, work.to_bytes);
    } else {
      placed = doca_buf_inventory_buf_get_by_addr(inventory_, to->handle(), work.to, work.to_bytes, &item.to);
    }
    return placed == DOCA_SUCCESS;
  }

  /// Gives lent buffers back, so that the memory they are in can go.
  void let_go(Item& item) {
    if (item.from != nullptr && item.from != item.kept_from) doca_buf_dec_refcount(item.from, nullptr);
    if (item.to != nullptr && item.to != item.kept_to) doca_buf_dec_refcount(item.to, nullptr);
    item.from = item.to = nullptr;
  }

  /// What the answer means; the task is ours again in any case. The documentation promises no particular code
  /// for a full queue, so all that say "not now" count.
  Result<void> refused(doca_error_t answer) {
    const bool not_now =
        answer == DOCA_ERROR_AGAIN || answer == DOCA_ERROR_FULL || answer == DOCA_ERROR_NO_MEMORY;
    if (kHandling.busy && not_now) return fail(Error::kNoCapacity);
    doca_ctx_states state = DOCA_CTX_STATE_RUNNING;
    doca_ctx_get_state(context(), &state);
    if (state == DOCA_CTX_STATE_RUNNING) return fail(Error::kUnsupported);
    if (kHandling.reset) running_ = false;
    note_loss();
    return fail(Error::kSystem);
  }

  // From here on inside doca_pe_progress().
  static void completed(Task* task, doca_data item, doca_data queue) {
    static_cast<DocaQueue*>(queue.ptr)->end(*static_cast<Item*>(item.ptr), task, true);
  }
  static void failed(Task* task, doca_data item, doca_data queue) {
    static_cast<DocaQueue*>(queue.ptr)->end(*static_cast<Item*>(item.ptr), task, false);
  }
  static void state_changed(const doca_data queue, doca_ctx*, doca_ctx_states, doca_ctx_states next) {
    auto* ours = static_cast<DocaQueue*>(queue.ptr);
    // Tasks under way come back through `failed`, one by one.
    if (kHandling.reset && next != DOCA_CTX_STATE_RUNNING) ours->running_ = false;
  }

  void end(Item& told, Task*, bool ok) {
    Item& item = kHandling.any_order ? told : oldest();
    if (ok && Kind::kSizeIsChecked && kHandling.failed_task) {
      // A stream may end early and be none the worse for it: not what the caller was promised.
      size_t made = 0;
      doca_buf_get_data_len(item.to, &made);
      ok = made == item.expected_bytes;
    }
    let_go(item);
    ended_.push_back({item.ticket, ok});
    free_.push_back(item.number);
    --under_way_;
  }

  /// For a queue that believes in order.
  Item& oldest() {
    const auto earlier = [](const Item& a, const Item& b) {
      return (a.from != nullptr) > (b.from != nullptr) || (a.from && b.from && a.sequence < b.sequence);
    };
    return *std::min_element(items_.begin(), items_.end(), earlier);
  }

  void note_loss() {
    if (running_ || under_way_ > 0 || !ended_.empty()) return;
    lost_.store(true, std::memory_order_release);
  }

  const BluefieldReach& reach_;
  doca_pe* engine_ = nullptr;
  typename Kind::Library* library_ = nullptr;
  doca_buf_inventory* inventory_ = nullptr;
  size_t depth_ = 0;
  std::vector<Item> items_;
  std::vector<uint32_t> free_;  ///< numbers of items, a stack
  uint64_t submitted_ = 0;
  size_t under_way_ = 0;
  std::vector<Done> ended_;  ///< not yet told
  bool running_ = false;
  std::atomic<bool> lost_{false};
};

}  // namespace shadowserve
