// The four kinds of rows that `shadowserve bench codec` prints, as trials.
#pragma once

#include <memory>
#include <vector>

#include "bench/bench_input.h"
#include "bench/trial.h"
#include "peers/peer_coder.h"

namespace shadowserve {

// Names of tables, measures and facts, which are also those of the JSON.
inline constexpr const char* kProfileTable = "profiles";
inline constexpr const char* kCoderTable = "coders";
inline constexpr const char* kPageTable = "pages";
inline constexpr const char* kAlphabetTable = "alphabets";
inline constexpr const char* kIsalPathName = "ISA-L inflate + dequantize + copy";
inline constexpr const char* kMemcpyName = "memcpy";

/// Memory that is in no cache when its turn comes again, touched beforehand. Handed out in a circle, in
/// pieces that begin with a cache line, as an engine's staging memory does: stores past the caches need that.
class DramRing {
 public:
  /// At least `bytes`, and several times the last-level cache.
  explicit DramRing(size_t bytes);
  /// REQUIRES size <= what the ring was made for.
  std::span<std::byte> take(size_t size);

 private:
  std::vector<std::byte> storage_;
  std::span<std::byte> memory_;
  size_t at_ = 0;
};

/// A row of "profiles": all parts there and back, every step timed, records with everything counted.
std::unique_ptr<Trial> profile_trial(BenchInput& input, const Profile& profile);

/// Rows of "coders": one coder on all blocks of kv4's symbols.
/// `ideal_bits` is what an ideal order-0 coder would need. `coder` may outlive nothing.
std::unique_ptr<Trial> coder_trial(std::string name, std::shared_ptr<peers::PeerCoder> coder,
                                   std::shared_ptr<const SymbolBlocks> blocks, double ideal_bits);
/// The codec's own coder behind the peers' interface.
std::shared_ptr<peers::PeerCoder> own_coder(CoderId coder);
/// The limit of any coder whose values have to get into memory: copying them, 2 bytes a symbol.
std::unique_ptr<Trial> symbol_copy_trial(uint64_t symbols, std::shared_ptr<DramRing> ring);

/// A row of "alphabets": our coder on normally distributed symbols of about `bits` bits, two in a thousand of
/// them wide, with tables for 1 or 16 classes.
std::unique_ptr<Trial> alphabet_trial(double bits, uint32_t classes);

/// Turns opened records of kv4 into values in `destination`. This is where another way to do it is plugged
/// in.
class PagePath {
 public:
  virtual ~PagePath() = default;
  /// Called once for every part, in order, before any is delivered.
  virtual void prepare(const RecordView& view) {}
  /// False when the part could not be decoded.
  virtual bool deliver(uint32_t part, const RecordView& view, std::span<std::byte> destination) = 0;
};
/// As the data plane does it: one pass, values past the caches; Deflate frames several at once.
std::unique_ptr<PagePath> plane_path(const CalibratedModel* model = nullptr);
/// Decompress, dequantize into a slot, copy: one after the other.
std::unique_ptr<PagePath> staged_path();
/// The same steps with ISA-L's inflate. It reads streams of its own, made from records that are not coded.
std::unique_ptr<PagePath> isal_path();

/// A row of "pages": from opened records to values in DRAM.
std::unique_ptr<Trial> page_trial(std::string name, std::string note, BenchInput& input,
                                  const Profile& profile, std::unique_ptr<PagePath> path,
                                  std::shared_ptr<DramRing> ring);
/// The same bytes copied from a slot that is in the cache.
std::unique_ptr<Trial> page_copy_trial(const BenchInput& input, std::shared_ptr<DramRing> ring);

}  // namespace shadowserve
