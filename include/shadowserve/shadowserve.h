/* The whole C API of ShadowServe's control plane: what an engine integration needs, and nothing else.
 *
 * Two objects, one per role of an engine process:
 *   ss_lookup    beside the scheduler: chunk keys, "how much of this prompt is stored?"
 *   ss_transfer  in the worker: fetch stored chunks into pages, save computed pages
 *
 * Threads. Every function returns at once: none does I/O, waits for a lock that is held across I/O, or waits
 * for the data plane. Each object has one thread of its own (the link thread) that talks to the data plane,
 * places and gathers pages. Calls on one object come from one thread at a time.
 *
 * Failure. Nothing here can fail a request: whatever goes wrong - no data plane, no store, damaged records, a
 * deadline - ends as "not stored" or as an event that says which chunks the engine has to compute.
 */
#ifndef SHADOWSERVE_SHADOWSERVE_H_
#define SHADOWSERVE_SHADOWSERVE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SS_KEY_BYTES 32

typedef struct ss_lookup ss_lookup;
typedef struct ss_transfer ss_transfer;

/* Codes of error.h; ss_error_name() and ss_error_sentence() explain them. */
typedef int32_t ss_error;
const char* ss_error_name(ss_error error);
const char* ss_error_sentence(ss_error error);
const char* ss_version(void);

/* Everything that identifies the engine and the model, and the limits of this client. Strings are copied.
 * Fill struct_size with sizeof(ss_options) and zero the rest; zero means the default named here. */
typedef struct ss_options {
  uint32_t struct_size;
  const char* socket_path;       /* the data plane's, or tls://HOST:PORT (see tls_certificate); default
                                    $SHADOWSERVE_SOCKET, else where the plane listens */
  const char* client_name;       /* for stats and logs */
  const char* model_fingerprint; /* required, see ss_model_fingerprint() */
  const char* profile; /* codec profile; default "auto": "balanced" where there is a calibration of the model
                          (see below), else "generic". A lookup is best given what ss_transfer_profile() says:
                          then both use the same one, whatever is published in between */
  const char* tenant_salt; /* secret; default none */
  uint32_t shard; /* which of the model's heads a transfer moves: its tensor-parallel rank, or a number shared
                   * by ranks that hold the same; a lookup asks for all of them and has 0 here */
  uint32_t shard_count;                /* default 1. Engines share records only when they have as many */
  uint32_t layers, kv_heads, head_dim; /* of this shard; required */
  uint32_t chunk_tokens;               /* default 256 */
  uint32_t element;                    /* 1 = bf16 (default), 2 = fp16, 3 = fp8 e4m3, 4 = fp8 e5m2 */
  uint32_t lookup_timeout_ms;          /* default 100: afterwards the prompt counts as not stored */
  uint32_t fetch_timeout_ms;           /* default 5000 for a whole prefix: afterwards the rest is computed */
  uint32_t save_timeout_ms;            /* default 10000: afterwards a save is dropped */
  uint64_t staging_bytes; /* default 256 MiB; memory shared with the data plane (ss_transfer only) */
  int32_t core;           /* 1 + the core the link thread is pinned to; 0 = not pinned */
  int32_t device; /* 1 + the CUDA device that holds the pages; 0 = pages in host memory (ss_transfer only).
                     The staging memory is then taken there as well, but for direct_pages */
  const char*
      calibration; /* path of the model's calibration file, read once, when an object is opened. The
                      profiles near, balanced and far need it, and auto uses it; default: what was
                      published for these weights is asked of the data plane, for 5 s at the longest */
  const char* weights_fingerprint; /* what ss_model_fingerprint() writes to `weights`: a calibration for other
                                      weights is refused; default: not compared */
  /* A data plane on another machine: socket_path is tls://HOST:PORT, and these are needed. Host names are
   * looked up once, when an object is opened */
  const char* tls_certificate; /* PEM files: the engine's certificate, its private key, */
  const char* tls_key;
  const char* tls_ca;   /* and the CA that signed it and the data plane's */
  const char* tls_name; /* what the data plane's certificate has to name; default HOST */
  const char* window;   /* socket on which the data plane takes the handle of the staging memory, what its
                           --window says (ss_transfer only) */
  uint32_t planes_per_layer; /* 2 (default): K and V; 1: one latent vector a token (multi-head latent
                                attention), kv_heads 1 and head_dim its length */
  /* 1: with pages on a GPU, the staging memory is host memory, and the GPU's copy engines move parts between
   * it and the pages, in which the heads of a token have to lie together. 0 (default): the staging memory is
   * on the GPU, and a kernel is between it and the pages */
  uint32_t direct_pages;
} ss_options;

/* Profiles. fp8 is stored as it is: "raw", "raw+deflate", "raw+zstd", and "auto" is "raw". Latent planes take
 * every profile but near, balanced and far; there too "auto" is "raw". */

/* ---- identity ---- */

/* Fingerprint of the weights in a model directory (config.json and a sample of every safetensors tensor),
 * bound to `extra` (whatever else changes the KV: overrides, quantization, adapters). Reads files: call at
 * start. Writes 64 hex digits and NUL to out[65], and the same without `extra`, what a calibration names, to
 * weights[65] (may be NULL). SS error kConfig when the directory holds no readable weights. */
ss_error ss_model_fingerprint(const char* directory, const char* extra, char out[65], char weights[65]);

/* ---- beside the scheduler ---- */

/* Connects in the background. NULL when an option is wrong; `message` (may be NULL) then says which. */
ss_lookup* ss_lookup_open(const ss_options* options, char* message, size_t message_bytes);
void ss_lookup_close(ss_lookup* lookup);
/* As ss_transfer_profile(). */
const char* ss_lookup_profile(const ss_lookup* lookup);

/* Keys of the chunks that follow `parent` (NULL: the prompt's start): floor(token_count / chunk_tokens) keys
 * of SS_KEY_BYTES each. `extra` binds what the tokens do not say (adapter, cache salt, multimodal hashes).
 * Returns how many keys were written; with `keys` NULL how many there are. Pure computation, about 1 us a
 * chunk, on the caller's thread. */
size_t ss_chain(ss_lookup* lookup, const uint8_t* parent, const uint32_t* tokens, size_t token_count,
                const void* extra, size_t extra_bytes, uint8_t* keys, size_t key_capacity);

/* Asks the store for `count` consecutive chunks of request `id`, all shards of them. */
void ss_lookup_start(ss_lookup* lookup, uint64_t id, const uint8_t* keys, size_t count);

enum { SS_PENDING = -1 };
/* SS_PENDING, or the number of leading chunks that are stored (0 when the answer is "compute", also after a
 * timeout, without a data plane, or while the breaker is open). */
int64_t ss_lookup_poll(ss_lookup* lookup, uint64_t id);
/* Frees the request's state; unknown ids are ignored. */
void ss_lookup_forget(ss_lookup* lookup, uint64_t id);

/* Tells the breaker and the saved-set how a fetch ended: `error` 0, or why chunk `key` failed. A chunk that
 * failed is no longer known as stored, so that it will be saved again. */
void ss_lookup_fetch_ended(ss_lookup* lookup, ss_error error, const uint8_t* key);
/* True (1) when the chunk should be saved: not seen in the store, and not asked for before. Remembers it. */
int ss_lookup_claim_save(ss_lookup* lookup, const uint8_t* key);

typedef struct ss_lookup_stats {
  /* asked = found + the others, each shard of a chunk counted. Missing: not stored, or behind such a chunk,
   * or the store could not say. */
  uint64_t chunks_asked, chunks_found, chunks_missing, chunks_timed_out, chunks_without_plane, chunks_breaker;
  uint64_t connects, disconnects;
  uint32_t connected;
} ss_lookup_stats;
void ss_lookup_read_stats(const ss_lookup* lookup, ss_lookup_stats* out);

/* ---- in the worker ---- */

/* How the attention kernel lays out one page (block) of one head; D = head_dim, N = tokens of a page.
 *   SS_PAGES_VEC    K at d * N + t,  V at N * D + t * D + d   (vLLM's CPU "vec" and "vec16" kernels)
 *   SS_PAGES_AMX    K and V pair-packed for AMX tiles, see placement.h
 *   SS_PAGES_PLAIN  K at t * D + d,  V at N * D + t * D + d
 *   SS_PAGES_STRIDED  token t of head h of page b at b * page_stride + t * token_stride + h * head_stride, V
 * plane_stride behind K: every layout whose D elements lie together. The only one for pages on a GPU, and
 * only for these
 * Latent pages (planes_per_layer 1) are SS_PAGES_PLAIN, or on a GPU SS_PAGES_STRIDED: what is said of K. */
typedef enum ss_page_layout {
  SS_PAGES_VEC = 1,
  SS_PAGES_AMX = 2,
  SS_PAGES_PLAIN = 3,
  SS_PAGES_STRIDED = 4
} ss_page_layout;

/* The engine's paged KV memory: head h of page b of layer l starts at
 * layer_base[l] + b * page_stride_bytes + h * head_stride_bytes. */
typedef struct ss_pages {
  uint32_t layout;      /* ss_page_layout */
  uint32_t page_tokens; /* N: a divisor of chunk_tokens */
  uint32_t pages;
  uint64_t page_stride_bytes;
  uint64_t head_stride_bytes;
  void* const* layer_base;     /* copied */
  uint32_t layers;             /* how many pointers these are: options.layers */
  uint64_t plane_stride_bytes; /* SS_PAGES_STRIDED only, as the next */
  uint64_t token_stride_bytes;
} ss_pages;

ss_transfer* ss_transfer_open(const ss_options* options, char* message, size_t message_bytes);
/* Withdraws everything; when it returns nothing touches the pages any more. May take milliseconds. */
void ss_transfer_close(ss_transfer* transfer);
/* The profile in use as keys name it, never "auto": "generic", or "balanced:" and its calibration's SHA-256.
 * Lives as long as the object. */
const char* ss_transfer_profile(const ss_transfer* transfer);
/* Why this one: half a sentence for a log. */
const char* ss_transfer_profile_reason(const ss_transfer* transfer);

/* Required before fetch and save, once. kUnsupported or kConfig with a sentence in `message`. For pages on a
 * GPU it takes milliseconds. */
ss_error ss_transfer_register_pages(ss_transfer* transfer, const ss_pages* pages, char* message,
                                    size_t message_bytes);

/* Pages on a GPU: fetches and saves asked for from now on touch pages only behind everything that was put
 * into this CUDA stream before this call. Call it before the fetches of a step and before its saves, with the
 * stream that the engine computes in; without, they are refused. A few microseconds, no waiting. */
ss_error ss_transfer_fence(ss_transfer* transfer, void* cuda_stream);

/* Fetches chunks [first_chunk, first_chunk + count) of request `id` (keys of just these, as ss_chain() gives
 * them to every shard: a transfer knows which records are its own) and places the tokens
 * >= first_token, page by page. page_ids is the request's block table from token 0; pages that lie before
 * first_token are not looked at. Ends with one SS_FETCHED event, at the latest shortly after the deadline;
 * after that event nothing writes to these pages. The event comes as well when the return value is not 0:
 * kConfig (no pages registered, or page_ids too short or out of range), kNoCapacity (4096 jobs were not
 * polled). */
ss_error ss_fetch(ss_transfer* transfer, uint64_t id, const uint8_t* keys, uint32_t first_chunk,
                  uint32_t count, uint32_t first_token, const int32_t* page_ids, size_t page_count);

/* Saves whole computed chunks. Pages are read soon (SS_GATHERED event), the rest happens behind. A job that
 * cannot be gathered in time is dropped, with SS_GATHERED and an error. Return value as for ss_fetch(). */
ss_error ss_save(ss_transfer* transfer, uint64_t id, const uint8_t* keys, uint32_t first_chunk,
                 uint32_t count, const int32_t* page_ids, size_t page_count);

/* Withdraws every fetch and save of this id. Their events still come, with kCancelled unless it was done
 * already. For a save the pages may be overwritten as soon as this returns: what was read of them afterwards
 * is thrown away. */
void ss_cancel(ss_transfer* transfer, uint64_t id);

typedef enum ss_event_kind { SS_FETCHED = 1, SS_GATHERED = 2 } ss_event_kind;
typedef struct ss_event {
  uint32_t kind;
  ss_error error; /* 0, or why the first chunk that failed failed */
  uint64_t id;
  uint32_t chunks_placed; /* SS_FETCHED: leading chunks that are complete in the pages */
  uint32_t chunks;        /* as asked */
} ss_event;
/* Fills at most `capacity` events; returns how many. */
size_t ss_transfer_poll(ss_transfer* transfer, ss_event* events, size_t capacity);

#define SS_ERROR_COUNT 16
typedef struct ss_transfer_stats {
  /* the funnel, in chunks: fetch_asked = fetch_placed + sum(fetch_failed) once nothing is in flight */
  uint64_t fetch_asked, fetch_placed;
  uint64_t fetch_failed[SS_ERROR_COUNT];
  uint64_t save_asked, save_stored;
  uint64_t save_failed[SS_ERROR_COUNT];
  uint64_t fetch_wire_bytes, fetch_value_bytes, save_wire_bytes, save_value_bytes;
  uint64_t fetches, fetch_us_total; /* whole requests: asked to last page placed */
  uint64_t place_us_total, gather_us_total;
  uint64_t connects, disconnects;
  uint32_t connected;
} ss_transfer_stats;
void ss_transfer_read_stats(const ss_transfer* transfer, ss_transfer_stats* out);

/* ---- placement alone: to check a layout against the engine before trusting it ---- */

typedef struct ss_page_shape {
  uint32_t layout; /* ss_page_layout, but for SS_PAGES_STRIDED */
  uint32_t page_tokens, kv_heads, head_dim;
  uint32_t element;          /* as in ss_options */
  uint32_t planes_per_layer; /* as in ss_options */
  uint64_t head_stride_bytes;
} ss_page_shape;

/* Places canonical values [K|V][token][head * D + d] of one layer and `page_tokens` tokens into one page
 * whose heads lie head_stride_bytes apart (gather: the reverse). Latent: [token][d]. ss_page_bytes() says how
 * many bytes of each are read or written. */
ss_error ss_page_bytes(const ss_page_shape* shape, uint64_t* values_bytes, uint64_t* page_bytes);
ss_error ss_place_page(const ss_page_shape* shape, const void* values, void* page);
ss_error ss_gather_page(const ss_page_shape* shape, const void* page, void* values);

#ifdef __cplusplus
}
#endif

#endif /* SHADOWSERVE_SHADOWSERVE_H_ */
