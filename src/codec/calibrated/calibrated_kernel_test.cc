// Every SIMD target this machine has against the scalar oracle, byte for byte, with guards around values.
#include "codec/calibrated/calibrated_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "codec/calibrated/sample_calibration.h"
#include "codec/element.h"
#include "codec/frame_kernel.h"
#include "hwy/highway.h"

namespace shadowserve {
namespace {

constexpr size_t kGuard = 64;

struct Case {
  KvGeometry geometry;
  KeyRotation rotation;
};

std::vector<Case> cases() {
  const auto halves = [](uint32_t dims) { return sample_rotation(dims, RotationPairing::kHalves); };
  const auto neighbours = [](uint32_t dims) { return sample_rotation(dims, RotationPairing::kNeighbours); };
  const auto bf16 = ElementType::kBf16, fp16 = ElementType::kFp16;
  return {{{1, 1, 256, 48, bf16}, halves(256)},
          {{1, 8, 128, 20, bf16}, halves(128)},
          {{1, 2, 64, 33, fp16}, halves(32)},
          {{1, 3, 24, 17, bf16}, halves(24)},
          {{1, 4, 32, 16, fp16}, neighbours(32)},
          {{1, 5, 10, 9, bf16}, neighbours(6)},
          {{1, 1, 1, 5, bf16}, {}},
          {{1, 3, 128, 12, fp16}, halves(64)},
          {{1, 32, 128, 4, bf16}, halves(128)},
          {{1, 2, 96, 7, bf16}, {}}};
}

std::shared_ptr<const CalibratedModel> model_of(const Case& one, uint32_t seed) {
  std::string message;
  auto model = CalibratedModel::make(sample_calibration(one.geometry, one.rotation, seed), "balanced",
                                     one.geometry, message);
  EXPECT_TRUE(model) << message;
  return *model;
}

/// Angles of tokens from `first` on, with their memory.
struct Rows {
  std::vector<float> cos, sin;
  TurnRows rows;
  Rows(const CalibratedPlane& plane, uint32_t position, uint32_t first, uint32_t count) {
    if (plane.turns == nullptr) return;
    Turn chunk;
    plane.turns->at_chunk(position, chunk);
    cos.resize(count * plane.turns->stride());
    sin.resize(cos.size());
    fill_turns_oracle(*plane.turns, chunk, first, count, cos.data(), sin.data());
    rows = {cos.data(), sin.data(), plane.turns->stride()};
    std::vector<float> same_cos(cos.size()), same_sin(sin.size());
    fill_turns_simd(*plane.turns, chunk, first, count, same_cos.data(), same_sin.data());
    for (size_t i = 0; i < cos.size(); ++i) {
      if (i % rows.stride >= plane.turns->pairs()) continue;
      EXPECT_EQ(cos[i], same_cos[i]);
      EXPECT_EQ(sin[i], same_sin[i]);
    }
  }
};

Turn chunk_of(const CalibratedPlane& plane, uint32_t position) {
  Turn turn{};
  if (plane.turns != nullptr) plane.turns->at_chunk(position, turn);
  return turn;
}

void compare_dequantize(const CalibratedPlane& plane, uint32_t first, uint32_t tokens, uint32_t position,
                        uint32_t seed) {
  std::mt19937 random(seed);
  const size_t count = size_t{tokens} * plane.channels;
  std::vector<uint8_t> symbols(count + kRegionSlack);
  for (uint8_t& symbol : symbols) symbol = static_cast<uint8_t>(random());
  const Rows turns(plane, position, first, tokens);
  std::vector<uint8_t> expected(2 * count), all(2 * count + 2 * kGuard + 64, 0xa5);
  dequantize_calibrated_oracle(plane, tokens, turns.rows, symbols.data(), expected.data());
  const size_t to_line = 64 - reinterpret_cast<uintptr_t>(all.data()) % 64;
  for (const size_t at : {to_line + 64, size_t{kGuard + 1}}) {
    std::fill(all.begin(), all.end(), 0xa5);
    dequantize_calibrated_simd(plane, tokens, turns.rows, symbols.data(), all.data() + at, true);
    finish_streaming();
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), all.begin() + static_cast<ptrdiff_t>(at)));
    const auto guard = [](uint8_t byte) { return byte == 0xa5; };
    ASSERT_TRUE(std::all_of(all.begin(), all.begin() + static_cast<ptrdiff_t>(at), guard));
    ASSERT_TRUE(std::all_of(all.begin() + static_cast<ptrdiff_t>(at + 2 * count), all.end(), guard));
  }
}

void compare_quantize(const CalibratedPlane& plane, uint32_t token, uint32_t position, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> values(2 * plane.channels);
  for (size_t i = 0; i < values.size(); i += 2) {
    auto bits = static_cast<uint16_t>(random());
    while ((bits & 0x7fff) >= element::magnitude_end(plane.element)) bits = static_cast<uint16_t>(random());
    // Mostly such as the calibration expects, on quarters of steps so that ties are hit.
    const float usual = (static_cast<float>(random() % 256) - 128) / 32;
    if (seed % 2 == 0) bits = element::from_float(usual, plane.element);
    std::memcpy(values.data() + i, &bits, 2);
  }
  const Turn chunk = chunk_of(plane, position);
  QuantizedRow expected, row;
  quantize_calibrated_oracle(plane, token, chunk, values.data(), expected);
  quantize_calibrated_simd(plane, token, chunk, values.data(), row);
  for (size_t i = 0; i < plane.channels; ++i) ASSERT_EQ(int{expected.symbols[i]}, int{row.symbols[i]}) << i;
  ASSERT_EQ(std::memcmp(expected.wide, row.wide, (plane.channels + 7) / 8), 0);
  ASSERT_EQ(expected.any_wide, row.any_wide);
  // Sums of squares may overflow to infinity where values are wild; then there is no cosine.
  if (seed % 2 == 0) {
    ASSERT_EQ(expected.cosine, row.cosine);
  }
}

TEST(CalibratedKernel, EveryTargetMatchesTheOracle) {
  const auto targets = hwy::SupportedAndGeneratedTargets();
  ASSERT_FALSE(targets.empty());
  for (const int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    for (const Case& one : cases()) {
      const auto model = model_of(one, 3);
      for (uint32_t seed = 0; seed < 4; ++seed) {
        for (const uint32_t plane : {0u, 1u}) {
          const uint32_t tokens = one.geometry.chunk_tokens, position = seed * 1'000'003 * tokens;
          compare_dequantize(model->plane(plane), 0, tokens, position, seed);
          compare_dequantize(model->plane(plane), tokens / 2, tokens - tokens / 2, position, seed);
          for (uint32_t token = 0; token < tokens; token += 3)
            compare_quantize(model->plane(plane), token, position, 10 * token + seed);
        }
        ASSERT_FALSE(HasFatalFailure())
            << one.geometry.kv_heads << "x" << one.geometry.head_dim << " seed " << seed;
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(CalibratedKernel, TurningBackUndoesTurning) {
  const Case one = cases()[0];
  const auto model = model_of(one, 1);
  const CalibratedPlane& plane = model->plane(0);
  for (const uint32_t position : {0u, 4096u, 1'000'000u}) {
    const Turn chunk = chunk_of(plane, position);
    // Numbers of steps that are small survive the way there and back; at another position they do not.
    std::vector<uint8_t> symbols(plane.channels + kRegionSlack);
    for (size_t i = 0; i < plane.channels; ++i) symbols[i] = static_cast<uint8_t>(120 + i % 17);
    std::vector<uint8_t> values(2 * plane.channels);
    dequantize_calibrated_simd(plane, 1, Rows(plane, position, 7, 1).rows, symbols.data(), values.data(),
                               false);
    QuantizedRow row, elsewhere;
    quantize_calibrated_simd(plane, 7, chunk, values.data(), row);
    quantize_calibrated_simd(plane, 8, chunk, values.data(), elsewhere);
    int equal = 0, moved = 0;
    for (size_t i = 0; i < plane.channels; ++i) {
      equal += row.symbols[i] == symbols[plane.places[i]];
      moved += elsewhere.symbols[i] != symbols[plane.places[i]];
    }
    EXPECT_GE(equal, static_cast<int>(plane.channels) - 4) << position;  // a rounded element may cross a tie
    EXPECT_GT(moved, 20) << position;
  }
}

TEST(CalibratedKernel, AnglesAreThoseOfThePosition) {
  const KeyTurns turns(sample_rotation(64, RotationPairing::kHalves), 256);
  for (const uint32_t position : {0u, 256u, 130'816u}) {
    Turn chunk, turn;
    turns.at_chunk(position, chunk);
    turns.at_token(chunk, 255, turn);
    for (uint32_t pair = 0; pair < 32; ++pair) {
      const double angle = (position + 255.0) * std::pow(10'000.0f, -2.0f * static_cast<float>(pair) / 64);
      EXPECT_NEAR(turn.cos[pair], std::cos(angle), 2e-3) << position;  // the frequency is a float
      EXPECT_NEAR(turn.cos[pair] * turn.cos[pair] + turn.sin[pair] * turn.sin[pair], 1, 1e-6);
    }
  }
}

}  // namespace
}  // namespace shadowserve
