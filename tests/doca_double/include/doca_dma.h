// Of the DOCA double: the copy library.
#pragma once

#include <doca_error.h>
#include <doca_types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct doca_dma;
struct doca_dma_task_memcpy;
typedef void (*doca_dma_task_memcpy_completion_cb_t)(struct doca_dma_task_memcpy* task,
                                                     union doca_data task_user_data,
                                                     union doca_data ctx_user_data);

doca_error_t doca_dma_create(struct doca_dev* dev, struct doca_dma** dma);
doca_error_t doca_dma_destroy(struct doca_dma* dma);
struct doca_ctx* doca_dma_as_ctx(struct doca_dma* dma);
doca_error_t doca_dma_cap_task_memcpy_is_supported(const struct doca_devinfo* devinfo);
doca_error_t doca_dma_cap_task_memcpy_get_max_buf_size(const struct doca_devinfo* devinfo,
                                                       uint64_t* buf_size);
doca_error_t doca_dma_cap_get_max_num_tasks(struct doca_dma* dma, uint32_t* max_num_tasks);
doca_error_t doca_dma_task_memcpy_set_conf(struct doca_dma* dma,
                                           doca_dma_task_memcpy_completion_cb_t task_completion_cb,
                                           doca_dma_task_memcpy_completion_cb_t task_error_cb,
                                           uint32_t num_memcpy_tasks);
doca_error_t doca_dma_task_memcpy_alloc_init(struct doca_dma* dma, const struct doca_buf* src,
                                             struct doca_buf* dst, union doca_data user_data,
                                             struct doca_dma_task_memcpy** task);
struct doca_task* doca_dma_task_memcpy_as_task(struct doca_dma_task_memcpy* task);
void doca_dma_task_memcpy_set_src(struct doca_dma_task_memcpy* task, const struct doca_buf* src);
void doca_dma_task_memcpy_set_dst(struct doca_dma_task_memcpy* task, struct doca_buf* dst);

#ifdef __cplusplus
}
#endif
