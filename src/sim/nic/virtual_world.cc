// The next event, and a max-min fair memory system.
#include "sim/nic/virtual_world.h"

#include <algorithm>
#include <limits>

#include "contract/check.h"

namespace shadowserve::nic {
namespace {

constexpr double kDoneNs = 1e-3;  // less than that is rounding
constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

void VirtualWorld::at(double ns, std::function<void()> event) {
  timers_.push_back({std::max(ns, now_), numbers_++, std::move(event)});
  std::push_heap(timers_.begin(), timers_.end(), [](const Timer& a, const Timer& b) {
    return a.ns != b.ns ? a.ns > b.ns : a.number > b.number;
  });
}

void VirtualWorld::start(const Work& work, std::function<void()> done) {
  if (work.alone_ns <= 0) return at(now_, std::move(done));
  jobs_.push_back({work.alone_ns, work.memory_bytes / work.alone_ns, 1, std::move(done)});
  shared_ = false;
}

void VirtualWorld::share() {
  shared_ = true;
  double asked = 0;
  for (Job& job : jobs_) {
    job.speed = 1;
    asked += job.gb_s;
  }
  saturated_ = memory_gb_s_ > 0 && asked > memory_gb_s_;
  if (!saturated_) return;
  std::vector<Job*> by_wish;
  for (Job& job : jobs_) {
    if (job.gb_s > 0) by_wish.push_back(&job);
  }
  std::stable_sort(by_wish.begin(), by_wish.end(),
                   [](const Job* a, const Job* b) { return a->gb_s < b->gb_s; });
  double left = memory_gb_s_;
  for (size_t i = 0; i < by_wish.size(); ++i) {
    const double got = std::min(by_wish[i]->gb_s, left / static_cast<double>(by_wish.size() - i));
    by_wish[i]->speed = got / by_wish[i]->gb_s;
    left -= got;
  }
}

void VirtualWorld::advance_to(double ns) {
  const double passed = ns - now_;
  for (Job& job : jobs_) {
    job.left_ns -= passed * job.speed;
    memory_bytes_ += passed * job.speed * job.gb_s;
  }
  if (saturated_) saturated_ns_ += passed;
  now_ = ns;
}

bool VirtualWorld::step() {
  if (!shared_) share();
  double first_job = kNever;
  for (const Job& job : jobs_) first_job = std::min(first_job, now_ + job.left_ns / job.speed);
  const double first_timer = timers_.empty() ? kNever : timers_.front().ns;
  if (first_job == kNever && first_timer == kNever) return false;
  advance_to(std::min(first_job, first_timer));
  if (first_timer <= first_job) {
    std::pop_heap(timers_.begin(), timers_.end(), [](const Timer& a, const Timer& b) {
      return a.ns != b.ns ? a.ns > b.ns : a.number > b.number;
    });
    const auto event = std::move(timers_.back().event);
    timers_.pop_back();
    event();
    return true;
  }
  // Whichever is next in the order in which they began; others that end now follow at once.
  const auto ended = std::min_element(jobs_.begin(), jobs_.end(), [](const Job& a, const Job& b) {
    return a.left_ns / a.speed < b.left_ns / b.speed;
  });
  SS_CHECK(ended->left_ns <= kDoneNs, "time went on to its end");
  const auto done = std::move(ended->done);
  jobs_.erase(ended);
  shared_ = false;
  done();
  return true;
}

}  // namespace shadowserve::nic
