// Tests of the running plane: real threads and sockets, a frozen heap, and peers that misbehave.
#include "plane/plane.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "codec/calibrated/golden_calibration.h"
#include "memory/frozen_heap.h"
#include "memory/shared_region.h"
#include "plane/calibrated_models.h"
#include "wire/link_message.h"
#include "wire/sealed_bytes.h"
#include "wire/unix_socket.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

/// A plane on a thread of its own, over an in-memory store.
class RunningPlane {
 public:
  RunningPlane() : stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    options_.store_url = "memory:?limit=64MB";
    options_.socket_path = "/tmp/ss-plane-test-" + std::to_string(getpid()) + ".sock";
    options_.fetch_slots = 4;
    options_.save_slots = 2;
    options_.pin_memory = false;
    std::string message;
    auto started = Plane::start(options_, message);
    EXPECT_TRUE(started) << message;
    plane_ = std::move(*started);
    thread_ = std::thread([this] { plane_->serve(stop_fd_); });
  }
  ~RunningPlane() {
    const uint64_t one = 1;
    EXPECT_EQ(write(stop_fd_, &one, 8), 8);
    thread_.join();
    plane_.reset();
    close(stop_fd_);
    EXPECT_NE(access(options_.socket_path.c_str(), F_OK), 0) << "no leftovers";
  }
  const std::string& socket() const { return options_.socket_path; }
  nlohmann::json stats() const { return nlohmann::json::parse(plane_->stats_json()); }
  const PlaneOptions& options() const { return options_; }

 private:
  PlaneOptions options_;
  int stop_fd_;
  std::unique_ptr<Plane> plane_;
  std::thread thread_;
};

/// The engine's end of a link, as small as it can be.
struct TestClient {
  int fd = -1;
  SharedRegion staging;
  SharedRegion rings;
  int plane_doorbell = -1;
  int my_doorbell = -1;
  LinkWelcome welcome;
  RequestRing requests;
  ReplyRing replies;

  static LinkHello hello() {
    LinkHello hello;
    hello.geometry = LinkGeometry::of({2, 2, 32, 64, ElementType::kBf16});
    std::strcpy(hello.profile, "kv4");
    std::strcpy(hello.client_name, "test");
    return hello;
  }
  bool attach(const std::string& path, LinkHello hello, int staging_fd) {
    const int fds[1] = {staging_fd};
    return attach(path, hello, std::span(fds, staging_fd >= 0 ? 1 : 0));
  }
  bool attach(const std::string& path, LinkHello hello, std::span<const int> sent_fds) {
    fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    const auto connected = connect_unix(path, SOCK_SEQPACKET);
    if (!connected) return false;
    close(fd);
    fd = *connected;
    if (!send_with_fds(fd, &hello, sizeof(hello), sent_fds)) return false;
    int got_fds[3] = {-1, -1, -1};
    size_t count = 0;
    ssize_t got = -1;
    for (int i = 0; i < 2000 && got < 0; ++i) {
      got = receive_with_fds(fd, &welcome, sizeof(welcome), got_fds, count);
      if (got < 0) usleep(1000);
    }
    if (got != sizeof(welcome) || welcome.error != 0 || count != 3) return false;
    plane_doorbell = got_fds[1];
    my_doorbell = got_fds[2];
    const size_t bytes = RequestRing::bytes(welcome.ring_entries) + ReplyRing::bytes(welcome.ring_entries);
    rings = SharedRegion::map(got_fds[0], bytes).value();
    requests = RequestRing::attach(rings.data(), welcome.ring_entries);
    replies = ReplyRing::attach(rings.data() + welcome.replies_offset, welcome.ring_entries);
    return true;
  }
  bool attach(const std::string& path) {
    staging = SharedRegion::create("staging", 1 << 20).value();
    LinkHello mine = hello();
    mine.staging_bytes = staging.size();
    return attach(path, mine, staging.fd());
  }
  LinkReply call(LinkOp op, uint8_t key = 1) {
    LinkRequest request;
    request.op = op;
    request.key[0] = std::byte{key};
    request.deadline_ns = MonotonicClock().now_ns() + 5'000'000'000;
    EXPECT_TRUE(requests.push(request));
    if (requests.must_ring()) {
      const uint64_t one = 1;
      EXPECT_EQ(write(plane_doorbell, &one, 8), 8);
    }
    LinkReply reply;
    reply.error = 255;
    const uint64_t by = MonotonicClock().now_ns() + 5'000'000'000;
    while (!replies.pop(reply) && MonotonicClock().now_ns() < by) usleep(20);
    return reply;
  }
  ~TestClient() {
    for (const int descriptor : {fd, plane_doorbell, my_doorbell}) {
      if (descriptor >= 0) close(descriptor);
    }
  }
};

TEST(Plane, AThousandFetchesAllocateNothing) {
  const uint64_t before = frozen_allocations();
  RunningPlane plane;
  TestClient client;
  ASSERT_TRUE(client.attach(plane.socket())) << client.welcome.text;
  std::memset(client.staging.data(), 0x3f, 1 << 16);
  ASSERT_EQ(client.call(LinkOp::kSave).error, 0);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(client.call(LinkOp::kFetch).error, 0) << i;
    ASSERT_EQ(client.call(LinkOp::kLookup).error, 0) << i;
    if (i % 10 == 0) {
      ASSERT_EQ(client.call(LinkOp::kSave, static_cast<uint8_t>(1 + i % 3)).error, 0) << i;
    }
  }
#if !defined(SHADOWSERVE_SANITIZED)
  ASSERT_TRUE(heap_is_watched());
  EXPECT_EQ(frozen_allocations(), before);
  EXPECT_EQ(plane.stats()["heap"]["allocations_after_start"], before);
#endif
  EXPECT_EQ(plane.stats()["funnels"]["fetch"]["ended"]["done"], 1000);
}

#if !defined(SHADOWSERVE_SANITIZED)
TEST(FrozenHeap, NegativeControlAnAllocationIsSeen) {
  const uint64_t before = frozen_allocations();
  std::thread([] {
    freeze_heap_on_this_thread();
    auto* leak = new std::vector<int>(1000);
    asm volatile("" : : "r"(leak) : "memory");
    delete leak;
    thaw_heap_on_this_thread();
  }).join();
  EXPECT_GE(frozen_allocations(), before + 1);
}
#endif

TEST(Plane, RefusesWhatItCannotTrust) {
  RunningPlane plane;
  {
    TestClient client;
    LinkHello hello = TestClient::hello();
    hello.version = 99;
    EXPECT_FALSE(client.attach(plane.socket(), hello, -1));
    EXPECT_NE(std::strstr(client.welcome.text, "version"), nullptr);
  }
  {
    TestClient client;
    LinkHello hello = TestClient::hello();
    hello.staging_bytes = 8192;
    const int unsealed = memfd_create("unsealed", MFD_ALLOW_SEALING);
    ASSERT_EQ(ftruncate(unsealed, 8192), 0);
    EXPECT_FALSE(client.attach(plane.socket(), hello, unsealed));
    EXPECT_NE(std::strstr(client.welcome.text, "sealed"), nullptr) << client.welcome.text;
    close(unsealed);
  }
  {
    TestClient client;
    LinkHello hello = TestClient::hello();
    std::strcpy(hello.profile, "kv5");
    EXPECT_FALSE(client.attach(plane.socket(), hello, -1));
    EXPECT_NE(std::strstr(client.welcome.text, "kv5"), nullptr) << client.welcome.text;
  }
  {
    TestClient client;
    LinkHello hello = TestClient::hello();
    hello.geometry.layers = 0;
    EXPECT_FALSE(client.attach(plane.socket(), hello, -1));
  }
  for (const int32_t device : {-1, 0, 5, 1'000'000}) {
    if (device >= 0 && device < gpu_count()) continue;
    TestClient client;
    LinkHello hello = TestClient::hello();
    hello.staging_kind = StagingKind::kDevice;
    hello.staging_bytes = hello.device_staging.bytes = 1 << 20;
    hello.device_staging.device = device;
    EXPECT_FALSE(client.attach(plane.socket(), hello, -1)) << "GPU " << device;
    EXPECT_NE(std::strstr(client.welcome.text, "GPU"), nullptr) << client.welcome.text;
  }
  TestClient honest;
  EXPECT_TRUE(honest.attach(plane.socket())) << "and goes on serving";
}

/// Descriptors that this process, plane and test, has open.
size_t open_fds() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// The golden calibration's model, and what its engine sends.
class CalibrationTest : public ::testing::Test {
 protected:
  CalibrationTest() {
    staging = SharedRegion::create("staging", 1 << 20).value();
    hello = TestClient::hello();
    hello.geometry = LinkGeometry::of({2, 2, 16, 64, ElementType::kBf16});
    std::strcpy(hello.profile, "balanced");
    hello.staging_bytes = staging.size();
  }
  /// What the plane says to a hello with these descriptors; empty: it welcomed us.
  std::string said(std::initializer_list<int> fds) {
    TestClient client;
    client.welcome.error = 255;
    if (client.attach(plane.socket(), hello, std::span(fds.begin(), fds.size()))) return {};
    EXPECT_EQ(client.welcome.error, static_cast<uint8_t>(Error::kConfig));
    return client.welcome.text;
  }
  std::string said_to(const std::vector<std::byte>& file) {
    const auto sealed = SealedBytes::create("calibration", file).value();
    hello.calibration_bytes = static_cast<uint32_t>(file.size());
    return said({staging.fd(), sealed.fd()});
  }
  RunningPlane plane;
  SharedRegion staging;
  LinkHello hello;
};

TEST_F(CalibrationTest, EnginesThatBringOneCode) {
  const auto file = golden_calibration::golden();
  const auto sealed = SealedBytes::create("calibration", file).value();
  hello.calibration_bytes = static_cast<uint32_t>(file.size());
  const int fds[] = {staging.fd(), sealed.fd()};
  TestClient one, two;
  for (TestClient* client : {&one, &two}) {
    ASSERT_TRUE(client->attach(plane.socket(), hello, fds)) << client->welcome.text;
  }
  ASSERT_EQ(one.call(LinkOp::kSave).error, 0);
  EXPECT_EQ(two.call(LinkOp::kFetch).error, 0);
  EXPECT_EQ(two.call(LinkOp::kFetch, 2).error, static_cast<uint8_t>(Error::kMiss)) << "negative control";
}

TEST_F(CalibrationTest, WhatCannotBeTrustedIsRefusedAndForgotten) {
  using namespace golden_calibration;
  const size_t before = open_fds();
  EXPECT_EQ(said_to(golden()), "") << "negative control";
  const auto good = SealedBytes::create("calibration", golden()).value();
  const auto size = static_cast<uint32_t>(golden().size());
  hello.calibration_bytes = 0;
  EXPECT_NE(said({staging.fd()}).find("needs a calibration of the engine's model"), std::string::npos);
  const std::string other_descriptors = "the greeting has other descriptors than it says";
  EXPECT_EQ(said({staging.fd(), good.fd()}), other_descriptors);
  hello.calibration_bytes = size;
  EXPECT_EQ(said({staging.fd()}), other_descriptors);
  EXPECT_EQ(said({}), other_descriptors);
  EXPECT_EQ(said({staging.fd(), good.fd(), good.fd()}), other_descriptors);
  EXPECT_EQ(said({staging.fd(), good.fd(), 0, 0, 0, 0}), other_descriptors);

  const std::string no_memfd =
      "the calibration must be a memfd of the announced size, 2 MiB at most, sealed against changes";
  EXPECT_EQ(said({staging.fd(), 0}), no_memfd);
  EXPECT_EQ(said({good.fd(), staging.fd()}), no_memfd) << "in another order";
  for (const uint32_t wrong : {1u, size - 1, size + 1, UINT32_MAX}) {
    hello.calibration_bytes = wrong;
    EXPECT_EQ(said({staging.fd(), good.fd()}), no_memfd) << wrong;
  }
  hello.calibration_bytes = size;
  const int unsealed = memfd_create("unsealed", MFD_ALLOW_SEALING);
  ASSERT_EQ(write(unsealed, golden().data(), size), static_cast<ssize_t>(size));
  EXPECT_EQ(said({staging.fd(), unsealed}), no_memfd);
  close(unsealed);
  EXPECT_EQ(said_to(std::vector<std::byte>(kLinkCalibrationBytesMax + 1)), no_memfd);

  auto damaged = golden();
  damaged[700] ^= std::byte{1};
  EXPECT_EQ(said_to(damaged), "the engine's calibration is damaged: its SHA-256 does not fit");
  EXPECT_EQ(said_to(std::vector<std::byte>(100'000)), "the engine's calibration is no calibration file");
  auto nameless = golden();
  put(nameless, kPointAt + kPointBytes, name16("middle"));
  EXPECT_EQ(said_to(sealed(nameless)), "the calibration has no point \"balanced\"");
  hello.geometry.kv_heads = 4;
  EXPECT_NE(said_to(golden()).find("is for 2 layers of 2 heads x 16 in bf16"), std::string::npos);
  hello.geometry = LinkGeometry::of({2, 2, 16, 0xffffffff, ElementType::kBf16});
  EXPECT_NE(said_to(golden()).find("out of range"), std::string::npos);
  hello.geometry = LinkGeometry::of({2, 2, 16, 64, ElementType::kBf16});
  std::strcpy(hello.profile, "kv4");
  EXPECT_NE(said_to(golden()).find("a profile that uses none"), std::string::npos);
  std::strcpy(hello.profile, "balanced");
  for (int i = 0; i < 2000 && open_fds() > before + 1; ++i) usleep(1000);
  EXPECT_EQ(open_fds(), before + 1) << "`good` itself, and nothing of what was refused";
  EXPECT_EQ(said_to(golden()), "") << "and goes on serving";
}

TEST(CalibratedModels, AreSharedWhileSomebodyHasThem) {
  using namespace golden_calibration;
  const KvGeometry geometry{2, 2, 16, 64, ElementType::kBf16};
  CalibratedModels models;
  std::string message;
  auto first = models.open(golden(), "near", geometry, message).value();
  EXPECT_EQ(models.open(golden(), "near", geometry, message).value(), first);
  EXPECT_NE(models.open(golden(), "far", geometry, message).value(), first);
  KvGeometry longer = geometry;
  longer.chunk_tokens = 128;
  EXPECT_NE(models.open(golden(), "near", longer, message).value(), first);
  auto changed = golden();
  put(changed, kPointAt + 16, f32(0.3f));
  EXPECT_NE(models.open(sealed(changed), "near", geometry, message).value(), first);
  const std::weak_ptr<const CalibratedModel> watched = first;
  first = nullptr;
  EXPECT_TRUE(watched.expired()) << "nobody has it any more";
}

TEST(Plane, SessionsAreFreedWhenPeersLeave) {
  RunningPlane plane;
  for (uint32_t i = 0; i < 3 * kSessionsMax; ++i) {
    TestClient client;
    bool attached = false;
    for (int attempt = 0; attempt < 100 && !attached; ++attempt) {
      if (attempt > 0) usleep(10'000);
      TestClient fresh;
      attached = fresh.attach(plane.socket());
      if (attached) {
        EXPECT_EQ(fresh.call(LinkOp::kLookup, 77).error, static_cast<uint8_t>(Error::kMiss));
      }
    }
    ASSERT_TRUE(attached) << i;
  }
}

TEST(Plane, AnEngineOfEightRanksFitsAndOneTooManyIsToldWhy) {
  RunningPlane plane;
  std::vector<TestClient> clients(kSessionsMax);
  for (uint32_t i = 0; i < kSessionsMax; ++i) {
    ASSERT_TRUE(clients[i].attach(plane.socket())) << i;
    if (i + 1 != 1 + 8) continue;  // a scheduler and its eight ranks, all at once
    for (uint32_t each = 0; each <= i; ++each) {
      EXPECT_EQ(clients[each].call(LinkOp::kLookup, 77).error, static_cast<uint8_t>(Error::kMiss));
    }
  }
  TestClient late;
  EXPECT_FALSE(late.attach(plane.socket()));
  EXPECT_EQ(late.welcome.error, static_cast<uint8_t>(Error::kNoCapacity));
  EXPECT_NE(std::string(late.welcome.text).find("one for each rank"), std::string::npos);
  // Those that are in are served on.
  EXPECT_EQ(clients.back().call(LinkOp::kLookup, 77).error, static_cast<uint8_t>(Error::kMiss));
}

TEST(Plane, ASecondPlaneOnTheSameSocketIsRefused) {
  RunningPlane plane;
  std::string message;
  const auto second = Plane::start(plane.options(), message);
  EXPECT_FALSE(second);
  EXPECT_NE(message.find("another data plane"), std::string::npos) << message;
}

TEST(Plane, UnknownStoresAndCoresAreStartUpErrors) {
  PlaneOptions options;
  options.socket_path = "/tmp/ss-plane-test-never.sock";
  options.store_url = "memry:";
  std::string message;
  EXPECT_FALSE(Plane::start(options, message));
  EXPECT_FALSE(message.empty());
  options.store_url = "memory:";
  options.cores = {100'000};
  EXPECT_FALSE(Plane::start(options, message));
  EXPECT_NE(message.find("core 100000"), std::string::npos) << message;
}

}  // namespace
}  // namespace shadowserve
