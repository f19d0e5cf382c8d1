// What the bench codes: whole chunks of KV, the symbols that kv4 makes of them, and what must come back.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/bench_options.h"
#include "codec/codec.h"
#include "kv_dump.h"
#include "peers/peer_coder.h"
#include "profile_choice.h"

namespace shadowserve {

/// Every coder of frames that the record format knows; the tables have a row for each.
inline constexpr CoderId kBenchCoders[] = {CoderId::kNone, CoderId::kDeflate, CoderId::kZstd, CoderId::kRans};

/// "deflate": what stands behind the plus in a profile's name.
std::string coder_name(CoderId coder);

/// Whole chunks only, because only these are ever saved.
class BenchInput {
 public:
  BenchInput(const KvShape& shape, std::vector<std::byte> chunks)
      : shape_(shape), chunks_(std::move(chunks)) {}

  const KvGeometry& geometry() const { return shape_.geometry; }
  /// Parts of all chunks, one after the other.
  uint32_t parts() const { return shape_.chunks() * geometry().parts(); }
  PartShape part(uint32_t index) const;
  /// Which chunk of the sequence a part belongs to.
  uint32_t chunk_of(uint32_t index) const { return index / geometry().parts(); }
  /// The values of a chunk, in canonical layout.
  std::span<const std::byte> chunk(uint32_t index) const;
  std::span<const std::byte> values(uint32_t index) const;
  uint64_t value_bytes() const { return shape_.bytes(); }

  /// What a decode of this profile gives for all parts one after the other, computed by the scalar oracle
  /// from the symbols. Made once for all coders of a quantizer.
  std::span<const std::byte> expected(const Profile& profile);
  /// The piece of a part.
  std::span<const std::byte> expected(const Profile& profile, uint32_t index);

 private:
  size_t value_offset(uint32_t index) const;
  KvShape shape_;
  std::vector<std::byte> chunks_;
  std::map<ProfileId, std::vector<std::byte>> expected_;
};

/// The file's values, or made-up ones, cut to whole chunks. A shape of less than a chunk is one short chunk.
/// Throws StartError.
std::unique_ptr<BenchInput> load_bench_input(const DumpOptions& dump);

/// The profiles of these names; every base name, as it is and with each coder, when there are none.
/// Calibrated ones get the dump's calibration, or with made-up values one that fits these; among all they are
/// left out where there is neither. Throws StartError.
std::vector<ProfileChoice> chosen_profiles(const std::vector<std::string>& names, const DumpOptions& dump,
                                           const BenchInput& input);

/// Deterministic values with what makes quantization hard: channels of very different width, a few outliers
/// among them, shifted channels, and tokens that resemble their predecessors. Not a model's: ratios of it
/// mean nothing.
std::vector<std::byte> made_up_kv(const KvShape& shape);

/// Frames of one packing. Blocks point into `memory`.
struct SymbolBlocks {
  std::vector<peers::SymbolBlock> blocks;
  std::vector<std::vector<uint8_t>> memory;
  uint64_t symbols = 0;
};

/// The symbols of all frames of `profile`, as the record format cuts and packs them. Planes that are kept raw
/// (NaN, infinity) are left out.
SymbolBlocks record_blocks(const BenchInput& input, const Profile& profile);
/// kv4's frames with one symbol a byte, or two.
SymbolBlocks packed_blocks(const BenchInput& input, peers::Packing packing);

/// Bits of an ideal order-0 coder with statistics of each block at no cost. `blocks` has one symbol a byte.
double ideal_bits(const SymbolBlocks& blocks);

}  // namespace shadowserve
