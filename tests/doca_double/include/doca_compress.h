// Of the DOCA double: the compression library, its Deflate decompression only.
#pragma once

#include <doca_error.h>
#include <doca_types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct doca_compress;
struct doca_compress_task_decompress_deflate;
typedef void (*doca_compress_task_decompress_deflate_completion_cb_t)(
    struct doca_compress_task_decompress_deflate* task, union doca_data task_user_data,
    union doca_data ctx_user_data);

doca_error_t doca_compress_create(struct doca_dev* dev, struct doca_compress** compress);
doca_error_t doca_compress_destroy(struct doca_compress* compress);
struct doca_ctx* doca_compress_as_ctx(struct doca_compress* compress);
doca_error_t doca_compress_cap_get_max_num_tasks(struct doca_compress* compress, uint32_t* max_num_tasks);
doca_error_t doca_compress_cap_task_decompress_deflate_is_supported(const struct doca_devinfo* devinfo);
doca_error_t doca_compress_cap_task_decompress_deflate_get_max_buf_size(const struct doca_devinfo* devinfo,
                                                                        uint64_t* max_buffer_size);
doca_error_t doca_compress_task_decompress_deflate_set_conf(
    struct doca_compress* compress, doca_compress_task_decompress_deflate_completion_cb_t task_completion_cb,
    doca_compress_task_decompress_deflate_completion_cb_t task_error_cb, uint32_t num_tasks);
doca_error_t doca_compress_task_decompress_deflate_alloc_init(
    struct doca_compress* compress, struct doca_buf const* src_buff, struct doca_buf* dst_buff,
    union doca_data user_data, struct doca_compress_task_decompress_deflate** task);
struct doca_task* doca_compress_task_decompress_deflate_as_task(
    struct doca_compress_task_decompress_deflate* task);
void doca_compress_task_decompress_deflate_set_src(struct doca_compress_task_decompress_deflate* task,
                                                   struct doca_buf const* src_buff);
void doca_compress_task_decompress_deflate_set_dst(struct doca_compress_task_decompress_deflate* task,
                                                   struct doca_buf* dst_buff);

#ifdef __cplusplus
}
#endif
