// The desk by hand: what is kept and handed out, and that nobody waits longer than it takes.
#include "plane/calibration_desk.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <optional>

#include "codec/calibrated/golden_calibration.h"
#include "wire/link_message.h"
#include "wire/sealed_bytes.h"

namespace shadowserve {
namespace {

using golden_calibration::golden;

/// A store whose answers a test gives.
class HeldStore final : public RecordStore {
 public:
  StoreTraits traits() const override { return {.kind = "held"}; }
  Result<void> get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into, uint64_t by) override {
    asked.push_back({ticket, std::string(key.view()), into, by});
    return {};
  }
  Result<void> put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                   uint64_t by) override {
    asked.push_back({ticket, std::string(key.view()), {}, by});
    stored.assign(from.begin(), from.end());
    return {};
  }
  Result<void> exists(uint64_t, const StoreKey&, uint64_t) override { return fail(Error::kUnsupported); }
  size_t poll(std::span<StoreDone> out) override {
    size_t count = 0;
    for (; count < out.size() && !done.empty(); done.pop_front()) out[count++] = done.front();
    return count;
  }
  int wake_fd() const override { return -1; }
  size_t in_flight() const override { return asked.size(); }

  struct Asked {
    uint64_t ticket;
    std::string key;
    std::span<std::byte> into;
    uint64_t deadline_ns;
  };
  std::vector<Asked> asked;
  std::deque<StoreDone> done;
  std::vector<std::byte> stored;
  /// Answers the oldest question, with these bytes if it was a get.
  void answer(Error error, std::span<const std::byte> bytes = {}) {
    const Asked first = asked.front();
    asked.erase(asked.begin());
    if (!bytes.empty()) std::memcpy(first.into.data(), bytes.data(), bytes.size());
    done.push_back({first.ticket, error, bytes.size()});
  }
};

class CalibrationDeskTest : public ::testing::Test {
 protected:
  /// A conversation begins; its other end.
  int call(const CalibrationCall& call, std::initializer_list<int> sent = {}) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    EXPECT_TRUE(send_with_fds(ends[0], &call, sizeof call, std::span(sent.begin(), sent.size())));
    CalibrationCall came;
    ReceivedFds fds;
    EXPECT_EQ(receive_with_fds(ends[1], &came, sizeof came, fds), static_cast<ssize_t>(sizeof came));
    desk->take(ends[1], came, fds);
    return ends[0];
  }
  int publish(const std::vector<std::byte>& file) {
    CalibrationCall wanted;
    wanted.op = CalibrationOp::kPublish;
    wanted.bytes = static_cast<uint32_t>(file.size());
    const auto sealed = SealedBytes::create("test", file).value();
    return call(wanted, {sealed.fd()});
  }
  int fetch() {
    CalibrationCall wanted;
    for (size_t i = 0; i < 32; ++i) wanted.fingerprint[i] = static_cast<std::byte>(i);
    return call(wanted);
  }
  struct Said {
    Error error;
    std::string text;
    std::vector<std::byte> file;
  };
  /// nullopt: nothing yet.
  std::optional<Said> said(int fd, bool hang_up = true) {
    desk->step();
    CalibrationAnswer answer;
    ReceivedFds fds;
    const ssize_t got = receive_with_fds(fd, &answer, sizeof answer, fds);
    if (got < 0) return std::nullopt;
    EXPECT_EQ(got, static_cast<ssize_t>(sizeof answer));
    char byte;
    EXPECT_EQ(recv(fd, &byte, 1, 0), 0) << "the desk closes behind its answer";
    Said out{static_cast<Error>(answer.error), answer.text, {}};
    if (fds.count() > 0) out.file = SealedBytes::adopt(fds.take(0), answer.bytes)->read().value();
    if (hang_up) close(fd);
    return out;
  }

  VirtualClock clock;
  HeldStore store;
  std::unique_ptr<CalibrationDesk> desk = std::make_unique<CalibrationDesk>(store, clock);
};

TEST_F(CalibrationDeskTest, WhatIsPublishedIsStoredUnderItsModelAndHandedOut) {
  const int publisher = publish(golden());
  EXPECT_FALSE(said(publisher)) << "not before the store has it";
  EXPECT_TRUE(desk->step());
  EXPECT_EQ(store.stored, golden());
  const std::string key = store.asked.front().key;
  store.answer(Error::kNone);
  EXPECT_EQ(said(publisher)->error, Error::kNone);
  EXPECT_FALSE(desk->step()) << "nobody waits";

  const int asker = fetch();
  EXPECT_EQ(store.asked.front().key, key);
  store.answer(Error::kNone, golden());
  const auto answer = said(asker);
  EXPECT_EQ(answer->error, Error::kNone) << answer->text;
  EXPECT_EQ(answer->file, golden());
}

TEST_F(CalibrationDeskTest, HostileCallsAreRefused) {
  auto damaged = golden();
  damaged[500] ^= std::byte{1};
  EXPECT_EQ(said(publish(damaged))->text, "the calibration is damaged: its SHA-256 does not fit");
  EXPECT_EQ(said(publish(std::vector<std::byte>(300)))->text, "the calibration is no calibration file");
  EXPECT_EQ(said(publish(std::vector<std::byte>(kLinkCalibrationBytesMax + 1)))->error, Error::kConfig);
  CalibrationCall wanted;
  wanted.op = CalibrationOp::kPublish;
  EXPECT_EQ(said(call(wanted))->error, Error::kConfig) << "without a descriptor";
  const auto sealed = SealedBytes::create("test", golden()).value();
  wanted.bytes = static_cast<uint32_t>(golden().size());
  EXPECT_EQ(said(call(wanted, {sealed.fd(), sealed.fd()}))->error, Error::kConfig) << "with two";
  wanted.bytes -= 1;
  EXPECT_EQ(said(call(wanted, {sealed.fd()}))->error, Error::kConfig) << "not as long as said";
  EXPECT_EQ(said(call(wanted, {0}))->error, Error::kConfig) << "no memfd";
  wanted.op = CalibrationOp::kFetch;
  EXPECT_EQ(said(call(wanted, {sealed.fd()}))->error, Error::kConfig);
  wanted.op = static_cast<CalibrationOp>(9);
  EXPECT_EQ(said(call(wanted))->error, Error::kConfig);
  wanted = {};
  wanted.version = 2;
  EXPECT_NE(said(call(wanted))->text.find("another version"), std::string::npos);
  EXPECT_TRUE(store.asked.empty()) << "none of it came to the store";
}

TEST_F(CalibrationDeskTest, WhatOthersPutIntoTheStoreIsNotHandedOut) {
  const auto stored = [this](const std::vector<std::byte>& bytes) {
    const int asker = fetch();
    store.answer(Error::kNone, bytes);
    const auto answer = said(asker);
    EXPECT_TRUE(answer->file.empty());
    return answer->text;
  };
  auto damaged = golden();
  damaged[500] ^= std::byte{1};
  EXPECT_EQ(stored(damaged), "the stored calibration is damaged: its SHA-256 does not fit: publish it again");
  EXPECT_EQ(stored(std::vector<std::byte>(kRecordBytesMax)),
            "the stored calibration is no calibration file: publish it again");
  auto another = golden();
  another[40] ^= std::byte{1};
  EXPECT_EQ(stored(golden_calibration::sealed(another)),
            "the stored calibration is another model's: publish it again");
  const int asker = fetch();
  store.answer(Error::kMiss);
  EXPECT_EQ(said(asker)->text, "none was published for these weights");
}

TEST_F(CalibrationDeskTest, AStoreThatHangsMakesNobodyWaitAndKeepsItsMemory) {
  const int asker = fetch();
  EXPECT_EQ(store.asked.front().deadline_ns, clock.now_ns() + CalibrationDesk::kAnswerNs);
  clock.advance_ns(CalibrationDesk::kAnswerNs - 1);
  EXPECT_FALSE(said(asker));
  clock.advance_ns(1);
  EXPECT_EQ(said(asker)->error, Error::kDeadline);
  // The store may still write: nobody else gets this place.
  std::vector<int> others;
  for (size_t i = 1; i < CalibrationDesk::kCallersMax; ++i) others.push_back(fetch());
  EXPECT_NE(said(fetch())->text.find("try again"), std::string::npos);
  store.answer(Error::kDeadline, golden());
  desk->step();
  const int next = fetch();
  EXPECT_FALSE(said(next)) << "a place is free again";
  close(next);
  for (const int fd : others) close(fd);  // gone before their answers
  while (!store.asked.empty()) store.answer(Error::kMiss);
  EXPECT_FALSE(desk->step());
}

TEST_F(CalibrationDeskTest, ItsEndWaitsForTheStore) {
  const int asker = fetch();
  store.answer(Error::kNone, golden());
  desk.reset();
  char byte;
  EXPECT_EQ(recv(asker, &byte, 1, 0), 0);
  close(asker);
}

}  // namespace
}  // namespace shadowserve
