// Events come in the order of a sorted list, whether they are near, far or booked while others happen.
#include "sim/fleet/fleet_events.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {
namespace {

struct Seen {
  int64_t time_ns = 0;
  uint32_t subject = 0;
  bool operator==(const Seen&) const = default;
};

/// Times from nanoseconds to an hour ahead, many of them equal.
int64_t some_time(RandomStream& stream) {
  constexpr int64_t kScales[] = {1, 1'000, 1'000'000, 1'000'000'000, 3'600'000'000'000};
  return static_cast<int64_t>(stream.below(20)) * kScales[stream.below(5)] / 16;
}

TEST(Agenda, KeepsTheOrderOfASortedList) {
  Agenda agenda;
  RandomStream stream(3, "agenda");
  std::vector<Seen> booked, seen;
  uint32_t next = 0;
  const auto book = [&](int64_t time_ns) {
    agenda.book(time_ns, 0, next, 0);
    booked.push_back({std::max(time_ns, agenda.now_ns()), next++});
  };
  for (int i = 0; i < 5'000; ++i) book(some_time(stream));
  for (Event event; agenda.next(event);) {
    ASSERT_EQ(event.time_ns, agenda.now_ns());
    seen.push_back({event.time_ns, event.subject});
    if (next < 20'000) book(agenda.now_ns() + some_time(stream));
    if (next < 20'000 && next % 7 == 0) book(agenda.now_ns() - 5);  // the past is now
  }
  std::stable_sort(booked.begin(), booked.end(),
                   [](const Seen& left, const Seen& right) { return left.time_ns < right.time_ns; });
  ASSERT_EQ(seen.size(), booked.size());
  EXPECT_TRUE(seen == booked);
  std::swap(booked[100], booked[101]);  // the control: the comparison sees one exchanged pair
  EXPECT_FALSE(seen == booked);
}

TEST(Agenda, EndsWhenNothingIsLeft) {
  Agenda agenda;
  Event event;
  EXPECT_FALSE(agenda.next(event));
  agenda.book(500'000'000'000, 4, 5, 6);
  ASSERT_TRUE(agenda.next(event));
  EXPECT_EQ(event.time_ns, 500'000'000'000);
  EXPECT_EQ(event.kind, 4);
  EXPECT_EQ(event.subject, 5u);
  EXPECT_EQ(event.version, 6u);
  EXPECT_FALSE(agenda.next(event));
}

}  // namespace
}  // namespace shadowserve::fleet
