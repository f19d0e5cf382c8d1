// How bytes from a store are received: what there is to choose, and what this machine allows.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "world/stream.h"

namespace shadowserve {

inline constexpr std::string_view kReceiveSockets = "sockets";
inline constexpr std::string_view kReceiveIoUring = "io_uring";
inline constexpr std::string_view kReceiveUcx = "ucx";
inline constexpr std::array kReceiveNames = {kReceiveSockets, kReceiveIoUring, kReceiveUcx};

struct ReceiveChoice {
  std::string_view name = kReceiveSockets;  ///< what is used
  std::string found;                        ///< for people: what that is here
  std::string warning;  ///< a sentence with the remedy when it is not what was asked for; else empty
  StreamMaker make_stream;
};

/// What was asked for if this machine allows it, else sockets and a warning. REQUIRES a name from above. At
/// start: allocates, and may block for a moment.
ReceiveChoice choose_receive(std::string_view asked);

}  // namespace shadowserve
