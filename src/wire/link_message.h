// Everything that crosses between the control plane and the data plane: handshake messages and ring entries.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chunk/chunk_key.h"
#include "chunk/kv_geometry.h"
#include "contract/error.h"
#include "kernels/device_memory.h"
#include "memory/spsc_ring.h"

namespace shadowserve {

inline constexpr uint32_t kLinkMagic = 0x4b4c5353;  // "SSLK"
inline constexpr uint16_t kLinkVersion = 3;

/// Bytes of a calibration that a link takes: what the file may have (codec/calibrated/calibration.h).
inline constexpr uint32_t kLinkCalibrationBytesMax = 2u << 20;
/// Chunks of one sequence: what LinkRequest has 24 bits for, 4 billion tokens in chunks of 256.
inline constexpr uint32_t kLinkChunksMax = 1u << 24;

/// Where the staging memory of a link is.
enum class StagingKind : uint8_t {
  kHost = 1,    ///< a sealed memfd that travels with the hello
  kDevice = 2,  ///< GPU memory of the client; its handle is in the hello
};

/// A KvGeometry as it crosses: a plane that does not know its element number refuses it.
struct LinkGeometry {
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t chunk_tokens = 0;
  uint8_t element_number = 0;  ///< KvGeometry::element_number()
  uint8_t reserved[3] = {};

  static LinkGeometry of(const KvGeometry& geometry) {
    return {geometry.layers, geometry.kv_heads, geometry.head_dim, geometry.chunk_tokens,
            geometry.element_number()};
  }
  /// Not validated.
  KvGeometry geometry() const {
    KvGeometry out{layers, kv_heads, head_dim, chunk_tokens};
    out.set_element_number(element_number);
    return out;
  }
};
static_assert(sizeof(LinkGeometry) == 20);

/// First message on the Unix socket (SOCK_SEQPACKET), client to plane. Ancillary data, in this order: the
/// client's sealed staging memfd, when there is staging memory of kind kHost; the calibration as SealedBytes,
/// when there is one.
struct LinkHello {
  uint32_t magic = kLinkMagic;
  uint16_t version = kLinkVersion;
  uint16_t reserved = 0;
  LinkGeometry geometry;
  char profile[24] = {};  ///< codec profile by name, NUL padded
  uint8_t seal_kind = 1;  ///< SealKind
  StagingKind staging_kind = StagingKind::kHost;
  uint8_t reserved2[6] = {};
  std::byte seal_key[32] = {};
  uint32_t calibration_bytes = 0;     ///< 0: none. Calibrated profiles need one where there is staging memory
  uint64_t staging_bytes = 0;         ///< 0: a link for lookups only
  char client_name[64] = {};          ///< for stats and logs: "vllm worker 0, pid 4711"
  DeviceMemoryHandle device_staging;  ///< kDevice: of at least staging_bytes
};

/// The plane's answer. On success ancillary data: three descriptors - the memfd with both rings (requests at
/// offset 0, replies at replies_offset), the plane's doorbell (eventfd), the client's doorbell (eventfd).
/// From then on the socket only tells, by closing, that a side is gone. A closed socket means the peer's
/// process no longer runs any thread: nothing of it can still write to shared memory.
struct LinkWelcome {
  uint32_t magic = kLinkMagic;
  uint16_t version = kLinkVersion;
  uint8_t error = 0;  ///< Error; `text` says why
  uint8_t reserved = 0;
  uint32_t ring_entries = 0;
  uint32_t session = 0;
  uint64_t replies_offset = 0;
  char text[192] = {};
};

enum class LinkOp : uint8_t {
  kLookup = 1,  ///< does part 0 of this chunk exist? Parts are saved last to first, so part 0 stands for all
  kFetch = 2,   ///< record -> canonical values at staging_offset
  kSave = 3,    ///< canonical values at staging_offset -> record
};

/// Client to plane, one cache line and a half. The plane answers every request with exactly one LinkReply.
struct LinkRequest {
  uint64_t ticket = 0;  ///< the client's; returned in the reply
  LinkOp op = LinkOp::kLookup;
  uint8_t chunk[3] = {};  ///< see chunk_index(); 0 for lookups
  uint32_t part = 0;
  ChunkKey key{};
  uint64_t staging_offset = 0;  ///< the part's value_bytes() start here; owned by the plane until the reply
  uint64_t deadline_ns = 0;     ///< absolute, CLOCK_MONOTONIC

  /// The chunk's number in its sequence, from 0: says at which position its first token stands.
  uint32_t chunk_index() const { return chunk[0] | uint32_t{chunk[1]} << 8 | uint32_t{chunk[2]} << 16; }
  /// REQUIRES index < kLinkChunksMax.
  void set_chunk_index(uint32_t index) {
    for (uint8_t& byte : chunk) byte = static_cast<uint8_t>(index), index >>= 8;
  }
};
static_assert(sizeof(LinkRequest) == 64);

struct LinkReply {
  uint64_t ticket = 0;
  LinkOp op = LinkOp::kLookup;
  uint8_t error = 0;  ///< Error; 0 = done (lookup: it exists)
  uint8_t reserved[2] = {};
  uint32_t wire_bytes = 0;   ///< size of the record received or sent
  uint32_t value_bytes = 0;  ///< bytes delivered or collected
  uint32_t queued_us = 0;    ///< waiting for a slot
  uint32_t store_us = 0;     ///< receive or send
  uint32_t work_us = 0;      ///< codec and copy
};
static_assert(sizeof(LinkReply) == 32);

using RequestRing = SpscRing<LinkRequest>;
using ReplyRing = SpscRing<LinkReply>;

}  // namespace shadowserve
