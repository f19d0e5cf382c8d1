// One coder, ours or somebody else's, on every block of kv4's symbols.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "bench/bench_trials.h"
#include "bench/decode_check.h"
#include "chunk/record_frames.h"
#include "codec/host_inflate_engine.h"

namespace shadowserve {
namespace {

constexpr size_t kBlocksAtOnce = 12;  // frames that a record of usual shape has

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

  bool decode_all(std::span<const peers::DecodeTask> tasks) override {
    if (coder_ != CoderId::kDeflate) return PeerCoder::decode_all(tasks);
    // As the data plane does it: the engine decodes several Deflate frames at once.
    bool good = true;
    for (const peers::DecodeTask& task : tasks) {
      const CoderId coder = task.coded.size() == task.bytes.size() ? CoderId::kNone : coder_;
      good = engine_
                 ->submit({static_cast<uint8_t>(coder), std::as_bytes(task.coded),
                           std::as_writable_bytes(task.bytes), 0})
                 .has_value() &&
             good;
    }
    InflateDone done[16];
    for (size_t finished = 0; good && finished < tasks.size();) {
      const size_t count = engine_->poll(done);
      for (size_t k = 0; k < count; ++k) good = good && done[k].error == Error::kNone;
      finished += count;
    }
    return good;
  }

 private:
  CoderId coder_;
  CoderWorkspace workspace_;
  std::unique_ptr<HostInflateEngine> engine_ = std::make_unique<HostInflateEngine>(workspace_);
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
    size_t longest = 0;
    for (const peers::SymbolBlock& block : blocks_->blocks)
      longest = std::max(longest, coded_bytes_max(block));
    coded_.assign(kBlocksAtOnce, std::vector<uint8_t>(longest));
    decoded_.resize(kBlocksAtOnce * longest);
  }

  void repeat(bool counted) override {
    Laps laps;
    const std::span<const peers::SymbolBlock> all(blocks_->blocks);
    for (size_t first = 0; first < all.size(); first += kBlocksAtOnce) {
      send(all.subspan(first, std::min(kBlocksAtOnce, all.size() - first)), laps);
    }
    const auto symbols = static_cast<double>(blocks_->symbols),
               bits = static_cast<double>(laps.coded_bytes) * 8;
    if (!counted) {
      row.facts = {{"bits_per_symbol", bits / symbols}, {"size_over_ideal", bits / ideal_bits_}};
      return;
    }
    add_rate("decode_gsym_s", symbols, laps.decode.seconds());
    add_rate("encode_gsym_s", symbols, laps.encode.seconds());
  }

 private:
  struct Laps {
    Stopwatch encode, decode;
    uint64_t coded_bytes = 0;
  };

  /// About a part of blocks there and back; decoded bytes lie one after the other, as in a slot.
  void send(std::span<const peers::SymbolBlock> blocks, Laps& laps) {
    std::vector<peers::DecodeTask> tasks;
    size_t at = 0;
    for (size_t i = 0; i < blocks.size(); ++i) {
      laps.encode.start();
      const size_t size = coder_->encode(blocks[i], coded_[i]);
      laps.encode.stop();
      if (size == 0) throw WrongDecode(fmt::format("{}: cannot encode a block", row.name));
      laps.coded_bytes += size;
      const size_t bytes = blocks[i].bytes.size();
      tasks.push_back({std::span<const uint8_t>(coded_[i]).first(size), blocks[i].place,
                       std::span(decoded_).subspan(at, bytes)});
      at = align_up(at + bytes, kSymbolAlign);
    }
    std::memset(decoded_.data(), 0xff, at);  // what a decoder leaves out must not look right
    laps.decode.start();
    const bool done = coder_->decode_all(tasks);
    laps.decode.stop();
    if (!done) throw WrongDecode(fmt::format("{}: cannot decode a block that it encoded", row.name));
    for (size_t i = 0; i < blocks.size(); ++i) {
      expect_same(row.name, fmt::format("the symbols of a block of plane {}", blocks[i].place.plane),
                  std::as_bytes(blocks[i].bytes), std::as_bytes(tasks[i].bytes));
    }
  }

  std::shared_ptr<peers::PeerCoder> coder_;
  std::shared_ptr<const SymbolBlocks> blocks_;
  double ideal_bits_;
  std::vector<std::vector<uint8_t>> coded_;
  std::vector<uint8_t> decoded_;
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
  std::vector<std::byte> source_{std::vector<std::byte>(kPartValueBytesMax, std::byte{0x5a})};
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
