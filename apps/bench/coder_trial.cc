// One coder, ours or somebody else's, on every block of kv4's symbols.
#include <fmt/format.h>

#include <cstring>

#include "bench/bench_trials.h"
#include "bench/decode_check.h"

namespace shadowserve {
namespace {

class OwnCoder final : public peers::PeerCoder {
 public:
  explicit OwnCoder(CoderId coder) : coder_(coder) {}
  std::string name() const override { return coder_name(coder_); }
  size_t encode(const peers::SymbolBlock& block, std::span<uint8_t> coded) override {
    CoderId coder = coder_;
    const auto size = workspace_.encode(coder, std::as_bytes(block.bytes), std::as_writable_bytes(coded));
    return size ? *size : 0;
  }
  bool decode(std::span<const uint8_t> coded, const peers::BlockPlace&, std::span<uint8_t> bytes) override {
    // A frame that would not shrink is stored, and no other one is as long as its symbols.
    const CoderId coder = coded.size() == bytes.size() ? CoderId::kNone : coder_;
    return workspace_.decode(coder, std::as_bytes(coded), std::as_writable_bytes(bytes)).has_value();
  }

 private:
  CoderId coder_;
  CoderWorkspace workspace_;
};

class CoderTrial final : public Trial {
 public:
  CoderTrial(std::string name, std::shared_ptr<peers::PeerCoder> coder,
             std::shared_ptr<const SymbolBlocks> blocks, double ideal_bits)
      : coder_(std::move(coder)), blocks_(std::move(blocks)), ideal_bits_(ideal_bits) {
    row.table = kCoderTable;
    row.name = std::move(name);
    row.note = coder_->note();
    coder_->learn(blocks_->blocks);
    for (const peers::SymbolBlock& block : blocks_->blocks) {
      coded_.resize(std::max(coded_.size(), peers::coded_bytes_max(block)));
      decoded_.resize(std::max(decoded_.size(), block.bytes.size()));
    }
  }

  void repeat(bool counted) override {
    Stopwatch encode, decode;
    uint64_t coded_bytes = 0;
    for (const peers::SymbolBlock& block : blocks_->blocks) {
      encode.start();
      const size_t size = coder_->encode(block, coded_);
      encode.stop();
      if (size == 0) throw WrongDecode(fmt::format("{}: cannot encode a block", row.name));
      coded_bytes += size;
      const auto decoded = std::span(decoded_).first(block.bytes.size());
      std::memset(decoded.data(), 0xff, decoded.size());  // what a decoder leaves out must not look right
      decode.start();
      const bool done = coder_->decode(std::span<const uint8_t>(coded_).first(size), block.place, decoded);
      decode.stop();
      if (!done) throw WrongDecode(fmt::format("{}: cannot decode a block that it encoded", row.name));
      expect_same(row.name, fmt::format("the symbols of a block of plane {}", block.place.plane),
                  std::as_bytes(block.bytes), std::as_bytes(decoded));
    }
    const auto symbols = static_cast<double>(blocks_->symbols), bits = static_cast<double>(coded_bytes) * 8;
    if (!counted) {
      row.facts = {{"bits_per_symbol", bits / symbols}, {"size_over_ideal", bits / ideal_bits_}};
      return;
    }
    add_rate("decode_gsym_s", symbols, decode.seconds());
    add_rate("encode_gsym_s", symbols, encode.seconds());
  }

 private:
  std::shared_ptr<peers::PeerCoder> coder_;
  std::shared_ptr<const SymbolBlocks> blocks_;
  double ideal_bits_;
  std::vector<uint8_t> coded_, decoded_;
};

class SymbolCopyTrial final : public Trial {
 public:
  SymbolCopyTrial(uint64_t symbols, std::shared_ptr<DramRing> ring)
      : symbols_(symbols), ring_(std::move(ring)) {
    row.table = kCoderTable;
    row.name = kMemcpyName;
    row.note = "of values to DRAM, 2 bytes a symbol: the limit of any way to pages";
  }
  void repeat(bool counted) override {
    Stopwatch copy;
    for (uint64_t done = 0; done < symbols_ * kElementBytes; done += source_.size()) {
      const auto into = ring_->take(std::min<uint64_t>(source_.size(), symbols_ * kElementBytes - done));
      copy.start();
      std::memcpy(into.data(), source_.data(), into.size());
      copy.stop();
    }
    if (counted) add_rate("decode_gsym_s", static_cast<double>(symbols_), copy.seconds());
  }

 private:
  uint64_t symbols_;
  std::shared_ptr<DramRing> ring_;
  std::vector<std::byte> source_{std::vector<std::byte>(kFrameBytesMax, std::byte{0x5a})};
};

}  // namespace

std::shared_ptr<peers::PeerCoder> own_coder(CoderId coder) { return std::make_shared<OwnCoder>(coder); }

std::unique_ptr<Trial> coder_trial(std::string name, std::shared_ptr<peers::PeerCoder> coder,
                                   std::shared_ptr<const SymbolBlocks> blocks, double ideal_bits) {
  return std::make_unique<CoderTrial>(std::move(name), std::move(coder), std::move(blocks), ideal_bits);
}

std::unique_ptr<Trial> symbol_copy_trial(uint64_t symbols, std::shared_ptr<DramRing> ring) {
  return std::make_unique<SymbolCopyTrial>(symbols, std::move(ring));
}

}  // namespace shadowserve
