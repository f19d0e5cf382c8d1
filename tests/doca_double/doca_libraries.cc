// The double's two libraries: contexts made of a device, and their tasks.
#include <algorithm>
#include <utility>

#include "doca_objects.h"

namespace doca_double {
namespace {

template <typename Library>
doca_error_t create(doca_dev* device, Library** out) {
  *out = new Library;
  (*out)->context.device = device;
  ++device->users;
  world().contexts.push_back(&(*out)->context);
  ++world().objects;
  return DOCA_SUCCESS;
}

template <typename Library>
doca_error_t destroy(Library* library) {
  doca_ctx& context = library->context;
  if (context.state != DOCA_CTX_STATE_IDLE) {
    complain("a context is destroyed that is not idle");
    return DOCA_ERROR_IN_USE;
  }
  if (context.engine != nullptr) std::erase(context.engine->contexts, &context);
  std::erase(world().contexts, &context);
  --context.device->users;
  delete library;
  --world().objects;
  return DOCA_SUCCESS;
}

template <typename Task, typename Callback>
doca_error_t set_conf(doca_ctx& context, Callback completed, Callback failed, uint32_t tasks) {
  if (context.state != DOCA_CTX_STATE_IDLE) return DOCA_ERROR_BAD_STATE;
  if (tasks == 0 || tasks > behaviour().tasks_max) return DOCA_ERROR_INVALID_VALUE;
  const auto as = [](Callback callback) {
    return [callback](doca_task* task, doca_data ours, doca_data context_s) {
      callback(static_cast<Task*>(task), ours, context_s);
    };
  };
  context.completed = as(completed);
  context.failed = as(failed);
  context.tasks_max = tasks;
  return DOCA_SUCCESS;
}

template <typename Task>
doca_error_t alloc(doca_ctx& context, const doca_buf* from, doca_buf* to, doca_data user_data, Task** out) {
  if (context.state != DOCA_CTX_STATE_RUNNING) return DOCA_ERROR_BAD_STATE;
  for (auto& task : context.tasks) {
    if (task->allocated) continue;
    *task = {&context, from, to, user_data, DOCA_SUCCESS, true, false, false};
    *out = static_cast<Task*>(task.get());
    return DOCA_SUCCESS;
  }
  return DOCA_ERROR_NO_MEMORY;
}

void change(doca_task* task, const char* what) {
  if (!task->allocated || task->under_way)
    complain(std::string(what) + " of a task that is not the caller's");
}

}  // namespace
}  // namespace doca_double

using namespace doca_double;

doca_error_t doca_compress_create(doca_dev* device, doca_compress** compress) {
  return create(device, compress);
}
doca_error_t doca_compress_destroy(doca_compress* compress) { return destroy(compress); }
doca_ctx* doca_compress_as_ctx(doca_compress* compress) { return &compress->context; }
doca_error_t doca_compress_cap_get_max_num_tasks(doca_compress*, uint32_t* most) {
  *most = behaviour().tasks_max;
  return DOCA_SUCCESS;
}
doca_error_t doca_compress_cap_task_decompress_deflate_is_supported(const doca_devinfo*) {
  return behaviour().inflates ? DOCA_SUCCESS : DOCA_ERROR_NOT_SUPPORTED;
}
doca_error_t doca_compress_cap_task_decompress_deflate_get_max_buf_size(const doca_devinfo*, uint64_t* most) {
  *most = behaviour().inflate_bytes_max;
  return DOCA_SUCCESS;
}
doca_error_t doca_compress_task_decompress_deflate_set_conf(
    doca_compress* compress, doca_compress_task_decompress_deflate_completion_cb_t completed,
    doca_compress_task_decompress_deflate_completion_cb_t failed, uint32_t tasks) {
  return set_conf<doca_compress_task_decompress_deflate>(compress->context, completed, failed, tasks);
}
doca_error_t doca_compress_task_decompress_deflate_alloc_init(doca_compress* compress, const doca_buf* from,
                                                              doca_buf* to, doca_data user_data,
                                                              doca_compress_task_decompress_deflate** task) {
  return alloc(compress->context, from, to, user_data, task);
}
doca_task* doca_compress_task_decompress_deflate_as_task(doca_compress_task_decompress_deflate* task) {
  return task;
}
void doca_compress_task_decompress_deflate_set_src(doca_compress_task_decompress_deflate* task,
                                                   const doca_buf* from) {
  change(task, "the source");
  task->from = from;
}
void doca_compress_task_decompress_deflate_set_dst(doca_compress_task_decompress_deflate* task,
                                                   doca_buf* to) {
  change(task, "the destination");
  task->to = to;
}

doca_error_t doca_dma_create(doca_dev* device, doca_dma** dma) { return create(device, dma); }
doca_error_t doca_dma_destroy(doca_dma* dma) { return destroy(dma); }
doca_ctx* doca_dma_as_ctx(doca_dma* dma) { return &dma->context; }
doca_error_t doca_dma_cap_task_memcpy_is_supported(const doca_devinfo*) {
  return behaviour().copies ? DOCA_SUCCESS : DOCA_ERROR_NOT_SUPPORTED;
}
doca_error_t doca_dma_cap_task_memcpy_get_max_buf_size(const doca_devinfo*, uint64_t* most) {
  *most = behaviour().copy_bytes_max;
  return DOCA_SUCCESS;
}
doca_error_t doca_dma_cap_get_max_num_tasks(doca_dma*, uint32_t* most) {
  *most = behaviour().tasks_max;
  return DOCA_SUCCESS;
}
doca_error_t doca_dma_task_memcpy_set_conf(doca_dma* dma, doca_dma_task_memcpy_completion_cb_t completed,
                                           doca_dma_task_memcpy_completion_cb_t failed, uint32_t tasks) {
  return set_conf<doca_dma_task_memcpy>(dma->context, completed, failed, tasks);
}
doca_error_t doca_dma_task_memcpy_alloc_init(doca_dma* dma, const doca_buf* from, doca_buf* to,
                                             doca_data user_data, doca_dma_task_memcpy** task) {
  return alloc(dma->context, from, to, user_data, task);
}
doca_task* doca_dma_task_memcpy_as_task(doca_dma_task_memcpy* task) { return task; }
void doca_dma_task_memcpy_set_src(doca_dma_task_memcpy* task, const doca_buf* from) {
  change(task, "the source");
  task->from = from;
}
void doca_dma_task_memcpy_set_dst(doca_dma_task_memcpy* task, doca_buf* to) {
  change(task, "the destination");
  task->to = to;
}
