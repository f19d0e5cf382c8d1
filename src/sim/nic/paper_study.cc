// Runs the study from its assumptions to its tables.
#include "sim/nic/paper_study.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace shadowserve::nic {
namespace {

// Parts of a whole Llama-8B are of this size; four layers make few enough of them.
constexpr KvGeometry kGeometry{4, 8, 128, 256, ElementType::kBf16};
// How wide the widest channels are: CacheGen's bins then shrink these values as they do real caches, 6.0
// times (docs/results/quality.md). Our own measurement, not one of the paper's points.
constexpr float kWide = 4.5f;
constexpr double kFastLinkGbit = 200;
constexpr double kNearShare = 0.15;

class StudyRun {
 public:
  StudyRun(const StudyOptions& options, const std::function<void(const std::string&)>& progress,
           std::string& message)
      : progress_(progress), message_(message), chunk_(made_up_chunk(kGeometry, kWide)) {
    study_.options = options;
  }

  Result<Study> run() {
    const auto papers = records("cachegen+deflate");
    if (!papers) return fail(papers.error());
    progress_("fitting the memory to the paper");
    const auto fit = fit_to_paper(*papers, study_.options.parts, message_);
    if (!fit) return fail(fit.error());
    study_.fit = *fit;
    const NicMachine machine = bluefield3(*fit, *papers, NicWay::kEngines);
    study_.pipeline = plane(machine, *papers, kFastLinkGbit);
    study_.alone = plane(only_receiving(machine), *papers, kFastLinkGbit);
    for (const double link : study_.options.links_gbit_s) {
      progress_(fmt::format("the plane behind {} Gbit/s", link));
      study_.links.push_back(plane(machine, *papers, link));
    }
    for (const PlanePoint& link : study_.links) {
      progress_(fmt::format("engines behind {} Gbit/s", link.link_gbit_s));
      for (const uint32_t output : study_.options.outputs) study_.serving.push_back(serve(link, output));
    }
    compare();
    if (const auto done = change(); !done) return fail(done.error());
    if (failed_) return fail(Error::kConfig);
    return std::move(study_);
  }

 private:
  Result<RecordSet> records(std::string_view name) {
    auto made = make_records(*profile_from_name(name), nullptr, kGeometry, chunk_);
    if (!made) message_ = fmt::format("{} cannot code the simulated chunk", name);
    return made;
  }

  PlanePoint plane(const NicMachine& machine, const RecordSet& records, double link) {
    PlanePoint point{
        machine.name, std::string(records.profile.name()), records.ratio(), link, 0, 0, 0, 0, 0, ""};
    const uint64_t parts = study_.options.parts;
    const FetchPlan steady = steady_plan(machine, link, parts);
    const auto outcome = simulate_fetches(machine, records, steady, message_);
    // From nothing in flight to the last of so many parts: what that takes beyond the steady rate is the
    // start.
    const FetchPlan once{.link_gbit_s = link, .window = steady.window, .warm_parts = 0, .parts = parts / 4};
    const auto first = simulate_fetches(machine, records, once, message_);
    if (!outcome || !first) {
      failed_ = true;
      return point;
    }
    point.gbit_s = outcome->wire_gbit_s;
    point.values_gb_s = outcome->values_gb_s;
    point.start_ms =
        std::max(0.0, first->all_ms - static_cast<double>(first->value_bytes) / point.values_gb_s * 1e-6);
    point.memory_gb_s = outcome->memory_gb_s;
    point.memory_saturated = outcome->memory_saturated;
    point.slowest = slowest(machine, *outcome, link);
    return point;
  }

  static std::string slowest(const NicMachine& machine, const FetchOutcome& outcome, double link) {
    if (outcome.wire_gbit_s > 0.98 * link) return "link";
    if (machine.network_gbit_s > 0 && outcome.wire_gbit_s > 0.98 * machine.network_gbit_s) return "network";
    if (outcome.memory_saturated > 0.7) return "memory";
    std::string name = "decompression engine";
    double most = outcome.inflate_busy;
    double cores = 0;
    for (const auto& [stage, share] : outcome.busy) cores += share;
    if (cores > most) most = cores, name = "cores";
    if (outcome.dma_busy > most) name = "DMA engine";
    return name;
  }

  KvPath shadowserve(const PlanePoint& link) const {
    return {.way = KvWay::kShadowServe,
            .gbit_per_s = link.gbit_s,
            .latency_ms = link.start_ms,
            .ratio = link.ratio};
  }
  KvPath cachegen(const PlanePoint& link) const {
    return {.way = KvWay::kCacheGenAsync,
            .gbit_per_s = link.link_gbit_s,
            .ratio = link.ratio,
            .gpu_gbit_s = study_.options.gpu_gbit_s,
            .interference = study_.options.interference};
  }

  ServingPoint serve(const PlanePoint& link, uint32_t output) const {
    const StudyOptions& options = study_.options;
    const auto run = [&](const KvPath& path, double rate) {
      Workload work = options.work;
      work.output_tokens = output;
      work.requests_per_s = rate;
      return simulate_serving(options.gpu, options.llm, path, work);
    };
    ServingPoint point;
    point.link_gbit_s = link.link_gbit_s;
    point.output_tokens = output;
    point.cachegen_full = run(cachegen(link), 0);
    point.shadowserve_full = run(shadowserve(link), 0);
    point.recompute_full = run({.way = KvWay::kRecompute}, 0);
    point.requests_per_s =
        options.load * std::min(point.cachegen_full.requests_per_s, point.shadowserve_full.requests_per_s);
    point.cachegen = run(cachegen(link), point.requests_per_s);
    point.shadowserve = run(shadowserve(link), point.requests_per_s);
    return point;
  }

  void compare() {
    double tpot = 0, ttft = 0, throughput = 0, crossover = 0;
    for (const ServingPoint& point : study_.serving) {
      tpot = std::max(tpot, point.tpot_ratio());
      throughput = std::max(throughput, point.throughput_ratio());
      if (point.link_gbit_s <= 20) ttft = std::max(ttft, point.ttft_ratio());
      const bool shortest = point.output_tokens == study_.options.outputs.front();
      if (shortest && crossover == 0 && point.ttft_ratio() < 0.99) crossover = point.link_gbit_s;
    }
    std::vector<PaperPoint>& paper = study_.paper;
    paper = {{"receiving alone, Gbit/s", kPaperAloneGbit, study_.alone.gbit_s, true},
             {"receiving in the pipeline, Gbit/s", kPaperPipelineGbit, study_.pipeline.gbit_s, true}};
    for (const ServingPoint& point : study_.serving) {
      if (point.link_gbit_s != 20 || point.output_tokens != 32) continue;
      paper.push_back({"TTFT over CacheGen-Async's, 20 Gbit/s, 32 tokens", 0.84, 1 / point.ttft_ratio()});
      paper.push_back(
          {"loaded TPOT over CacheGen-Async's, 20 Gbit/s, 32 tokens", 0.80, 1 / point.tpot_ratio()});
      paper.push_back(
          {"throughput over CacheGen-Async's, 20 Gbit/s, 32 tokens", 1.18, point.throughput_ratio()});
    }
    paper.push_back({"largest advantage in loaded TPOT", 2.2, tpot});
    paper.push_back({"largest advantage in TTFT, at most 20 Gbit/s", 1.38, ttft});
    paper.push_back({"largest advantage in throughput", 1.35, throughput});
    paper.push_back({"first link at which CacheGen-Async is sooner, shortest outputs, Gbit/s", 20, crossover,
                     false,
                     /*bound=*/true});
  }

  Result<void> change() {
    struct Change {
      std::string_view profile;
      NicWay way;
    };
    for (const auto& [profile, way] : {Change{"cachegen+deflate", NicWay::kEngines},
                                       {"kv4+deflate", NicWay::kEngines},
                                       {"cachegen", NicWay::kOnePass},
                                       {"cachegen", NicWay::kOnePassCached},
                                       {"kv4+packed", NicWay::kOnePass},
                                       {"kv4+packed", NicWay::kOnePassCached}}) {
      const auto set = records(profile);
      if (!set) return fail(set.error());
      for (const auto& make : {bluefield3, bluefield4}) {
        NicMachine machine = make(study_.fit, *set, way);
        // What the paper's network had alone may have been its 40 Gbit/s link; a wider one may bring more.
        machine.network_gbit_s = 0;
        machine.name += way == NicWay::kEngines   ? ", engines"
                        : way == NicWay::kOnePass ? ", one pass"
                                                  : ", one pass in caches";
        progress_(fmt::format("{}, {}", machine.name, profile));
        for (const double link : {20.0, 40.0, 100.0, 200.0, 400.0})
          study_.what_ifs.push_back(plane(machine, *set, link));
      }
    }
    return {};
  }

  const std::function<void(const std::string&)>& progress_;
  std::string& message_;
  std::vector<std::byte> chunk_;
  Study study_;
  bool failed_ = false;
};

}  // namespace

bool PaperPoint::near() const { return bound ? ours > paper : std::abs(ours / paper - 1) <= kNearShare; }

Result<Study> run_study(const StudyOptions& options, const std::function<void(const std::string&)>& progress,
                        std::string& message) {
  return StudyRun(options, progress, message).run();
}

}  // namespace shadowserve::nic
