// A model of an LLM engine on one GPU, and of three ways to come by the KV cache of a stored prefix.
#pragma once

#include <cstdint>
#include <string>

namespace shadowserve::nic {

/// A roofline: a step takes as long as its arithmetic or its memory traffic, whichever is more, and a
/// constant.
struct GpuModel {
  std::string name;
  double tflops = 0, arithmetic_share = 0;   ///< dense bf16, and how much of it a prefill reaches
  double memory_gb_s = 0, memory_share = 0;  ///< and how much of it decoding reaches
  double memory_gb = 0;                      ///< for weights and KV cache together
  double step_ms = 0;                        ///< what every step takes besides
};
struct LlmModel {
  std::string name;
  double parameters = 0;
  double kv_bytes_per_token = 0;
  double attention_flops = 0;  ///< for each pair of a token and a token before it
};
GpuModel l40s();
GpuModel h100();
LlmModel llama_8b();
LlmModel mistral_7b();

enum class KvWay : uint8_t {
  kRecompute,      ///< nothing is stored
  kCacheGenAsync,  ///< compressed over the link, decompressed on the GPU while it decodes
  kShadowServe,    ///< compressed over the link, values arrive in GPU memory; the GPU does nothing
};

/// How stored prefixes come.
struct KvPath {
  KvWay way = KvWay::kShadowServe;
  double gbit_per_s = 0;    ///< of compressed bytes: the link's, or what the data plane does behind it
  double latency_ms = 0;    ///< added to each fetch
  double ratio = 1;         ///< 16-bit values over compressed bytes
  double gpu_gbit_s = 0;    ///< kCacheGenAsync: compressed bytes that the idle GPU decompresses
  double interference = 1;  ///< kCacheGenAsync: decoding and decompression slow each other by this factor
};

struct Workload {
  double prefix_tokens = 10'000;  ///< stored
  double fresh_tokens = 128;      ///< computed in every case
  uint32_t output_tokens = 32;
  double requests_per_s = 0;  ///< Poisson; 0: all are there from the start
  uint32_t requests = 10'000;
  uint64_t seed = 1;
};

struct ServingOutcome {
  uint64_t answered = 0;
  double ttft_ms = 0, ttft_p99_ms = 0, tpot_ms = 0;  ///< means, of the middle eight tenths of requests
  double requests_per_s = 0;                         ///< of all, first arrival to last token
  double batch = 0;                                  ///< mean of what decodes together
};

/// Continuous batching with chunked prefill, FIFO, as vLLM does it. A request takes its KV memory before its
/// fetch begins; fetches come one after the other. The same for the same arguments.
ServingOutcome simulate_serving(const GpuModel& gpu, const LlmModel& llm, const KvPath& path,
                                const Workload& work);

}  // namespace shadowserve::nic
