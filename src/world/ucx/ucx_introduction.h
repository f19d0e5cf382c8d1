// What both ends of a new connection tell each other over TCP before a byte goes through UCX. UCX trusts what
// its peers send; whoever is no relay, or no client of one, is found out here.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "world/stream.h"

namespace shadowserve {

struct UcxIntroduction {
  int why = 0;                     ///< errno: there will be no connection; 0: `address` is there
  std::vector<std::byte> address;  ///< of a worker of UCX
};

/// 16 bytes that name the format, errno and size (little-endian), and the address.
inline constexpr size_t kUcxIntroductionHeadBytes = 24;
inline constexpr size_t kUcxAddressBytesMax = 64u << 10;
std::vector<std::byte> pack_introduction(const UcxIntroduction& said);
/// The head: how many bytes of address follow, and `why`. kSystem when it is anything else.
Result<size_t> read_introduction_head(std::span<const std::byte, kUcxIntroductionHeadBytes> head, int& why);

/// How long somebody waits, on a thread that may.
struct UcxPatience {
  std::chrono::steady_clock::time_point until;
  std::function<bool()> given_up;  ///< asked every 20 ms
  bool ended() const { return std::chrono::steady_clock::now() >= until || given_up(); }
  /// Sleeps until `fd` is ready, for 20 ms at most.
  void wait(int fd, short events) const;
};

/// Drives connecting; the stream was told to. errno; 0: it stands.
int await_ready(Stream& stream, const UcxPatience& patience);
/// errno; 0: said.
int say_introduction(Stream& stream, const UcxIntroduction& said, const UcxPatience& patience);
/// errno; 0: `heard` is complete, which may be a refusal. EPROTO: the peer speaks something else.
int hear_introduction(Stream& stream, UcxIntroduction& heard, const UcxPatience& patience);

/// Said by the client when its endpoint stands. errno; 0: said.
int say_joined(Stream& stream, const UcxPatience& patience);
/// Looks once. True: heard it. kSystem when the peer is gone or says something else.
Result<bool> hear_joined(Stream& stream);

}  // namespace shadowserve
