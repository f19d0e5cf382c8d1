// Three ways from an opened record to values in memory.
#include <cstring>

#include "bench/bench_trials.h"
#include "bench/decode_check.h"
#include "codec/frame_decoder.h"
#include "codec/frame_kernel.h"
#include "codec/host_inflate_engine.h"

namespace shadowserve {
namespace {

class PlanePath final : public PagePath {
 public:
  explicit PlanePath(const CalibratedModel* model) : model_(model) {}
  bool deliver(uint32_t, const RecordView& view, std::span<std::byte> destination) override {
    bool good = true;
    uint32_t submitted = 0;
    for (uint32_t i = 0; i < view.frame_count(); ++i) {
      if (static_cast<CoderId>(view.frame(i).entry.coder) == CoderId::kDeflate) {
        good = submit(view, i) && good;
        ++submitted;
      } else {
        good = decoder_.decode(view, i, destination, ValueStores::kStreaming, model_).has_value() && good;
      }
    }
    while (good && submitted > 0) {
      InflateDone done[16];
      const size_t count = engine_->poll(done);
      for (size_t i = 0; i < count; ++i) {
        good = good && done[i].error == Error::kNone;
        if (good) good = dequantize(view, static_cast<uint32_t>(done[i].ticket), destination);
      }
      submitted -= static_cast<uint32_t>(count);
    }
    finish_streaming();
    return good;
  }

 private:
  std::span<std::byte> symbols_of(const RecordView::Frame& frame) {
    return std::span(symbols_).subspan(frame.symbol_offset, frame.entry.symbol_bytes);
  }
  bool submit(const RecordView& view, uint32_t frame) {
    const RecordView::Frame& piece = view.frame(frame);
    return engine_->submit({piece.entry.coder, piece.coded, symbols_of(piece), frame}).has_value();
  }
  bool dequantize(const RecordView& view, uint32_t frame, std::span<std::byte> destination) {
    const auto symbols = symbols_of(view.frame(frame));
    return dequantize_frame(view, frame, symbols, destination, ValueStores::kStreaming).has_value();
  }

  const CalibratedModel* model_;
  CoderWorkspace coder_;
  FrameDecoder decoder_{coder_};
  std::unique_ptr<HostInflateEngine> engine_ = std::make_unique<HostInflateEngine>(coder_);
  std::vector<std::byte> symbols_{std::vector<std::byte>(kSymbolBytesMax + kRegionSlack)};
};

/// Frame by frame through a symbol buffer, then one copy of the part.
class StagedPath : public PagePath {
 public:
  bool deliver(uint32_t part, const RecordView& view, std::span<std::byte> destination) final {
    for (uint32_t i = 0; i < view.frame_count(); ++i) {
      const auto symbols = std::span(symbols_).first(view.frame(i).entry.symbol_bytes);
      if (!decompress(part, view, i, symbols) || !dequantize_frame(view, i, symbols, values_)) return false;
    }
    std::memcpy(destination.data(), values_.data(), destination.size());
    return true;
  }

 protected:
  virtual bool decompress(uint32_t, const RecordView& view, uint32_t frame, std::span<std::byte> symbols) {
    const RecordView::Frame& piece = view.frame(frame);
    return coder_.decode(static_cast<CoderId>(piece.entry.coder), piece.coded, symbols).has_value();
  }

 private:
  CoderWorkspace coder_;
  std::vector<std::byte> symbols_{std::vector<std::byte>(kFrameBytesMax + kRegionSlack)};
  std::vector<std::byte> values_{std::vector<std::byte>(kPartValueBytesMax + kRegionSlack)};
};

class IsalPath final : public StagedPath {
 public:
  void prepare(const RecordView& view) override {
    std::vector<std::vector<uint8_t>>& streams = parts_.emplace_back();
    std::vector<uint8_t> coded(2 * kFrameBytesMax);
    for (uint32_t i = 0; i < view.frame_count(); ++i) {
      const auto symbols = view.frame(i).coded;
      const size_t size = peers::zlib_huffman_block(
          {reinterpret_cast<const uint8_t*>(symbols.data()), symbols.size()}, coded);
      if (size == 0) throw WrongDecode("zlib cannot encode a frame for ISA-L");
      streams.emplace_back(coded.begin(), coded.begin() + static_cast<ptrdiff_t>(size));
    }
  }

 private:
  bool decompress(uint32_t part, const RecordView&, uint32_t frame, std::span<std::byte> symbols) override {
    return peers::isal_inflate_block(parts_[part][frame],
                                     {reinterpret_cast<uint8_t*>(symbols.data()), symbols.size()});
  }

  std::vector<std::vector<std::vector<uint8_t>>> parts_;  // by part and frame
};

}  // namespace

std::unique_ptr<PagePath> plane_path(const CalibratedModel* model) {
  return std::make_unique<PlanePath>(model);
}
std::unique_ptr<PagePath> staged_path() { return std::make_unique<StagedPath>(); }
std::unique_ptr<PagePath> isal_path() { return std::make_unique<IsalPath>(); }

}  // namespace shadowserve
