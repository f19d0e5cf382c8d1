// The link's handshake with every kind of wrong peer, and its return.
#include "control/plane_link.h"

#include <gtest/gtest.h>

#include "control/fake_plane.h"
#include "control/test_calibration.h"
#include "control/test_engine.h"

namespace shadowserve {
namespace {

class PlaneLinkTest : public testing::Test {
 protected:
  void open(uint64_t staging_bytes = 1 << 20) {
    LinkHello hello = checked(one_part_options(), plane.path(), ClientRole::kTransfer).hello();
    hello.staging_bytes = staging_bytes;
    link = std::make_unique<PlaneLink>(plane.path(), hello, clock);
  }
  PlaneLink::Change pump() {
    PlaneLink::Change change = PlaneLink::Change::kNone;
    for (int i = 0; i < 5 && change == PlaneLink::Change::kNone; ++i) {
      change = link->step();
      plane.step();
    }
    return change;
  }
  VirtualClock clock;
  FakePlane plane{"link"};
  std::unique_ptr<PlaneLink> link;
};

TEST_F(PlaneLinkTest, GreetsAndCarriesRequests) {
  open();
  EXPECT_EQ(pump(), PlaneLink::Change::kCameUp);
  ASSERT_TRUE(link->up());
  const LinkHello& hello = plane.sessions[0]->hello;
  EXPECT_STREQ(hello.profile, "raw");
  EXPECT_EQ(hello.seal_kind, static_cast<uint8_t>(1));
  EXPECT_EQ(hello.geometry.layers, 2u);
  // Both sides see the same staging memory.
  link->staging()->span()[5] = std::byte{42};
  EXPECT_EQ(plane.sessions[0]->staging.data()[5], std::byte{42});
  LinkRequest request;
  request.ticket = 9;
  EXPECT_TRUE(link->submit(request));
  link->ring();
  plane.step();
  LinkReply reply;
  ASSERT_TRUE(link->take(reply));
  EXPECT_EQ(reply.ticket, 9u);
  EXPECT_FALSE(link->take(reply));
}

TEST_F(PlaneLinkTest, TheRingHasAnEnd) {
  plane.ring_entries = 4;
  open();
  pump();
  plane.read_requests = false;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(link->submit({}));
  EXPECT_FALSE(link->submit({}));
}

TEST_F(PlaneLinkTest, ARefusalIsNoConnection) {
  plane.refuse = static_cast<uint8_t>(Error::kConfig);
  open();
  pump();
  EXPECT_FALSE(link->up());
  EXPECT_GE(link->next_step_ns(), clock.now_ns() + PlaneLink::kBackoffMaxNs)
      << "it will hardly change its mind";
  plane.refuse = 0;
  clock.advance_ns(PlaneLink::kBackoffMaxNs);
  EXPECT_EQ(pump(), PlaneLink::Change::kCameUp);
}

TEST_F(PlaneLinkTest, AMutePeerIsGivenUp) {
  plane.greet = false;
  open();
  pump();
  clock.advance_ns(PlaneLink::kWelcomeTimeoutNs - 1);
  pump();
  EXPECT_EQ(link->next_step_ns(), clock.now_ns() + 1);
  clock.advance_ns(1);
  pump();
  EXPECT_FALSE(link->up());
  EXPECT_EQ(link->socket_fd(), -1);
}

TEST_F(PlaneLinkTest, BacksOffWhileNobodyIsThere) {
  open();
  plane.die();
  uint64_t last = clock.now_ns();
  for (uint64_t expected_ms : {50, 100, 200, 400, 800, 1000, 1000}) {
    pump();
    EXPECT_EQ((link->next_step_ns() - last) / kNsPerMs, expected_ms);
    clock.advance_ns(link->next_step_ns() - clock.now_ns());
    last = clock.now_ns();
  }
}

TEST_F(PlaneLinkTest, EveryConnectionHasFreshStaging) {
  open();
  pump();
  link->staging()->span()[0] = std::byte{1};
  // Keep the old mapping alive, as a stuck plane does.
  auto stuck = std::move(plane.sessions[0]);
  plane.sessions.clear();
  close(std::exchange(stuck->fd, -1));
  clock.advance_ns(2 * kNsPerMs);
  EXPECT_EQ(pump(), PlaneLink::Change::kWentDown);
  clock.advance_ns(PlaneLink::kBackoffMaxNs);
  EXPECT_EQ(pump(), PlaneLink::Change::kCameUp);
  EXPECT_EQ(link->staging()->span()[0], std::byte{0});
  stuck->staging.data()[0] = std::byte{77};
  EXPECT_EQ(link->staging()->span()[0], std::byte{0});
}

TEST_F(PlaneLinkTest, APeerThatTalksOnTheSocketIsNoPlane) {
  open();
  pump();
  ASSERT_EQ(send(plane.sessions[0]->fd, "hi", 2, MSG_NOSIGNAL), 2);
  clock.advance_ns(2 * kNsPerMs);
  EXPECT_EQ(pump(), PlaneLink::Change::kWentDown);
}

TEST_F(PlaneLinkTest, LookupsNeedNoStaging) {
  open(0);
  EXPECT_EQ(pump(), PlaneLink::Change::kCameUp);
  EXPECT_EQ(link->staging(), nullptr);
}

TEST_F(PlaneLinkTest, TheCalibrationGoesAlongEveryTime) {
  const TestCalibrationFile file(golden_calibration());
  for (const ClientRole role : {ClientRole::kTransfer, ClientRole::kLookup}) {
    ss_options given = one_part_options();
    given.profile = "near";
    given.calibration = file.path().c_str();
    const ClientOptions options = checked(given, plane.path(), role);
    link = std::make_unique<PlaneLink>(plane.path(), options.hello(), clock, StagingPlace{},
                                       options.calibration);
    for (int connection = 0; connection < 2; ++connection) {
      ASSERT_EQ(pump(), PlaneLink::Change::kCameUp);
      const std::vector<std::byte>& came = plane.sessions.back()->calibration;
      const auto sent = options.calibration->bytes.read().value();
      EXPECT_EQ(came, role == ClientRole::kTransfer ? sent : std::vector<std::byte>());
      EXPECT_EQ(plane.sessions.back()->staging.data() != nullptr, role == ClientRole::kTransfer);
      link->drop("test");
      clock.advance_ns(PlaneLink::kBackoffMaxNs);
    }
  }
}

}  // namespace
}  // namespace shadowserve
