// Every limit of the system with the reason for its value.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shadowserve {

/// A stored value never exceeds this: Redis collapses from 2.5 GB/s to 0.1-1 GB/s at 8 MiB values, and
/// BlueField-class inflate engines take buffers of at most 2 MiB.
inline constexpr size_t kRecordBytesMax = 2u << 20;

/// Room kept for header, frame table and scales, so that even incompressible values fit kRecordBytesMax.
inline constexpr size_t kRecordOverheadMax = 128u << 10;

/// Values (uncompressed, canonical layout) of one record.
inline constexpr size_t kPartValueBytesMax = kRecordBytesMax - kRecordOverheadMax;

/// A frame's uncompressed bytes: small enough to stay in a core's L2 while it is decoded.
inline constexpr size_t kFrameBytesMax = 256u << 10;

/// Frames of one record: bounds the frame table. A part never has more planes than this.
inline constexpr uint32_t kFramesPerRecordMax = 128;

/// Tokens of a chunk; keys are chained at this granularity (LMCache and CacheGen use 256 as well).
inline constexpr uint32_t kChunkTokensDefault = 256;
inline constexpr uint32_t kChunkTokensMax = 4096;

/// Models: generous bounds that keep every product below 2^32.
inline constexpr uint32_t kLayersMax = 1024;
inline constexpr uint32_t kKvHeadsMax = 1024;
inline constexpr uint32_t kHeadDimMax = 1024;

/// Engines (links) one data plane serves: a fixed table, nothing is allocated when one attaches. An engine
/// has one for its scheduler and one for each tensor-parallel rank, so 16 serve the eight GPUs of a host
/// however they are split among engines.
inline constexpr uint32_t kSessionsMax = 16;

/// Tensor-parallel shards of one model: the questions of a chunk fit a link ring several times over.
inline constexpr uint32_t kShardsMax = 64;

/// GPUs of one host whose engines a data plane serves.
inline constexpr int kDevicesMax = 16;

/// Entries of a link ring; with 1,024 entries a 32k-token prefix of an 8B model is queued in one go.
inline constexpr uint32_t kLinkRingEntries = 1024;

/// Of a link across machines: who heard nothing for this long asks whether the other side is there. Four
/// tries fit into kLinkSilenceNs, and an idle link costs eight small packets a second.
inline constexpr uint64_t kLinkPingNs = 250'000'000;

/// After this long without a byte such a link is down. A cut sends nothing, so only a clock can notice it;
/// lookups have long ended by then, and a machine that is busy for less than that keeps its link.
inline constexpr uint64_t kLinkSilenceNs = 1'000'000'000;

/// Of a whole greeting across machines: a calibration of 2 MiB takes 17 s at 1 Mbit/s.
inline constexpr uint64_t kNetworkGreetingNs = 30'000'000'000;

/// TCP connections that a data plane holds at once: every session, engines that ask for calibrations, and
/// some more so that refusals can be spoken.
inline constexpr uint32_t kNetworkPeersMax = kSessionsMax + 8;

/// Bytes kept free after every slot region, so that vector code may read and write whole registers.
inline constexpr size_t kRegionSlack = 64;

}  // namespace shadowserve
