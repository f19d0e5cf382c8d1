// The double's contexts, tasks and progress engines, and what its device does with a task.
#include <algorithm>
#include <cstring>
#include <utility>

#include "doca_objects.h"

namespace doca_double {

OneThread::OneThread(doca_pe* engine, const char* call) : engine_(engine) {
  // A callback of this very engine may call back in.
  nested_ = engine_ == nullptr || engine_->thread.load() == std::this_thread::get_id();
  if (!nested_) {
    std::thread::id nobody;
    if (!engine_->thread.compare_exchange_strong(nobody, std::this_thread::get_id())) {
      complain(std::string("two threads at once in a progress engine: ") + call);
      nested_ = true;
    }
  }
  world().calls.lock();
}
OneThread::~OneThread() {
  world().calls.unlock();
  if (!nested_) engine_->thread.store({});
}

void set_state(doca_ctx& context, doca_ctx_states next) {
  const doca_ctx_states before = std::exchange(context.state, next);
  if (context.state_changed != nullptr) context.state_changed(context.user_data, &context, before, next);
}

namespace {

// Contexts promise that tasks cost no allocation: the inflater's state comes from here.
void* stream_alloc(void* opaque, unsigned count, unsigned size) {
  auto& context = *static_cast<doca_ctx*>(opaque);
  const size_t bytes = (size_t{count} * size + 63) / 64 * 64;
  if (context.stream_used + bytes > context.stream_memory.size()) return nullptr;
  void* taken = context.stream_memory.data() + context.stream_used;
  context.stream_used += bytes;
  return taken;
}
void stream_free(void*, void*) {}

doca_error_t inflate_task(doca_ctx& context, const doca_task& task) {
  z_stream& stream = context.stream;
  inflateReset(&stream);
  stream.next_in = reinterpret_cast<Bytef*>(task.from->start);
  stream.avail_in = static_cast<uInt>(task.from->data_bytes);
  // Behind what data the destination has already, as the libraries do.
  stream.next_out = reinterpret_cast<Bytef*>(task.to->start + task.to->data_bytes);
  stream.avail_out = static_cast<uInt>(task.to->bytes - task.to->data_bytes);
  if (inflate(&stream, Z_FINISH) != Z_STREAM_END) return DOCA_ERROR_IO_FAILED;
  task.to->data_bytes += stream.total_out;
  return DOCA_SUCCESS;
}

doca_error_t copy_task(const doca_task& task) {
  if (task.to->bytes - task.to->data_bytes < task.from->data_bytes) return DOCA_ERROR_INVALID_VALUE;
  std::memcpy(task.to->start + task.to->data_bytes, task.from->start, task.from->data_bytes);
  task.to->data_bytes += task.from->data_bytes;
  return DOCA_SUCCESS;
}

bool every(uint32_t n, uint64_t count) { return n > 0 && count % n == 0; }

bool counted(uint32_t& left) { return left > 0 && left-- > 0; }

void check_side(const doca_ctx& context, const doca_buf& buf, size_t bytes) {
  const Behaviour& b = behaviour();
  const uint64_t most = context.library == doca_ctx::kInflate ? b.inflate_bytes_max : b.copy_bytes_max;
  if (buf.references == 0) complain("a task is submitted with a buffer that was given back");
  if (buf.in_task) complain("a task is submitted with a buffer that another task has");
  if (!buf.map->covers(buf.start, buf.bytes)) complain("a task is submitted outside its memory map");
  if (bytes > most) complain("a task is larger than the device's maximum");
}

void hold_bufs(const doca_task& task, bool held) {
  const_cast<doca_buf*>(task.from)->in_task = held;
  task.to->in_task = held;
}

void end_task(doca_ctx& context, doca_task& task, doca_error_t status) {
  hold_bufs(task, false);
  task.under_way = false;
  task.status = status;
  (status == DOCA_SUCCESS ? context.completed : context.failed)(&task, task.user_data, context.user_data);
}

/// True when something happened.
bool progress_stopping(doca_ctx& context) {
  if (!context.under_way.empty()) {
    doca_task* task = context.under_way.front();
    context.under_way.erase(context.under_way.begin());
    ++world().counts.flushed;
    end_task(context, *task, DOCA_ERROR_BAD_STATE);
    return true;
  }
  const bool all_freed = std::none_of(context.tasks.begin(), context.tasks.end(),
                                      [](const auto& task) { return task->allocated; });
  if (all_freed) set_state(context, DOCA_CTX_STATE_IDLE);
  return all_freed;
}

bool progress_running(doca_ctx& context) {
  World& w = world();
  if (context.broken) {
    context.broken = false;
    set_state(context, DOCA_CTX_STATE_STOPPING);
    return true;
  }
  if (w.behaviour.holding || context.under_way.empty()) return false;
  size_t which = 0;
  if (w.behaviour.reorder_seed != 0) {
    if (w.random_seed != w.behaviour.reorder_seed) w.random.seed(w.random_seed = w.behaviour.reorder_seed);
    which = w.random() % context.under_way.size();
  }
  doca_task* task = context.under_way[which];
  if (!task->flushed_out) return false;
  if (which > 0) ++w.counts.out_of_order;
  context.under_way.erase(context.under_way.begin() + static_cast<ptrdiff_t>(which));
  const doca_error_t status = carry_out(context, *task);
  ++(status == DOCA_SUCCESS ? w.counts.completed : w.counts.failed);
  end_task(context, *task, status);
  return true;
}

bool progress_context(doca_ctx& context) {
  switch (context.state) {
    case DOCA_CTX_STATE_IDLE:
      return false;
    case DOCA_CTX_STATE_STARTING:
      set_state(context, DOCA_CTX_STATE_RUNNING);
      return true;
    case DOCA_CTX_STATE_RUNNING:
      return progress_running(context);
    case DOCA_CTX_STATE_STOPPING:
      return progress_stopping(context);
  }
  return false;
}

}  // namespace

doca_error_t carry_out(doca_ctx& context, doca_task& task) {
  World& w = world();
  ++w.tasks_ended;
  if (w.behaviour.holds_after_tasks > 0 && --w.behaviour.holds_after_tasks == 0) w.behaviour.holding = true;
  if (counted(w.behaviour.failing_tasks) || every(w.behaviour.failing_every, w.tasks_ended)) {
    // It may have written something before it failed.
    if (task.to->bytes > 0) task.to->start[task.to->bytes / 2] ^= std::byte{0x5a};
    return DOCA_ERROR_IO_FAILED;
  }
  return context.library == doca_ctx::kInflate ? inflate_task(context, task) : copy_task(task);
}

void reset_device() {
  ++world().counts.resets;
  for (doca_ctx* context : world().contexts) {
    if (context->state == DOCA_CTX_STATE_RUNNING) context->broken = true;
  }
}

}  // namespace doca_double

using namespace doca_double;

doca_error_t doca_ctx_start(doca_ctx* context) {
  const OneThread one(context->engine, "doca_ctx_start");
  World& w = world();
  if (context->state != DOCA_CTX_STATE_IDLE) return DOCA_ERROR_BAD_STATE;
  if (context->engine == nullptr) return DOCA_ERROR_NOT_CONNECTED;
  if (context->tasks_max == 0) return DOCA_ERROR_INVALID_VALUE;
  if (counted(w.behaviour.starts_failing)) return DOCA_ERROR_INITIALIZATION;
  ++w.counts.starts;
  context->broken = false;
  context->tasks.clear();
  for (uint32_t i = 0; i < context->tasks_max; ++i) {
    if (context->library == doca_ctx::kInflate) {
      context->tasks.push_back(std::make_unique<doca_compress_task_decompress_deflate>());
    } else {
      context->tasks.push_back(std::make_unique<doca_dma_task_memcpy>());
    }
  }
  context->under_way.clear();
  context->under_way.reserve(context->tasks_max);
  context->stream_memory.resize(128 << 10);
  context->stream_used = 0;
  context->stream = {};
  context->stream.zalloc = stream_alloc;
  context->stream.zfree = stream_free;
  context->stream.opaque = context;
  if (inflateInit2(&context->stream, -15) != Z_OK) return DOCA_ERROR_INITIALIZATION;
  set_state(*context, w.behaviour.starts_later ? DOCA_CTX_STATE_STARTING : DOCA_CTX_STATE_RUNNING);
  return w.behaviour.starts_later ? DOCA_ERROR_IN_PROGRESS : DOCA_SUCCESS;
}
doca_error_t doca_ctx_stop(doca_ctx* context) {
  const OneThread one(context->engine, "doca_ctx_stop");
  if (context->state == DOCA_CTX_STATE_IDLE || context->state == DOCA_CTX_STATE_STOPPING) {
    return DOCA_ERROR_BAD_STATE;
  }
  context->broken = false;
  set_state(*context, DOCA_CTX_STATE_STOPPING);
  if (context->under_way.empty() && progress_stopping(*context)) return DOCA_SUCCESS;
  return DOCA_ERROR_IN_PROGRESS;
}
doca_error_t doca_ctx_get_state(const doca_ctx* context, doca_ctx_states* state) {
  *state = context->broken ? DOCA_CTX_STATE_STOPPING : context->state;
  return DOCA_SUCCESS;
}
doca_error_t doca_ctx_set_user_data(doca_ctx* context, doca_data user_data) {
  context->user_data = user_data;
  return DOCA_SUCCESS;
}
doca_error_t doca_ctx_set_state_changed_cb(doca_ctx* context, doca_ctx_state_changed_callback_t callback) {
  context->state_changed = callback;
  return DOCA_SUCCESS;
}

doca_error_t doca_pe_create(doca_pe** engine) {
  *engine = new doca_pe;
  ++world().objects;
  return DOCA_SUCCESS;
}
doca_error_t doca_pe_destroy(doca_pe* engine) {
  if (!engine->contexts.empty()) {
    complain("a progress engine is destroyed while contexts are connected");
    return DOCA_ERROR_IN_USE;
  }
  delete engine;
  --world().objects;
  return DOCA_SUCCESS;
}
doca_error_t doca_pe_connect_ctx(doca_pe* engine, doca_ctx* context) {
  if (context->engine != nullptr || context->state != DOCA_CTX_STATE_IDLE) return DOCA_ERROR_BAD_STATE;
  context->engine = engine;
  engine->contexts.push_back(context);
  return DOCA_SUCCESS;
}
uint8_t doca_pe_progress(doca_pe* engine) {
  if (engine->in_callback) {
    complain("progress inside a callback");
    return 0;
  }
  const OneThread one(engine, "doca_pe_progress");
  engine->in_callback = true;
  bool happened = false;
  for (size_t i = 0; i < engine->contexts.size() && !happened; ++i) {
    happened = progress_context(*engine->contexts[engine->next++ % engine->contexts.size()]);
  }
  engine->in_callback = false;
  return happened ? 1 : 0;
}

doca_error_t doca_task_submit_ex(doca_task* task, uint32_t flags) {
  const OneThread one(task->owner->engine, "doca_task_submit_ex");
  World& w = world();
  doca_ctx& context = *task->owner;
  ++w.counts.submits;
  if (!task->allocated) complain("a task is submitted that was freed");
  if (task->under_way) complain("a task is submitted that is under way");
  if (context.state != DOCA_CTX_STATE_RUNNING || context.broken) return DOCA_ERROR_BAD_STATE;
  if (counted(w.behaviour.busy_submits) || every(w.behaviour.busy_every, w.counts.submits)) {
    ++w.counts.busy;
    return DOCA_ERROR_AGAIN;
  }
  check_side(context, *task->from, task->from->data_bytes);
  check_side(context, *task->to, task->to->bytes);
  hold_bufs(*task, true);
  task->under_way = true;
  task->flushed_out = false;
  context.under_way.push_back(task);
  if ((flags & DOCA_TASK_SUBMIT_FLAG_FLUSH) != 0) {
    for (doca_task* waiting : context.under_way) waiting->flushed_out = true;
  }
  ++w.tasks_begun;
  const bool due = w.behaviour.resets_after_tasks > 0 && --w.behaviour.resets_after_tasks == 0;
  if (due || every(w.behaviour.resets_every, w.tasks_begun)) reset_device();
  return DOCA_SUCCESS;
}
void doca_task_free(doca_task* task) {
  const OneThread one(task->owner->engine, "doca_task_free");
  if (task->under_way) complain("a task is freed that is under way");
  if (!task->allocated) complain("a task is freed twice");
  task->allocated = false;
}
doca_error_t doca_task_get_status(const doca_task* task) { return task->status; }
void doca_task_set_user_data(doca_task* task, doca_data user_data) {
  if (!task->allocated || task->under_way) complain("the user data of a task that is not the caller's");
  task->user_data = user_data;
}
