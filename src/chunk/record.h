// Record format v1 (docs/formats/record-v1.md): header, frame table, then frames of scales and coded symbols.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chunk/chunk_key.h"
#include "chunk/kept_rows.h"
#include "chunk/kv_geometry.h"
#include "contract/limits.h"
#include "contract/result.h"

namespace shadowserve {

inline constexpr char kRecordMagic[] = "SSKVREC\n";  // 8 bytes without the terminator
inline constexpr uint16_t kRecordVersion = 1;

/// Lossless coder of one frame. Values are part of the format.
enum class CoderId : uint8_t {
  kNone = 0,     ///< symbols as they are
  kDeflate = 1,  ///< one RFC 1951 stream; the encoder uses Huffman-only blocks, the decoder takes any
  kZstd = 2,     ///< one Zstandard frame (RFC 8878)
  kRans = 3,     ///< symbols a byte, coded as docs/formats/rans.md says
};

/// How symbols are laid out as the bytes the coder sees. Values are part of the format.
enum class PackingId : uint8_t {
  kBytes = 0,     ///< one symbol a byte
  kNibbles = 1,   ///< two symbols a byte, the first in the low half (alphabets of at most 16)
  kElements = 2,  ///< raw little-endian elements
  kSplit = 3,     ///< raw 16-bit elements as two byte planes: all high bytes, then all low bytes
};

/// How symbols become values. Values are part of the format.
enum class QuantizerId : uint8_t {
  kRaw = 0,          ///< the elements themselves
  kTokenSym = 1,     ///< x = (q - zero) * scale[token][head group]; scales bf16, zero = (levels - 1) / 2
  kChannelAsym = 2,  ///< x = q * step[group][channel] + min[group][channel]; both bf16; groups of tokens
  kCalibrated =
      3,  ///< x = rotated((q - 128) * step[channel] + mean[channel]) of a calibration that both have
};

/// Added to a quantizer's number: kept rows and patches (chunk/kept_rows.h) follow the frame's scales.
inline constexpr uint8_t kKeepsRows = 0x10;

/// Fixed part of a record, little-endian, 144 bytes. Fields are validated by open_record() before use.
struct RecordHeader {
  uint8_t magic[8];  ///< "SSKVREC\n"
  uint16_t version;
  uint16_t flags;         ///< 0
  uint32_t header_bytes;  ///< header + frame table
  uint32_t record_bytes;  ///< everything
  uint32_t frame_count;
  uint8_t element;    ///< KvGeometry::element_number()
  uint8_t seal_kind;  ///< 1 = XXH3-128 keyed with the seal key (damage), 2 = AES-256-GMAC (tampering)
  uint8_t reserved0[2];
  uint32_t layers;
  uint32_t kv_heads;
  uint32_t head_dim;
  uint32_t chunk_tokens;
  uint32_t part;
  uint32_t plane_first;
  uint32_t plane_count;
  uint8_t chunk_key[32];
  uint8_t profile[24];      ///< name, NUL padded: for people and inspect, frames speak for themselves
  uint8_t nonce[12];        ///< of a GMAC seal, else 0
  uint32_t first_position;  ///< of the chunk's first token, where a frame is calibrated; else 0
  uint8_t seal[16];         ///< over the whole record with this field zero
};
static_assert(sizeof(RecordHeader) == 144 && alignof(RecordHeader) == 4);

/// One independently decodable piece of one plane, little-endian, 32 bytes.
struct FrameEntry {
  uint32_t plane;  ///< absolute plane number
  uint16_t token_first;
  uint16_t token_count;
  uint8_t quantizer;      ///< QuantizerId, and kKeepsRows
  uint8_t packing;        ///< PackingId
  uint8_t coder;          ///< CoderId
  uint8_t levels;         ///< alphabet size of the quantizer (255 at most), 0 for kRaw
  uint16_t group_tokens;  ///< kChannelAsym: tokens that share steps; else 0
  uint16_t group_heads;   ///< kTokenSym: heads that share a scale; else 0
  uint32_t scale_bytes;   ///< kept rows included
  uint32_t symbol_bytes;  ///< what the coder gives back; at most kFrameBytesMax
  uint32_t coded_bytes;
  uint32_t reserved;  ///< 0
};
static_assert(sizeof(FrameEntry) == 32 && alignof(FrameEntry) == 4);

inline QuantizerId quantizer_of(const FrameEntry& entry) {
  return static_cast<QuantizerId>(entry.quantizer & ~kKeepsRows);
}
inline bool keeps_rows(const FrameEntry& entry) { return (entry.quantizer & kKeepsRows) != 0; }

/// A validated record. Points into the record's bytes, which must outlive it and stay unchanged.
/// A frame's scales start at a multiple of 16 bytes from the record's start, its coded bytes directly behind.
class RecordView {
 public:
  struct Frame {
    FrameEntry entry;
    std::span<const std::byte> scales;  ///< without kept rows
    std::span<const std::byte> coded;
    KeptRows kept;             ///< of keeps_rows() frames
    size_t symbol_offset = 0;  ///< in the part's symbol region: running sum of symbol_bytes rounded up to 64
    size_t value_offset = 0;   ///< in the part's canonical values, bytes
  };
  const RecordHeader& header() const { return header_; }
  const PartShape& shape() const { return shape_; }
  uint32_t frame_count() const { return header_.frame_count; }
  const Frame& frame(uint32_t index) const { return frames_[index]; }
  size_t symbol_bytes() const { return symbol_bytes_; }

 private:
  friend Result<void> open_record(std::span<const std::byte>, const PartShape&, const ChunkKey&,
                                  const ChunkKey&, RecordView&);
  friend Result<void> describe_record(std::span<const std::byte>, RecordView&);
  friend Result<void> parse_frames(std::span<const std::byte>, RecordView&);
  RecordHeader header_{};
  PartShape shape_{};
  Frame frames_[kFramesPerRecordMax] = {};
  size_t symbol_bytes_ = 0;
};

/// Symbols of any valid part fit here (every frame's symbols are 64-byte aligned).
inline constexpr size_t kSymbolBytesMax = kPartValueBytesMax + kFramesPerRecordMax * 64;

/// Scales (bf16) have magnitudes below 2^119, so that no quantizer's arithmetic can overflow a float.
inline constexpr uint16_t kScaleBitsEnd = 0x7B00;

/// Checks everything about hostile `bytes` before one of them is used, in this order: size, magic, version,
/// sizes in the header, identity (key, shape, part), seal, frame table (frames tile every plane and token
/// exactly once, in order; bounds; known ids; scales below kScaleBitsEnd). Fills `view`, which may be used
/// only after success. A `seal` of a tenant with a salt refuses kXxh3 seals. No allocation after the thread's
/// first call, any thread.
/// Errors: kRecordTruncated, kRecordVersion, kRecordForeign, kRecordCorrupt, kRecordMalformed, kUnsupported.
Result<void> open_record(std::span<const std::byte> bytes, const PartShape& shape, const ChunkKey& key,
                         const ChunkKey& seal, RecordView& view);

/// The same without identity and seal: for `shadowserve inspect`, which has no key space.
Result<void> describe_record(std::span<const std::byte> bytes, RecordView& view);

enum class SealKind : uint8_t { kXxh3 = 1, kGmac = 2 };

/// The kind to seal with under this seal key, and the weakest that a reader with it accepts: kGmac where the
/// tenant has a salt.
SealKind seal_kind_of(const ChunkKey& seal);

/// Seals a finished record in place (fills seal_kind, nonce and seal). No allocation after the thread's first
/// call.
void seal_record(std::span<std::byte> record, SealKind kind, const ChunkKey& seal);
/// Takes what sealing and checking need of the calling thread's memory, so that later calls allocate nothing.
void prepare_seals_on_this_thread();
/// True when the seal fits and is of a kind that `seal` accepts. `bytes` is a whole record (size checked by
/// the caller).
bool seal_matches(std::span<const std::byte> bytes, const ChunkKey& seal);

}  // namespace shadowserve
