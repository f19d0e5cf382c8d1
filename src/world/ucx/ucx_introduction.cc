// Bytes of strangers: nothing of them is used before the first 16 are the right ones.
#include "world/ucx/ucx_introduction.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "world/ucx/ucx_bytes.h"

namespace shadowserve {
namespace {

constexpr std::string_view kFormat = "shadowserve-ucx1";
constexpr std::byte kJoined{1};
static_assert(kFormat.size() + 2 * sizeof(uint32_t) == kUcxIntroductionHeadBytes);

/// Exactly these bytes. errno; 0: all there.
int receive_all(Stream& stream, std::span<std::byte> into, const UcxPatience& patience) {
  while (!into.empty()) {
    const iovec part{into.data(), into.size()};
    const Result<size_t> got = stream.readv({&part, 1});
    if (!got) return stream.why() == 0 ? ECONNRESET : stream.why();
    into = into.subspan(*got);
    if (*got > 0) continue;
    if (patience.ended()) return ETIMEDOUT;
    patience.wait(stream.fd(), POLLIN);
  }
  return 0;
}

/// errno; 0: all of it is on its way.
int send_all(Stream& stream, std::span<const std::byte> bytes, const UcxPatience& patience) {
  while (!bytes.empty()) {
    const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    const Result<size_t> some = stream.writev({&part, 1});
    if (!some) return stream.why();
    bytes = bytes.subspan(*some);
    if (*some > 0) continue;
    if (patience.ended()) return ETIMEDOUT;
    patience.wait(stream.fd(), POLLOUT);
  }
  return 0;
}

}  // namespace

std::vector<std::byte> pack_introduction(const UcxIntroduction& said) {
  std::vector<std::byte> out(kUcxIntroductionHeadBytes + said.address.size());
  std::transform(kFormat.begin(), kFormat.end(), out.begin(),
                 [](char c) { return static_cast<std::byte>(c); });
  store_ucx(out.data() + kFormat.size(), static_cast<uint32_t>(said.why));
  store_ucx(out.data() + kFormat.size() + 4, static_cast<uint32_t>(said.address.size()));
  std::copy(said.address.begin(), said.address.end(), out.begin() + kUcxIntroductionHeadBytes);
  return out;
}

Result<size_t> read_introduction_head(std::span<const std::byte, kUcxIntroductionHeadBytes> head, int& why) {
  for (size_t i = 0; i < kFormat.size(); ++i) {
    if (head[i] != static_cast<std::byte>(kFormat[i])) return fail(Error::kSystem);
  }
  const uint32_t code = load_ucx(head.data() + kFormat.size());
  const uint32_t bytes = load_ucx(head.data() + kFormat.size() + 4);
  if (code > kUcxErrnoMax || bytes > kUcxAddressBytesMax || (code == 0) != (bytes > 0)) {
    return fail(Error::kSystem);
  }
  why = static_cast<int>(code);
  return size_t{bytes};
}

void UcxPatience::wait(int fd, short events) const {
  pollfd entry{.fd = fd, .events = events, .revents = 0};
  ::poll(&entry, 1, 20);
}

int await_ready(Stream& stream, const UcxPatience& patience) {
  for (;;) {
    const Result<bool> ready = stream.ready();
    if (!ready) return stream.why();
    if (*ready) return 0;
    if (patience.ended()) return ETIMEDOUT;
    patience.wait(stream.fd(), POLLOUT);
  }
}

int say_introduction(Stream& stream, const UcxIntroduction& said, const UcxPatience& patience) {
  return send_all(stream, pack_introduction(said), patience);
}

int say_joined(Stream& stream, const UcxPatience& patience) {
  return send_all(stream, {&kJoined, 1}, patience);
}

Result<bool> hear_joined(Stream& stream) {
  std::byte word{};
  const iovec part{&word, 1};
  const Result<size_t> got = stream.readv({&part, 1});
  if (!got) return fail(got.error());
  if (*got == 0) return false;
  if (word != kJoined) return fail(Error::kSystem);
  return true;
}

int hear_introduction(Stream& stream, UcxIntroduction& heard, const UcxPatience& patience) {
  std::array<std::byte, kUcxIntroductionHeadBytes> head;
  // Piece by piece: who says something else may say less than a head and then wait.
  for (size_t have = 0; have < head.size(); have += 4) {
    const int code = receive_all(stream, std::span(head).subspan(have, 4), patience);
    if (code != 0) return code;
    for (size_t i = have; i < std::min(have + 4, kFormat.size()); ++i) {
      if (head[i] != static_cast<std::byte>(kFormat[i])) return EPROTO;
    }
  }
  const Result<size_t> bytes = read_introduction_head(head, heard.why);
  if (!bytes) return EPROTO;
  heard.address.resize(*bytes);
  return receive_all(stream, heard.address, patience);
}

}  // namespace shadowserve
