// Makes a data plane as `shadowserve plane` would, fetches from it, and reads its counters.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "bench/bench_report.h"
#include "bench/decode_check.h"
#include "bench/pipeline_trials.h"
#include "bench/plane_client.h"
#include "bench/run_queue.h"
#include "command.h"
#include "memory/frozen_heap.h"

namespace shadowserve {
namespace {

constexpr size_t kStagingBytes = 192u << 20;
constexpr double kWarmShare = 0.25;  // of the measured seconds, before them
constexpr uint64_t kStoreNs = 20'000 * kNsPerMs;

double resident_mib() {
  uint64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return static_cast<double>(resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))) / (1 << 20);
}

/// A pipeline on its threads and the session that this bench is to it.
class RunningPlane {
 public:
  RunningPlane(PipelineBench& bench, double gbit_per_s, uint32_t cores, const std::string& receive) {
    bench.keep_others_off(cores);
    PipelineOptions options;
    options.cores = bench.plane_cores(cores);
    options.fetch_slots = bench.options().fetch_slots;
    options.separate_stages = bench.options().separate_stages;
    std::string message;
    auto made = Pipeline::create(options, bench.store().at_rate(gbit_per_s, receive), bench.clock(),
                                 sessions_, message);
    if (!made) throw StartError(message);
    pipeline_ = std::move(*made);
    open_bench_session(sessions_[0], bench.input().geometry(), bench.choice(), *bench.staging(),
                       PlaneClient::kRingEntries);
    client_ =
        std::make_unique<PlaneClient>(sessions_[0], pipeline_->doorbell(), *bench.staging(), bench.window());
    pipeline_->start();
  }
  PlaneClient& client() { return *client_; }
  const Pipeline& pipeline() const { return *pipeline_; }

 private:
  // Members die in reverse: threads first, then what they use.
  std::array<Session, kSessionsMax> sessions_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<PlaneClient> client_;
};

/// Counters of all stages, in the pipeline's order.
struct PlaneCounters {
  std::vector<std::pair<std::string, uint64_t>> busy_ns;
  uint64_t moved = 0, values = 0, waited_ns = 0;
  double resident = 0;

  explicit PlaneCounters(const Pipeline& pipeline)
      : moved(pipeline.fetch_bytes_moved()),
        values(pipeline.funnels().fetch.value_bytes.read()),
        waited_ns(waited_for_core_ns("ss-plane-")),
        resident(resident_mib()) {
    for (const auto& loop : pipeline.loops()) {
      for (const Stage* stage : loop->stages()) {
        busy_ns.emplace_back(fmt::format("{} {}", loop->name(), stage->name()),
                             stage->counters().busy_ns.read());
      }
    }
  }
};

class PlaneTrial final : public Trial {
 public:
  PlaneTrial(PipelineBench& bench, double gbit_per_s, uint32_t cores, const std::string& receive)
      : bench_(bench), gbit_per_s_(gbit_per_s), cores_(cores), receive_(receive) {
    const bool first = receive == bench.options().receive.front();
    row.table = first ? kPointTable : kReceiveTable;
    row.name = gbit_per_s > 0 ? fmt::format("{} Gbit/s, {} cores", gbit_per_s, cores)
                              : fmt::format("unlimited, {} cores", cores);
    if (!first) row.name += ", " + receive;
    if (gbit_per_s > 0) row.facts.emplace_back(kLinkGbit, gbit_per_s);
    row.facts.emplace_back(kCores, cores);
    if (!bench.enough_cores(cores)) row.note = "a floor: client, server and plane share cores";
  }

  void repeat(bool counted) override {
    const uint64_t allocations = frozen_allocations();
    RunningPlane plane(bench_, gbit_per_s_, cores_, receive_);
    std::unique_ptr<PlaneCounters> before, after;
    // The round that warms up need not be long.
    const double seconds = bench_.options().seconds * (counted ? 1 : 0.25);
    const FetchTally tally = plane.client().fetch(
        bench_.input(), kWarmShare * seconds, seconds,
        [&] { before = std::make_unique<PlaneCounters>(plane.pipeline()); },
        [&] { after = std::make_unique<PlaneCounters>(plane.pipeline()); },
        [&](uint32_t part, std::span<const std::byte> values) {
          expect_same(row.name, fmt::format("the delivered values of part {}", part), bench_.expected(part),
                      values);
        });
    if (counted) note(tally, *before, *after, frozen_allocations() - allocations);
  }

 private:
  void note(const FetchTally& tally, const PlaneCounters& before, const PlaneCounters& after,
            uint64_t allocations) {
    const double seconds = std::max(tally.seconds(), 1e-9);
    const double gbit = static_cast<double>(tally.wire_bytes) * 8e-9 / seconds;
    add(kDelivered, static_cast<double>(tally.value_bytes) * 1e-9 / seconds);
    add(kCompressedGbit, gbit);
    add(kPerCore, gbit / cores_);
    if (gbit_per_s_ > 0) add(kLinkShare, gbit / gbit_per_s_);
    if (!tally.chunk_ms.empty()) {
      add(kChunkP50, quantile(tally.chunk_ms, 0.5));
      add(kChunkP99, quantile(tally.chunk_ms, 0.99));
    }
    const uint64_t values = std::max<uint64_t>(after.values - before.values, 1);
    add(kMovedPerByte, static_cast<double>(after.moved - before.moved) / static_cast<double>(values));
    add(kAllocations, static_cast<double>(allocations));
    add(kWaited, static_cast<double>(after.waited_ns - before.waited_ns) * 1e-9 / seconds / cores_);
    add(kResidentBefore, before.resident);
    add(kResidentAfter, after.resident);
    for (size_t i = 0; i < after.busy_ns.size(); ++i) {
      const uint64_t busy_ns = after.busy_ns[i].second - before.busy_ns[i].second;
      add(kBusyPrefix + after.busy_ns[i].first, static_cast<double>(busy_ns) * 1e-9 / seconds);
    }
  }

  static double quantile(std::vector<double> values, double part) {
    std::sort(values.begin(), values.end());
    return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
  }

  /// Values that are no rates go the same way.
  void add(const std::string& measure, double value) { add_rate(measure, value * 1e9, 1); }

  PipelineBench& bench_;
  double gbit_per_s_;
  uint32_t cores_;
  std::string receive_;
};

}  // namespace

PipelineBench::PipelineBench(const PipelineBenchOptions& options)
    : options_(options), allowed_(allowed_cores()) {
  input_ = load_bench_input(options.dump);
  choice_ = chosen_profiles({options.profile}, options.dump, *input_).front();
  store_ = std::make_unique<BenchStore>(options.store, input_->value_bytes() * 2);
  staging_ = make_bench_staging(std::max(kStagingBytes, 2 * input_->geometry().chunk_bytes()));
  RunningPlane(*this, 0, std::min(2u, machine_cores()), "sockets").client().save(*input_);
  read_back();
}

void PipelineBench::read_back() {
  const auto client = store_->client(clock_, 1);
  std::vector<std::byte> record(kRecordBytesMax + kRegionSlack);
  uint64_t record_bytes = 0;
  for (uint32_t part = 0; part < input_->parts(); ++part) {
    const PartShape shape = input_->part(part);
    const ChunkKey key = bench_key(profile(), part / input_->geometry().parts());
    StoreDone done;
    bool good = client
                    ->get(0, StoreKey(key, shape.part), std::span(record).first(kRecordBytesMax),
                          clock_.now_ns() + kStoreNs)
                    .has_value();
    while (good && client->poll({&done, 1}) == 0) continue;
    auto& values = expected_.emplace_back(shape.value_bytes());
    const auto stored = std::span<const std::byte>(record).first(done.bytes);
    good = good && done.error == Error::kNone &&
           decode_part(stored, shape, key, ChunkKey{}, values, profile().model).has_value();
    if (!good) {
      throw StartError(
          "a record that was saved just now cannot be read back: has the store too little memory?");
    }
    record_bytes += done.bytes;
  }
  ratio_ = static_cast<double>(input_->value_bytes()) / static_cast<double>(record_bytes);
}

std::vector<int> PipelineBench::plane_cores(uint32_t count) const {
  return {allowed_.end() - std::min<ptrdiff_t>(count, static_cast<ptrdiff_t>(allowed_.size())),
          allowed_.end()};
}

void PipelineBench::keep_others_off(uint32_t count) const {
  std::vector<int> others = allowed_;
  // With too few for all, the scheduler finds better places than any fixed ones.
  if (enough_cores(count)) others.resize(others.size() - count);
  keep_to_cores(0, others);
  store_->keep_server_to(others);
}

bool PipelineBench::enough_cores(uint32_t count) const {
  return count + 1 + (store_->own_server() ? 1 : 0) <= allowed_.size();
}

std::unique_ptr<Trial> plane_trial(PipelineBench& bench, double gbit_per_s, uint32_t cores,
                                   const std::string& receive) {
  return std::make_unique<PlaneTrial>(bench, gbit_per_s, cores, receive);
}

}  // namespace shadowserve
