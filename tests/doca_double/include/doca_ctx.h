// Of the DOCA double: a context, which is a library's queue on a device.
#pragma once

#include <doca_error.h>
#include <doca_types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum doca_ctx_states {
  DOCA_CTX_STATE_IDLE = 0,
  DOCA_CTX_STATE_STARTING = 1,
  DOCA_CTX_STATE_RUNNING = 2,
  DOCA_CTX_STATE_STOPPING = 3,
};

typedef void (*doca_ctx_state_changed_callback_t)(const union doca_data user_data, struct doca_ctx* ctx,
                                                  enum doca_ctx_states prev_state,
                                                  enum doca_ctx_states next_state);

doca_error_t doca_ctx_start(struct doca_ctx* ctx);
doca_error_t doca_ctx_stop(struct doca_ctx* ctx);
doca_error_t doca_ctx_get_state(const struct doca_ctx* ctx, enum doca_ctx_states* state);
doca_error_t doca_ctx_set_user_data(struct doca_ctx* ctx, union doca_data user_data);
doca_error_t doca_ctx_set_state_changed_cb(struct doca_ctx* ctx, doca_ctx_state_changed_callback_t cb);

#ifdef __cplusplus
}
#endif
