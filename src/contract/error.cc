// Names, sentences and actions of the expected failures.
#include "contract/error.h"

#include <array>

namespace shadowserve {
namespace {

struct Entry {
  std::string_view name;
  std::string_view sentence;
  Action action;
};

constexpr std::array<Entry, kErrorCount> kEntries = {{
    {"none", "it worked", Action::kNone},
    {"miss", "the store has no such record", Action::kRecompute},
    {"deadline", "the deadline passed before the work was done", Action::kRecompute},
    {"store_down", "the store cannot be reached", Action::kRecompute},
    {"store_refused", "the store answered with an error", Action::kRecompute},
    {"record_truncated", "the record is shorter than its header promises", Action::kRecompute},
    {"record_corrupt", "the record's seal does not match its bytes", Action::kRecompute},
    {"record_foreign", "the record belongs to another key, model, shape or part", Action::kRecompute},
    {"record_version", "the record was written by a format version this build does not read",
     Action::kRecompute},
    {"record_malformed", "the record contradicts itself", Action::kRecompute},
    {"unsupported", "this build does not know the coder, quantizer or layout", Action::kRefuse},
    {"no_capacity", "a bounded queue, pool or value size is exhausted", Action::kDrop},
    {"cancelled", "the owner withdrew the work", Action::kDrop},
    {"plane_down", "the data plane is gone or does not answer", Action::kRecompute},
    {"config", "a setting is wrong", Action::kRefuse},
    {"system", "the operating system refused", Action::kRetry},
}};

const Entry& entry(Error error) {
  const auto index = static_cast<size_t>(error);
  static constexpr Entry kUnknown = {"unknown", "an error code of a newer version", Action::kRecompute};
  return index < kEntries.size() ? kEntries[index] : kUnknown;
}

}  // namespace

std::string_view error_name(Error error) { return entry(error).name; }
std::string_view error_sentence(Error error) { return entry(error).sentence; }
Action error_action(Error error) { return entry(error).action; }

}  // namespace shadowserve
