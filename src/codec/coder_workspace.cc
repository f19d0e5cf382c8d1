// Picks the coder of a frame, and stores frames that would not shrink.
#include <algorithm>
#include <cstring>

#include "codec/codec.h"
#include "codec/coder_deflate.h"
#include "codec/coder_zstd.h"
#include "codec/rans/rans_frame.h"

namespace shadowserve {

struct CoderWorkspace::State {
  DeflateCoder deflate;
  ZstdCoder zstd;
  RansReader rans;
};

CoderWorkspace::CoderWorkspace() : state_(std::make_unique<State>()) {}
CoderWorkspace::~CoderWorkspace() = default;

Result<size_t> CoderWorkspace::encode(CoderId& coder, std::span<const std::byte> symbols,
                                      std::span<std::byte> coded, std::span<const RansSegment> segments) {
  // Offering one byte less than the symbols makes the coder itself say whether it would shrink them.
  const size_t worthwhile = symbols.empty() ? 0 : symbols.size() - 1;
  const auto room = coded.first(std::min(coded.size(), worthwhile));
  Result<size_t> size = fail(Error::kNoCapacity);
  switch (coder) {
    case CoderId::kNone:
      break;
    case CoderId::kDeflate:
      size = state_->deflate.encode(symbols, room);
      break;
    case CoderId::kZstd:
      size = state_->zstd.encode(symbols, room);
      break;
    case CoderId::kRans:
      size = segments.empty() ? write_rans_frame(symbols, room) : write_rans_frame(segments, symbols, room);
      break;
  }
  if (size) return size;
  if (coded.size() < symbols.size()) return fail(Error::kNoCapacity);
  coder = CoderId::kNone;
  if (!symbols.empty()) std::memcpy(coded.data(), symbols.data(), symbols.size());
  return symbols.size();
}

Result<void> CoderWorkspace::decode(CoderId coder, std::span<const std::byte> coded,
                                    std::span<std::byte> symbols) {
  switch (coder) {
    case CoderId::kNone:
      if (coded.size() != symbols.size()) return fail(Error::kRecordMalformed);
      if (!symbols.empty()) std::memcpy(symbols.data(), coded.data(), symbols.size());
      return {};
    case CoderId::kDeflate:
      return state_->deflate.decode(coded, symbols);
    case CoderId::kZstd:
      return state_->zstd.decode(coded, symbols);
    case CoderId::kRans:
      return state_->rans.read_all(coded, symbols);
  }
  return fail(Error::kUnsupported);
}

}  // namespace shadowserve
