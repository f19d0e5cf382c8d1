// Handshakes on loopback: who is let in, who is not, and what either side says about it.
#include "wire/network/tls_stream.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "wire/network/plane_address.h"
#include "wire/network/tls_keys.h"

namespace shadowserve {
namespace {

struct Keys {
  explicit Keys(const std::string& name, int64_t from_s = -300, int64_t until_s = 3600)
      : folder("/tmp/ss-tls-test-" + std::to_string(getpid()) + "-" + name) {
    std::string message;
    EXPECT_TRUE(make_tls_keys({folder, {"nic0", "127.0.0.1"}, from_s, until_s}, message)) << message;
  }
  ~Keys() { std::filesystem::remove_all(folder); }
  TlsFiles files(const std::string& who) const {
    return {folder + "/" + who + ".pem", folder + "/" + who + ".key", folder + "/ca.pem"};
  }
  std::string folder;
};

std::shared_ptr<const TlsIdentity> identity(const TlsFiles& files, TlsSide side) {
  std::string message;
  auto loaded = TlsIdentity::load(files, side, message);
  EXPECT_TRUE(loaded) << message;
  return loaded ? *loaded : nullptr;
}

std::string refusal(const TlsFiles& files, TlsSide side = TlsSide::kEngine) {
  std::string message;
  return TlsIdentity::load(files, side, message) ? "" : message;
}

/// A connected pair of TCP sockets, non-blocking.
std::array<int, 2> sockets() {
  std::string message;
  PlaneAddress address;
  address.host = "127.0.0.1";
  const int listener = *listen_tcp(address, message);
  SocketAddress bound;
  bound.size = sizeof bound.storage;
  getsockname(listener, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
  const int engine = start_connect_tcp(bound);
  int plane = -1;
  for (int i = 0; i < 1000 && plane < 0; ++i) {
    plane = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    usleep(1000);
  }
  close(listener);
  return {engine, plane};
}

struct Meeting {
  bool plane_trusts = false, engine_trusts = false;
  std::string plane_says, engine_says, heard;
};

/// Shakes hands; then the engine speaks and the plane answers in capitals.
Meeting meet(const TlsIdentity& for_plane, const TlsIdentity& for_engine, const std::string& name = "nic0") {
  const auto [a, b] = sockets();
  TlsStream engine(a, for_engine, name), plane(b, for_plane, {});
  Meeting meeting;
  const std::string words = "hello";
  engine.queue(std::as_bytes(std::span(words)));
  std::byte bytes[64];
  for (int i = 0; i < 500; ++i) {
    const bool engine_lives = engine.step(), plane_lives = plane.step();
    ssize_t got = plane_lives ? plane.read(bytes) : 0;
    if (got > 0) {
      meeting.plane_trusts = true;
      const std::string answer = "HELLO";
      plane.queue(std::as_bytes(std::span(answer)));
    }
    got = engine_lives ? engine.read(bytes) : 0;
    if (got > 0) {
      meeting.engine_trusts = true;
      meeting.heard.assign(reinterpret_cast<const char*>(bytes), static_cast<size_t>(got));
      break;
    }
    if (!engine.reason().empty() && !plane.reason().empty()) break;
    usleep(1000);
  }
  meeting.plane_says = plane.reason();
  meeting.engine_says = engine.reason();
  return meeting;
}

TEST(TlsStream, SidesOfOneCaTrustEachOther) {
  const Keys keys("one");
  const auto plane = identity(keys.files("plane"), TlsSide::kPlane);
  const auto engine = identity(keys.files("engine"), TlsSide::kEngine);
  for (const char* name : {"nic0", "127.0.0.1", kPlaneName}) {
    const Meeting meeting = meet(*plane, *engine, name);
    EXPECT_EQ(meeting.heard, "HELLO") << name << ": " << meeting.engine_says << " / " << meeting.plane_says;
  }
}

TEST(TlsStream, APlaneOfAnotherNameIsNotTheOne) {
  const Keys keys("name");
  const auto plane = identity(keys.files("plane"), TlsSide::kPlane);
  const auto engine = identity(keys.files("engine"), TlsSide::kEngine);
  for (const char* name : {"nic1", "127.0.0.2"}) {
    const Meeting meeting = meet(*plane, *engine, name);
    EXPECT_FALSE(meeting.engine_trusts);
    EXPECT_NE(meeting.engine_says.find("another name"), std::string::npos) << meeting.engine_says;
  }
}

TEST(TlsStream, AnotherCaIsAStranger) {
  const Keys ours("ours"), theirs("theirs");
  const auto plane = identity(ours.files("plane"), TlsSide::kPlane);
  const auto stranger = identity(theirs.files("engine"), TlsSide::kEngine);
  const Meeting meeting = meet(*plane, *stranger);
  EXPECT_FALSE(meeting.plane_trusts || meeting.engine_trusts);
  EXPECT_NE(meeting.engine_says.find("another CA"), std::string::npos) << meeting.engine_says;
  // One that trusts our CA, but is not of it: the plane is who says no.
  TlsFiles files = theirs.files("engine");
  std::filesystem::copy_file(ours.folder + "/ca.pem", theirs.folder + "/both.pem");
  std::ofstream(theirs.folder + "/both.pem", std::ios::app)
      << std::ifstream(theirs.folder + "/ca.pem").rdbuf();
  files.ca = theirs.folder + "/both.pem";
  const Meeting second = meet(*plane, *identity(files, TlsSide::kEngine));
  EXPECT_FALSE(second.plane_trusts);
  EXPECT_NE(second.plane_says.find("another CA"), std::string::npos) << second.plane_says;
  EXPECT_NE(second.engine_says.find("refused this side's certificate"), std::string::npos)
      << second.engine_says;
}

TEST(TlsStream, AnEngineCannotPassForAPlane) {
  const Keys keys("role");
  const auto impostor = identity(keys.files("engine"), TlsSide::kPlane);
  const auto engine = identity(keys.files("engine"), TlsSide::kEngine);
  EXPECT_FALSE(meet(*impostor, *engine).engine_trusts);
}

TEST(TlsStream, WhoDoesNotSpeakTlsIsGone) {
  const Keys keys("plain");
  const auto plane = identity(keys.files("plane"), TlsSide::kPlane);
  const auto [a, b] = sockets();
  TlsStream stream(b, *plane, {});
  const std::string words = "GET / HTTP/1.1\r\n\r\n";
  ASSERT_EQ(send(a, words.data(), words.size(), 0), static_cast<ssize_t>(words.size()));
  for (int i = 0; i < 500 && stream.step(); ++i) usleep(1000);
  EXPECT_EQ(stream.reason(), "it does not speak TLS");
  close(a);
}

TEST(TlsStream, TheQueueHasAnEnd) {
  const Keys keys("queue");
  const auto engine = identity(keys.files("engine"), TlsSide::kEngine);
  const auto [a, b] = sockets();
  TlsStream stream(a, *engine, "nic0");
  const std::vector<std::byte> some(1 << 20);
  EXPECT_TRUE(stream.queue(some));
  EXPECT_TRUE(stream.queue(some));
  EXPECT_FALSE(stream.queue(some));
  EXPECT_LE(stream.queued(), TlsStream::kQueueBytesMax);
  close(b);
}

TEST(TlsIdentity, SaysWhatIsWrongWithFiles) {
  const Keys keys("files"), other("other");
  const TlsFiles good = keys.files("engine");
  EXPECT_EQ(refusal(good), "") << "negative control";
  const auto with = [&](auto change) {
    TlsFiles files = good;
    change(files);
    return refusal(files);
  };
  EXPECT_NE(with([](TlsFiles& f) { f.key = ""; }).find("needs tls_key"), std::string::npos);
  EXPECT_NE(with([](TlsFiles& f) { f.certificate = "/nowhere.pem"; }).find("cannot read /nowhere.pem"),
            std::string::npos);
  EXPECT_NE(with([&](TlsFiles& f) { f.key = keys.folder + "/plane.key"; }).find("not the private key"),
            std::string::npos);
  EXPECT_NE(with([&](TlsFiles& f) { f.certificate = f.key; }).find("no certificate"), std::string::npos);
  EXPECT_NE(with([&](TlsFiles& f) { f.ca = f.key; }).find("no CA certificate"), std::string::npos);
  EXPECT_NE(with([&](TlsFiles& f) { f.ca = other.folder + "/ca.pem"; }).find("not of the CA"),
            std::string::npos);
  chmod(good.key.c_str(), 0644);
  EXPECT_NE(refusal(good).find("chmod 600"), std::string::npos);
}

TEST(TlsIdentity, CertificatesThatAreOverOrNotYetAreNotUsed) {
  EXPECT_NE(refusal(Keys("over", -7200, -3600).files("engine")).find("has expired"), std::string::npos);
  EXPECT_NE(refusal(Keys("early", 3600, 7200).files("engine")).find("not valid yet"), std::string::npos);
}

// A certificate that runs out while its side runs: the other side sees it at the next handshake.
TEST(TlsStream, ACertificateThatRanOutMeanwhileIsRefused) {
  const Keys keys("short", -300, 2);
  const auto plane = identity(keys.files("plane"), TlsSide::kPlane);
  const auto engine = identity(keys.files("engine"), TlsSide::kEngine);
  EXPECT_TRUE(meet(*plane, *engine).engine_trusts) << "negative control";
  usleep(3'100'000);
  const Meeting meeting = meet(*plane, *engine);
  EXPECT_FALSE(meeting.engine_trusts);
  EXPECT_NE(meeting.engine_says.find("has expired"), std::string::npos) << meeting.engine_says;
}

TEST(TlsKeys, RenewsWithTheSameCaAndKeepsKeysPrivate) {
  const Keys keys("renew");
  const auto plane = identity(keys.files("plane"), TlsSide::kPlane);
  std::string message;
  ASSERT_TRUE(make_tls_keys({keys.folder, {"nic0"}}, message)) << message;
  EXPECT_TRUE(meet(*plane, *identity(keys.files("engine"), TlsSide::kEngine)).engine_trusts);
  for (const char* name : {"ca.key", "plane.key", "engine.key"}) {
    struct stat status {};
    ASSERT_EQ(stat((keys.folder + "/" + name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u) << name;
  }
  EXPECT_FALSE(make_tls_keys({keys.folder, {"a,DNS:b"}}, message));
}

TEST(PlaneAddress, IsAPathOrAHostAndAPort) {
  std::string message;
  EXPECT_EQ(parse_plane_address("/run/a.sock", message)->path, "/run/a.sock");
  const auto six = parse_plane_address("tls://[::1]:7601", message);
  ASSERT_TRUE(six);
  EXPECT_TRUE(six->network());
  EXPECT_EQ(six->host, "::1");
  EXPECT_EQ(six->port, 7601);
  for (const char* wrong : {"", "tls://", "tls://host", "tls://:1", "tls://a:b", "tls://a:70000",
                            "tls://::1:7601", "tcp://a:1", "tls://a:1/x"}) {
    EXPECT_FALSE(parse_plane_address(wrong, message)) << wrong;
  }
}

}  // namespace
}  // namespace shadowserve
