// Tests of the engine model against what can be worked out by hand.
#include "sim/nic/serving_model.h"

#include <gtest/gtest.h>

namespace shadowserve::nic {
namespace {

/// Decoding is bound by memory and takes 10 ms for the weights alone, 1 ms for each 1,000 tokens of context.
const GpuModel kGpu{"test", 1000, 1, 1000, 1, 40, 0};
const LlmModel kLlm{"test", 5e9, 1e6, 0};

KvPath shadowserve(double gbit) { return {.way = KvWay::kShadowServe, .gbit_per_s = gbit, .ratio = 5}; }
KvPath cachegen(double gbit, double interference) {
  KvPath path = shadowserve(gbit);
  path.way = KvWay::kCacheGenAsync;
  path.gpu_gbit_s = gbit * interference;  // just keeps up while the GPU decodes
  path.interference = interference;
  return path;
}

TEST(ServingModel, OneRequestTakesItsFetchAndItsSteps) {
  const Workload work{.prefix_tokens = 1000, .fresh_tokens = 10, .output_tokens = 11, .requests = 1};
  KvPath path = shadowserve(16);
  path.latency_ms = 3;
  const ServingOutcome one = simulate_serving(kGpu, kLlm, path, work);
  // 200 MB at 2 GB/s, 3 ms, then a step over weights and 1,000 tokens of context.
  EXPECT_NEAR(one.ttft_ms, 100 + 3 + 11, 0.1);
  EXPECT_NEAR(one.tpot_ms, 11, 0.1);
  EXPECT_EQ(one.answered, 1u);
  path.gbit_per_s = 32;
  EXPECT_NEAR(simulate_serving(kGpu, kLlm, path, work).ttft_ms, 50 + 3 + 11, 0.1) << "negative control";
}

TEST(ServingModel, RecomputingIsBoundByArithmetic) {
  const Workload work{.prefix_tokens = 10'000, .fresh_tokens = 0, .output_tokens = 2, .requests = 1};
  const ServingOutcome one = simulate_serving(kGpu, kLlm, {.way = KvWay::kRecompute}, work);
  // Steps of 2,048 tokens: four of them take 20.5 ms, the last one 18.
  EXPECT_NEAR(one.ttft_ms, 2 * 5e9 * 10'000 / 1e15 * 1e3, 3);
}

TEST(ServingModel, InterferenceSlowsDecodingOnlyWhileSomethingIsDecompressed) {
  const Workload work{.prefix_tokens = 1000, .fresh_tokens = 10, .output_tokens = 64, .requests = 200};
  const ServingOutcome quiet = simulate_serving(kGpu, kLlm, shadowserve(16), work);
  EXPECT_NEAR(simulate_serving(kGpu, kLlm, cachegen(16, 1), work).tpot_ms, quiet.tpot_ms, 1e-6)
      << "negative control: without interference both are the same";
  const ServingOutcome disturbed = simulate_serving(kGpu, kLlm, cachegen(16, 1.5), work);
  EXPECT_GT(disturbed.tpot_ms, 1.2 * quiet.tpot_ms);
  EXPECT_LE(disturbed.tpot_ms,
            1.5 * quiet.tpot_ms * 1.001 * disturbed.batch / std::min(quiet.batch, disturbed.batch));
}

TEST(ServingModel, NobodyIsAnsweredTwiceOrNever) {
  for (const double rate : {0.0, 2.0, 20.0}) {
    const Workload work{.output_tokens = 8, .requests_per_s = rate, .requests = 250};
    EXPECT_EQ(simulate_serving(l40s(), llama_8b(), shadowserve(20), work).answered, 250u) << rate;
  }
}

TEST(ServingModel, TheSameSeedGivesTheSame) {
  Workload work{.requests_per_s = 3, .requests = 100, .seed = 5};
  const auto run = [&] { return simulate_serving(l40s(), llama_8b(), shadowserve(20), work).ttft_ms; };
  const double first = run();
  EXPECT_EQ(run(), first);
  work.seed = 6;
  EXPECT_NE(run(), first) << "negative control";
}

}  // namespace
}  // namespace shadowserve::nic
