// Of the DOCA double: the pool that buffers come from.
#pragma once

#include <doca_error.h>
#include <doca_types.h>

#ifdef __cplusplus
extern "C" {
#endif

doca_error_t doca_buf_inventory_create(size_t num_elements, struct doca_buf_inventory** inventory);
doca_error_t doca_buf_inventory_destroy(struct doca_buf_inventory* inventory);
doca_error_t doca_buf_inventory_start(struct doca_buf_inventory* inventory);

/* Inline functions of the SDK, with linkage here: callers cannot tell. by_data: all of it is data; by_addr:
 * room without data. */
doca_error_t doca_buf_inventory_buf_get_by_data(struct doca_buf_inventory* inventory, struct doca_mmap* mmap,
                                                void* data, size_t data_len, struct doca_buf** buf);
doca_error_t doca_buf_inventory_buf_get_by_addr(struct doca_buf_inventory* inventory, struct doca_mmap* mmap,
                                                void* addr, size_t len, struct doca_buf** buf);
/* Another place in the same memory map. */
doca_error_t doca_buf_inventory_buf_reuse_by_data(struct doca_buf* buf, void* data, size_t data_len);
doca_error_t doca_buf_inventory_buf_reuse_by_addr(struct doca_buf* buf, void* addr, size_t len);

#ifdef __cplusplus
}
#endif
