// Of the DOCA double: a buffer, which describes a piece of a memory map.
#pragma once

#include <doca_error.h>
#include <doca_types.h>

#ifdef __cplusplus
extern "C" {
#endif

doca_error_t doca_buf_dec_refcount(struct doca_buf* buf, uint16_t* refcount);
doca_error_t doca_buf_get_data_len(const struct doca_buf* buf, size_t* data_len);

#ifdef __cplusplus
}
#endif
