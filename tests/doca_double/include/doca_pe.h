// Of the DOCA double: progress engines and tasks.
#pragma once

#include <doca_error.h>
#include <doca_types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum doca_task_submit_flag {
  DOCA_TASK_SUBMIT_FLAG_NONE = 0,
  DOCA_TASK_SUBMIT_FLAG_FLUSH = 1 << 0,
  DOCA_TASK_SUBMIT_FLAG_OPTIMIZE_REPORTS = 1 << 1,
};

doca_error_t doca_pe_create(struct doca_pe** pe);
doca_error_t doca_pe_destroy(struct doca_pe* pe);
doca_error_t doca_pe_connect_ctx(struct doca_pe* pe, struct doca_ctx* ctx);
uint8_t doca_pe_progress(struct doca_pe* pe);

doca_error_t doca_task_submit_ex(struct doca_task* task, uint32_t flags);
void doca_task_free(struct doca_task* task);
doca_error_t doca_task_get_status(const struct doca_task* task);
void doca_task_set_user_data(struct doca_task* task, union doca_data user_data);

#ifdef __cplusplus
}
#endif
