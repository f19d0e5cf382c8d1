// One engine step after the other; fetches go on meanwhile.
#include "sim/nic/serving_model.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <random>
#include <vector>

namespace shadowserve::nic {
namespace {

constexpr double kStepTokensMax = 2048;  // vLLM's usual budget of a step
constexpr double kBytesPerParameter = 2;
constexpr double kNever = std::numeric_limits<double>::infinity();

struct Request {
  double arrived_ms = 0, first_ms = 0, last_ms = 0;
  double to_compute = 0;  ///< tokens of its prompt
  double context = 0;     ///< tokens in the cache, when it begins to decode
  double fetch_left_bytes = 0, ready_ms = 0;
  uint64_t last_step = 0;  ///< that it decodes in
};

class Engine {
 public:
  Engine(const GpuModel& gpu, const LlmModel& llm, const KvPath& path, const Workload& work)
      : gpu_(gpu), llm_(llm), path_(path), work_(work), requests_(work.requests) {
    std::mt19937_64 random(work.seed);
    double at_ms = 0;
    for (Request& request : requests_) {
      // Our own exponential: the library's may differ from one standard library to the next.
      const double uniform = (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
      if (work.requests_per_s > 0) at_ms -= std::log(uniform) * 1e3 / work.requests_per_s;
      request.arrived_ms = at_ms;
    }
    const double tokens = work.prefix_tokens + work.fresh_tokens + work.output_tokens;
    const double room = gpu.memory_gb * 1e9 - llm.parameters * kBytesPerParameter;
    places_ = static_cast<size_t>(std::max(1.0, room / (tokens * llm.kv_bytes_per_token)));
  }

  ServingOutcome run() {
    while (answered_ < requests_.size()) {
      take_in();
      if (computing_.empty() && decoding_.empty()) {
        pass(next_event_ms() - now_ms_, /*gpu_busy=*/false);
        continue;
      }
      step();
    }
    return outcome();
  }

 private:
  bool fetches() const { return path_.way != KvWay::kRecompute; }
  double fetch_gbit(bool gpu_busy) const {
    if (path_.way != KvWay::kCacheGenAsync) return path_.gbit_per_s;
    return std::min(path_.gbit_per_s, path_.gpu_gbit_s / (gpu_busy ? path_.interference : 1));
  }
  static double bytes_per_ms(double gbit) { return gbit * 1e6 / 8; }

  /// Arrived requests take their place in memory, in order; what was fetched may be computed on.
  void take_in() {
    while (next_ < requests_.size() && inside_ < places_ && requests_[next_].arrived_ms <= now_ms_ + 1e-9) {
      Request& request = requests_[next_++];
      ++inside_;
      request.to_compute = work_.fresh_tokens + (fetches() ? 0 : work_.prefix_tokens);
      request.context = fetches() ? work_.prefix_tokens : 0;
      if (fetches()) {
        request.fetch_left_bytes = work_.prefix_tokens * llm_.kv_bytes_per_token / path_.ratio;
        fetching_.push_back(&request);
      } else {
        computing_.push_back(&request);
      }
    }
    while (!landing_.empty() && landing_.front()->ready_ms <= now_ms_ + 1e-9) {
      computing_.push_back(landing_.front());
      landing_.pop_front();
    }
  }

  double next_event_ms() const {
    double next = kNever;
    if (next_ < requests_.size() && inside_ < places_) next = requests_[next_].arrived_ms;
    if (!fetching_.empty()) {
      next = std::min(next, now_ms_ + fetching_.front()->fetch_left_bytes / bytes_per_ms(fetch_gbit(false)));
    }
    if (!landing_.empty()) next = std::min(next, landing_.front()->ready_ms);
    return std::max(next, now_ms_);
  }

  /// Time passes; fetches go on. What arrives meanwhile begins its fetch at the next step.
  void pass(double ms, bool gpu_busy) {
    const double end_ms = now_ms_ + ms;
    const double rate = bytes_per_ms(fetch_gbit(gpu_busy));
    for (double at = now_ms_; !fetching_.empty();) {
      Request& first = *fetching_.front();
      const double needed = first.fetch_left_bytes / rate;
      if (at + needed > end_ms + 1e-9) {
        first.fetch_left_bytes -= (end_ms - at) * rate;
        break;
      }
      at += needed;
      first.ready_ms = at + path_.latency_ms;
      landing_.push_back(&first);
      fetching_.pop_front();
    }
    now_ms_ = end_ms;
  }

  /// How long work of `ms` takes while the GPU also decompresses for part of that time.
  double disturbed(double ms) const {
    if (path_.way != KvWay::kCacheGenAsync || fetching_.empty()) return ms;
    const double alone_gbit = path_.gpu_gbit_s / path_.interference;
    const double share = fetch_gbit(true) / alone_gbit;  // of the time in which its kernels run
    const double slower = 1 + (path_.interference - 1) * share;
    // All but the first wait with all of their bytes.
    const double left_bytes = fetching_.front()->fetch_left_bytes +
                              static_cast<double>(fetching_.size() - 1) * fetching_.back()->fetch_left_bytes;
    const double left_ms = left_bytes / bytes_per_ms(fetch_gbit(true));
    return ms * slower <= left_ms ? ms * slower : left_ms + ms - left_ms / slower;
  }

  void step() {
    double tokens = static_cast<double>(decoding_.size());
    double pairs = decoding_context_, read_tokens = decoding_context_;
    prefills_.clear();
    for (Request* request : computing_) {
      const double part = std::min(request->to_compute, kStepTokensMax - tokens);
      if (part <= 0) break;
      prefills_.emplace_back(request, part);
      tokens += part;
      pairs += part * (request->context + part / 2);
      read_tokens += request->context;
    }
    const double flops = 2 * llm_.parameters * tokens + llm_.attention_flops * pairs;
    const double bytes = llm_.parameters * kBytesPerParameter + read_tokens * llm_.kv_bytes_per_token;
    const double compute_ms = flops / (gpu_.tflops * gpu_.arithmetic_share * 1e9);
    const double memory_ms = bytes / (gpu_.memory_gb_s * gpu_.memory_share * 1e6);
    pass(disturbed(std::max(compute_ms, memory_ms) + gpu_.step_ms), /*gpu_busy=*/true);
    batch_sum_ += static_cast<double>(decoding_.size());
    ++steps_;
    decode();
    for (const auto& [request, part] : prefills_) {
      request->to_compute -= part;
      request->context += part;
      if (request->to_compute > 0) continue;
      computing_.pop_front();
      begin_to_decode(*request);
    }
  }

  /// A token for each that decodes. All make as many, so they end in the order in which they began, and a
  /// step costs us the same however many there are.
  void decode() {
    decoding_context_ += static_cast<double>(decoding_.size());
    for (; !decoding_.empty() && decoding_.front()->last_step == steps_; decoding_.pop_front()) {
      decoding_context_ -= decoding_.front()->context + work_.output_tokens - 1;
      end(*decoding_.front());
    }
  }

  /// Its last step of prefill made its first token.
  void begin_to_decode(Request& request) {
    request.first_ms = now_ms_;
    request.context += 1;
    if (work_.output_tokens <= 1) return end(request);
    request.last_step = steps_ + work_.output_tokens - 1;
    decoding_context_ += request.context;
    decoding_.push_back(&request);
  }

  void end(Request& request) {
    request.last_ms = now_ms_;
    ++answered_;
    --inside_;
  }

  ServingOutcome outcome() const {
    ServingOutcome made;
    made.answered = answered_;
    std::vector<double> ttft;
    const size_t tenth = requests_.size() / 10;  // while it fills up and empties
    double tpot = 0;
    for (size_t i = tenth; i < requests_.size() - tenth; ++i) {
      const Request& request = requests_[i];
      ttft.push_back(request.first_ms - request.arrived_ms);
      tpot += (request.last_ms - request.first_ms) / std::max(1u, work_.output_tokens - 1);
    }
    std::sort(ttft.begin(), ttft.end());
    for (const double ms : ttft) made.ttft_ms += ms / static_cast<double>(ttft.size());
    made.ttft_p99_ms = ttft[ttft.size() * 99 / 100];
    made.tpot_ms = tpot / static_cast<double>(ttft.size());
    made.requests_per_s = static_cast<double>(answered_) * 1e3 / (now_ms_ - requests_.front().arrived_ms);
    made.batch = batch_sum_ / static_cast<double>(std::max<uint64_t>(1, steps_));
    return made;
  }

  const GpuModel& gpu_;
  const LlmModel& llm_;
  const KvPath& path_;
  const Workload& work_;
  std::vector<Request> requests_;
  size_t places_ = 1, inside_ = 0, next_ = 0, answered_ = 0;
  std::deque<Request*> fetching_, landing_, computing_, decoding_;
  std::vector<std::pair<Request*, double>> prefills_;  // of a step, and so many tokens of each
  double now_ms_ = 0, batch_sum_ = 0, decoding_context_ = 0;
  uint64_t steps_ = 0;
};

}  // namespace

GpuModel l40s() { return {"L40S", 362, 0.5, 864, 0.8, 48 * 0.9, 2}; }
GpuModel h100() { return {"H100", 989, 0.5, 3350, 0.8, 80 * 0.9, 2}; }
LlmModel llama_8b() { return {"Llama-8B", 8.03e9, 131'072, 4.0 * 32 * 4096}; }
LlmModel mistral_7b() { return {"Mistral-7B", 7.25e9, 131'072, 4.0 * 32 * 4096}; }

ServingOutcome simulate_serving(const GpuModel& gpu, const LlmModel& llm, const KvPath& path,
                                const Workload& work) {
  return Engine(gpu, llm, path, work).run();
}

}  // namespace shadowserve::nic
