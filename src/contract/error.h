// The one list of expected failures. Each names what the caller should do; bugs are not here (see check.h).
#pragma once

#include <cstdint>
#include <string_view>

namespace shadowserve {

/// What the receiver of an error should do about it.
enum class Action : uint8_t {
  kNone,       ///< nothing: it worked
  kRecompute,  ///< treat the chunk as a miss; the engine computes it
  kRetry,      ///< the same call may succeed later
  kDrop,       ///< best-effort work (a save) was given up; nobody waits for it
  kRefuse,     ///< the request itself is wrong; say so to whoever sent it
};

/// Values are part of the link protocol (wire/link_message.h): append, never renumber.
enum class Error : uint8_t {
  kNone = 0,
  kMiss = 1,             ///< the store has no such record
  kDeadline = 2,         ///< the deadline passed first
  kStoreDown = 3,        ///< the store cannot be reached
  kStoreRefused = 4,     ///< the store answered with an error (authentication, out of memory, ...)
  kRecordTruncated = 5,  ///< fewer bytes than the header promises
  kRecordCorrupt = 6,    ///< the seal does not match
  kRecordForeign = 7,    ///< a record of another key, model, shape or part
  kRecordVersion = 8,    ///< written by a format version this build does not read
  kRecordMalformed = 9,  ///< the header or a frame contradicts itself
  kUnsupported = 10,     ///< a coder, quantizer or layout this build does not know
  kNoCapacity = 11,      ///< a bounded queue, pool or value size is exhausted
  kCancelled = 12,       ///< the owner withdrew the work
  kPlaneDown = 13,       ///< the data plane is gone or does not answer
  kConfig = 14,          ///< a setting is wrong
  kSystem = 15,          ///< the operating system refused
};

inline constexpr int kErrorCount = 16;

/// A short stable name, used as a metric label and in log lines: "miss", "deadline", ...
std::string_view error_name(Error error);
/// One sentence for a person.
std::string_view error_sentence(Error error);
Action error_action(Error error);

}  // namespace shadowserve
