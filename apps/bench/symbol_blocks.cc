// Takes the symbols of quantized parts apart into the blocks that coders see.
#include <array>
#include <cmath>

#include "bench/bench_input.h"

namespace shadowserve {
namespace {

constexpr Profile kBare{ProfileId::kKv4, CoderId::kNone};

/// Calls `take` with every quantized frame: its entry, and its symbols as the record packs them.
template <typename Take>
void each_frame(const BenchInput& input, const Profile& profile, Take take) {
  std::vector<std::byte> symbols(kSymbolBytesMax), scales(kScaleBytesMax);
  EncodePlan plan;
  for (uint32_t part = 0; part < input.parts(); ++part) {
    if (!quantize_part(profile, input.part(part), input.values(part), symbols, scales, plan)) continue;
    for (uint32_t i = 0; i < plan.frame_count; ++i) {
      if (quantizer_of(plan.frames[i]) == QuantizerId::kRaw) continue;
      take(plan.frames[i], std::span(reinterpret_cast<const uint8_t*>(symbols.data()) + plan.symbol_offset[i],
                                     plan.frames[i].symbol_bytes));
    }
  }
}

std::vector<uint8_t> one_a_byte(const FrameEntry& entry, std::span<const uint8_t> packed, uint32_t channels) {
  if (static_cast<PackingId>(entry.packing) == PackingId::kBytes) return {packed.begin(), packed.end()};
  const size_t row_bytes = packed.size() / entry.token_count;  // an odd row ends with half a byte
  std::vector<uint8_t> symbols(size_t{entry.token_count} * channels);
  for (size_t i = 0; i < symbols.size(); ++i) {
    const size_t channel = i % channels;
    symbols[i] = packed[i / channels * row_bytes + channel / 2] >> (channel % 2 * 4) & 15;
  }
  return symbols;
}

void add_block(SymbolBlocks& into, const FrameEntry& entry, uint32_t channels, std::vector<uint8_t> bytes) {
  into.memory.push_back(std::move(bytes));  // moving a vector leaves its bytes where they are
  into.blocks.push_back({{entry.plane, entry.token_count, channels, entry.levels}, into.memory.back()});
  into.symbols += uint64_t{entry.token_count} * channels;
}

}  // namespace

SymbolBlocks record_blocks(const BenchInput& input, const Profile& profile) {
  SymbolBlocks made;
  each_frame(input, profile, [&](const FrameEntry& entry, std::span<const uint8_t> packed) {
    add_block(made, entry, input.geometry().channels(), {packed.begin(), packed.end()});
  });
  return made;
}

SymbolBlocks packed_blocks(const BenchInput& input, peers::Packing packing) {
  if (packing == peers::Packing::kNibbles) return record_blocks(input, kBare);
  SymbolBlocks made;
  const uint32_t channels = input.geometry().channels();
  each_frame(input, kBare, [&](const FrameEntry& entry, std::span<const uint8_t> packed) {
    add_block(made, entry, channels, one_a_byte(entry, packed, channels));
  });
  return made;
}

double ideal_bits(const SymbolBlocks& blocks) {
  double bits = 0;
  for (const peers::SymbolBlock& block : blocks.blocks) {
    std::array<uint64_t, 256> counts{};
    for (const uint8_t symbol : block.bytes) ++counts[symbol];
    const auto total = static_cast<double>(block.bytes.size());
    for (const uint64_t count : counts) {
      if (count > 0) bits -= static_cast<double>(count) * std::log2(static_cast<double>(count) / total);
    }
  }
  return bits;
}

}  // namespace shadowserve
