// Runs the study from its assumptions to its tables.
#include "sim/nic/paper_study.h"

#include <fmt/format.h>

#include <algorithm>

namespace shadowserve::nic {
namespace {

// Parts of a whole Llama-8B are of this size; four layers make few enough of them.
constexpr KvGeometry kGeometry{4, 8, 128, 256, ElementType::kBf16};
// How wide the widest channels are: CacheGen's bins then shrink these values as they do real caches, 6.0
// times (docs/results/quality.md). Our own measurement, not one of the paper's points.
constexpr float kWide = 4.5f;
constexpr double kFastLinkGbit = 200;
constexpr uint32_t kPartsForCores = 16;

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
    for (const PlanePoint& link : study_.links) serve(link);
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
    // So many for each lane: one that has had ten is still telling how it began.
    const uint64_t parts = study_.options.parts * std::max(1u, machine.cores / kPartsForCores);
    const auto outcome = simulate_fetches(machine, records, steady_plan(machine, link, parts), message_);
    if (!outcome) {
      failed_ = true;
      return point;
    }
    point.gbit_s = outcome->wire_gbit_s;
    point.values_gb_s = outcome->values_gb_s;
    // From nothing in flight until nothing is again: what that takes beyond the steady rate is the start's
    // and the end's.
    point.start_ms =
        std::max(0.0, outcome->all_ms - static_cast<double>(outcome->value_bytes) / point.values_gb_s * 1e-6);
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
  KvPath cachegen(const PlanePoint& link, double interference) const {
    return {.way = KvWay::kCacheGenAsync,
            .gbit_per_s = link.link_gbit_s,
            .ratio = link.ratio,
            .gpu_gbit_s = study_.options.gpu_gbit_s,
            .interference = interference};
  }

  /// Each point as asked, and without interference.
  void serve(const PlanePoint& link) {
    const StudyOptions& options = study_.options;
    ServingQuestion question{options.gpu, options.llm, options.work, options.seeds, options.load};
    for (const uint32_t output : options.outputs) {
      progress_(fmt::format("engines behind {} Gbit/s, {} tokens", link.link_gbit_s, output));
      question.work.output_tokens = output;
      for (const bool quiet : {false, true}) {
        auto& points = quiet ? study_.quiet : study_.serving;
        const double factor = quiet ? 1 : options.interference;
        points.push_back(serve_both(question, cachegen(link, factor), shadowserve(link)));
        points.back().link_gbit_s = link.link_gbit_s;
      }
    }
  }

  void compare() {
    const auto fitted = [](const char* what, double paper, double ours, uint8_t input) {
      return PaperPoint{what, paper, {ours, ours, ours}, std::nullopt, input, true};
    };
    study_.paper = {fitted("receiving alone, Gbit/s", kPaperAloneGbit, study_.alone.gbit_s, kNetworkRate),
                    fitted("receiving in the pipeline, Gbit/s", kPaperPipelineGbit, study_.pipeline.gbit_s,
                           kPipelineRate)};
    const auto rest = beside_the_paper(study_.serving, study_.quiet, study_.options.outputs.front());
    study_.paper.insert(study_.paper.end(), rest.begin(), rest.end());
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
        for (const double link : {40.0, 100.0, 200.0, 400.0})
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

Result<Study> run_study(const StudyOptions& options, const std::function<void(const std::string&)>& progress,
                        std::string& message) {
  return StudyRun(options, progress, message).run();
}

}  // namespace shadowserve::nic
