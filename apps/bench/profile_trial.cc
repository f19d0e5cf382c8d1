// Whole trips of all parts under one profile: quantize, compress, decompress, dequantize.
#include <fmt/format.h>

#include "bench/bench_trials.h"
#include "bench/decode_check.h"
#include "codec/frame_decoder.h"
#include "codec/host_inflate_engine.h"
#include "command.h"

namespace shadowserve {
namespace {

class ProfileTrial final : public Trial {
 public:
  ProfileTrial(BenchInput& input, const Profile& profile) : input_(input), profile_(profile) {
    row.table = kProfileTable;
    row.name = profile.name();
  }

  void repeat(bool counted) override {
    Laps laps;
    uint64_t record_bytes = 0;
    for (uint32_t part = 0; part < input_.parts(); ++part) record_bytes += send_part(part, laps);
    if (!counted) {
      row.facts = {{"ratio", static_cast<double>(input_.value_bytes()) / static_cast<double>(record_bytes)}};
      return;
    }
    const auto bytes = static_cast<double>(input_.value_bytes());
    add_rate("encode_gb_s", bytes, laps.quantize.seconds() + laps.compress.seconds());
    add_rate("quantize_gb_s", bytes, laps.quantize.seconds());
    add_rate("compress_gb_s", bytes, laps.compress.seconds());
    add_rate("decode_gb_s", bytes, laps.decompress.seconds() + laps.dequantize.seconds());
    add_rate("decompress_gb_s", bytes, laps.decompress.seconds());
    add_rate("dequantize_gb_s", bytes, laps.dequantize.seconds());
  }

 private:
  struct Laps {
    Stopwatch quantize, compress, decompress, dequantize;
  };

  uint64_t send_part(uint32_t part, Laps& laps) {
    const PartShape shape = input_.part(part);
    const ChunkKey key{}, seal{};
    laps.quantize.start();
    const auto quantized = quantize_part(profile_, shape, input_.values(part), symbols_, scales_, plan_);
    laps.quantize.stop();
    if (!quantized)
      throw StartError(fmt::format("{}: the scales do not fit a record: try fewer --chunk-tokens", row.name));
    laps.compress.start();
    const auto size =
        compress_part(plan_, profile_, key, seal_kind_of(seal), seal, symbols_, scales_, coder_, record_);
    laps.compress.stop();
    if (!size) throw StartError(fmt::format("{}: a part does not fit a record", row.name));
    const auto record = std::span<const std::byte>(record_).first(*size);

    if (profile_.calibrated()) {
      fetch_in_one_pass(record, shape, laps);
      const auto expected = input_.expected(profile_, part);
      expect_same(row.name, fmt::format("the values of part {}", part), expected,
                  std::span(values_).first(expected.size()));
      return *size;
    }
    laps.decompress.start();
    const bool opened = open_record(record, shape, key, seal, view_).has_value() && decompress_all();
    laps.decompress.stop();
    if (!opened) throw WrongDecode(fmt::format("{}: a record made just now cannot be read", row.name));
    laps.dequantize.start();
    for (uint32_t i = 0; i < view_.frame_count(); ++i)
      (void)dequantize_frame(view_, i, symbols_of(i), values_);
    laps.dequantize.stop();
    check(part);
    return *size;
  }

  /// Calibrated frames know no other way: opening counts as decompressing, the rest as dequantizing.
  void fetch_in_one_pass(std::span<const std::byte> record, const PartShape& shape, Laps& laps) {
    laps.decompress.start();
    const bool opened = open_record(record, shape, ChunkKey{}, ChunkKey{}, view_).has_value();
    laps.decompress.stop();
    bool good = opened;
    laps.dequantize.start();
    for (uint32_t i = 0; good && i < view_.frame_count(); ++i)
      good = decoder_.decode(view_, i, values_, ValueStores::kCached, profile_.model).has_value();
    laps.dequantize.stop();
    if (!good) throw WrongDecode(fmt::format("{}: a record made just now cannot be read", row.name));
  }

  std::span<std::byte> symbols_of(uint32_t frame) {
    const RecordView::Frame& piece = view_.frame(frame);
    return std::span(decoded_).subspan(piece.symbol_offset, piece.entry.symbol_bytes);
  }

  bool decompress_all() {
    for (uint32_t i = 0; i < view_.frame_count(); ++i) {
      const RecordView::Frame& frame = view_.frame(i);
      if (!engine_->submit({frame.entry.coder, frame.coded, symbols_of(i), i})) return false;
    }
    InflateDone done[16];
    bool good = true;
    for (size_t finished = 0; finished < view_.frame_count();) {
      const size_t count = engine_->poll(done);
      for (size_t k = 0; k < count; ++k) good = good && done[k].error == Error::kNone;
      finished += count;
    }
    return good;
  }

  void check(uint32_t part) {
    for (uint32_t i = 0; i < view_.frame_count(); ++i) {
      const auto before = std::span(symbols_).subspan(plan_.symbol_offset[i], plan_.frames[i].symbol_bytes);
      expect_same(row.name, fmt::format("the symbols of frame {} of part {}", i, part), before,
                  symbols_of(i));
    }
    const auto expected = input_.expected(profile_, part);
    expect_same(row.name, fmt::format("the values of part {}", part), expected,
                std::span(values_).first(expected.size()));
  }

  BenchInput& input_;
  Profile profile_;
  CoderWorkspace coder_;
  FrameDecoder decoder_{coder_};
  std::unique_ptr<HostInflateEngine> engine_ = std::make_unique<HostInflateEngine>(coder_);
  EncodePlan plan_;
  RecordView view_;
  std::vector<std::byte> symbols_{std::vector<std::byte>(kSymbolBytesMax)};
  std::vector<std::byte> scales_{std::vector<std::byte>(kScaleBytesMax)};
  std::vector<std::byte> record_{std::vector<std::byte>(kRecordBytesMax + kRegionSlack)};
  std::vector<std::byte> decoded_{std::vector<std::byte>(kSymbolBytesMax + kRegionSlack)};
  std::vector<std::byte> values_{std::vector<std::byte>(kPartValueBytesMax + kRegionSlack)};
};

}  // namespace

std::unique_ptr<Trial> profile_trial(BenchInput& input, const Profile& profile) {
  return std::make_unique<ProfileTrial>(input, profile);
}

}  // namespace shadowserve
