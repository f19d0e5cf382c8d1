// Conversations of several turns over a few system prompts; each turn's prompt holds all that was said
// before.
#include <algorithm>
#include <cmath>

#include "sim/fleet/arrival_clock.h"
#include "sim/fleet/fleet_events.h"
#include "sim/fleet/fleet_workload.h"

namespace shadowserve::fleet {
namespace {

// Somebody reads an answer while it comes, at about this pace, and thinks after that.
constexpr double kReadSecondsPerToken = 0.03;

struct Conversation {
  uint64_t serial = 0;
  int64_t planned_ns = 0;  // when the present turn was to be asked
  uint32_t history = 0;    // tokens of prompts and answers before it
  uint32_t turns_left = 0;
  uint32_t turn = 0;
  uint32_t asked = 0, answered = 0;  // tokens of the present turn
  uint32_t system = 0;
  float gap_s = 0;  // until the next turn
};

class ChatWorkload final : public Workload {
 public:
  explicit ChatWorkload(const FleetOptions& options)
      : seed_(options.seed),
        load_(options.workload),
        run_chunks_(options.store.run_chunks),
        begins_(seed_, "conversations begin",
                load_.turns_mean / (load_.requests_per_engine_s * options.engines)),
        systems_(std::max(1u, load_.system_prompts), 1) {}

  int64_t next_begin_ns() const override { return begins_.next_ns(); }

  Question begin() override {
    uint32_t number = 0;
    if (free_.empty()) {
      number = static_cast<uint32_t>(talks_.size());
      talks_.emplace_back();
    } else {
      number = free_.back();
      free_.pop_back();
    }
    Conversation& talk = talks_[number];
    talk = Conversation{};
    talk.serial = serial_++;
    talk.planned_ns = begins_.next_ns();
    RandomStream stream(seed_, "conversation", talk.serial);
    talk.turns_left = stream.geometric(load_.turns_mean);
    talk.system = systems_.draw(stream);
    talk.history = load_.system_tokens;
    begins_.advance();
    draw_turn(talk, load_.first_tokens, load_.first_sigma);
    return question(number);
  }

  int64_t follow_ns(uint32_t number, int64_t now_ns) override {
    Conversation& talk = talks_[number];
    talk.history += talk.asked + talk.answered;
    const bool full = talk.history + 2 * kChunkTokens > load_.context_tokens_max;
    if (--talk.turns_left == 0 || full) {
      free_.push_back(number);
      return kNever;
    }
    talk.planned_ns += static_cast<int64_t>(talk.gap_s * kNsPerSecond);
    draw_turn(talk, load_.user_tokens, load_.user_sigma);
    return std::max(talk.planned_ns, now_ns);
  }

  Question question(uint32_t number) override {
    const Conversation& talk = talks_[number];
    Question made;
    made.prompt.prefix = mixed(0x5157e3, talk.system);
    made.prompt.prefix_chunks = load_.system_tokens / kChunkTokens;
    made.prompt.body = mixed(0xc4a7, talk.serial);
    made.prompt.run_chunks = run_chunks_;
    made.prompt.input_tokens = talk.history + talk.asked;
    made.answer_tokens = talk.answered;
    made.conversation = number;
    made.session = talk.serial;
    return made;
  }

 private:
  void draw_turn(Conversation& talk, double median, double sigma) {
    RandomStream stream(seed_, "turn", mixed(talk.serial, talk.turn++));
    const double room = load_.context_tokens_max - talk.history;  // for both
    const double asked = std::clamp(std::round(stream.lognormal(median, sigma)), 1.0, room - kChunkTokens);
    const double answered =
        std::clamp(std::round(stream.lognormal(load_.answer_tokens, load_.answer_sigma)), 1.0, room - asked);
    talk.asked = static_cast<uint32_t>(asked);
    talk.answered = static_cast<uint32_t>(answered);
    talk.gap_s = static_cast<float>(stream.exponential(load_.think_s) + kReadSecondsPerToken * answered);
  }

  const uint64_t seed_;
  const WorkloadOptions load_;
  const uint32_t run_chunks_;
  ArrivalClock begins_;
  const ZipfRanks systems_;
  uint64_t serial_ = 0;
  std::vector<Conversation> talks_;
  std::vector<uint32_t> free_;
};

}  // namespace

std::unique_ptr<Workload> make_chat_workload(const FleetOptions& options) {
  return std::make_unique<ChatWorkload>(options);
}

}  // namespace shadowserve::fleet
