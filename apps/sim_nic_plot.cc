// The study as a picture: TTFT and loaded TPOT against the link's rate.
#include <fmt/format.h>

#include <algorithm>

#include "bench/svg_text.h"
#include "sim_nic_report.h"

namespace shadowserve {
namespace {

constexpr double kWidth = 1100, kHeight = 500, kTop = 90, kBottom = 420, kPanel = 400;
constexpr const char* kColours[] = {"#1f6f8b", "#c2552d", "#5b8c3a", "#7a4f9a", "#c9a45c", "#444444"};

using Value = double nic::ServingOutcome::*;

/// One panel: for some output lengths a full line for ShadowServe and a dashed one for CacheGen-Async.
std::string panel(const nic::Study& study, double left, const std::string& title, Value what) {
  const auto value = [what](const std::vector<nic::ServingOutcome>& seeds) {
    return nic::median_of(seeds, what);
  };
  double top = 0, most = 0;
  for (const nic::ServingPoint& point : study.serving) {
    top = std::max({top, value(point.cachegen), value(point.shadowserve)});
    most = std::max(most, point.link_gbit_s);
  }
  top *= 1.1;
  const auto x = [&](double gbit) { return left + kPanel * gbit / (1.05 * most); };
  const auto y = [&](double ms) { return kBottom - (kBottom - kTop) * ms / top; };
  std::string made = text_at(left, kTop - 14, "font-weight=\"bold\"", title);
  for (int i = 0; i <= 4; ++i) {
    made += fmt::format("<path d=\"M{:.1f} {:.1f}h{}\" stroke=\"#ddd\"/>\n", left, y(top * i / 4), kPanel);
    made += text_at(left - 6, y(top * i / 4) + 4, "text-anchor=\"end\"", fmt::format("{:.0f}", top * i / 4));
  }
  for (const nic::PlanePoint& link : study.links) {
    made += text_at(x(link.link_gbit_s), kBottom + 20, "text-anchor=\"middle\"",
                    fmt::format("{}", link.link_gbit_s));
  }
  made += text_at(left + kPanel / 2, kBottom + 42, "text-anchor=\"middle\"", "link, Gbit/s");
  size_t next = 0;
  for (const uint32_t output : study.options.outputs) {
    const char* colour = kColours[next++ % std::size(kColours)];
    std::string ours, theirs;
    for (const nic::ServingPoint& point : study.serving) {
      if (point.output_tokens != output) continue;
      ours += fmt::format("{:.1f},{:.1f} ", x(point.link_gbit_s), y(value(point.shadowserve)));
      theirs += fmt::format("{:.1f},{:.1f} ", x(point.link_gbit_s), y(value(point.cachegen)));
    }
    made += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", ours,
                        colour);
    made += fmt::format(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" stroke-dasharray=\"6 "
        "4\"/>\n",
        theirs, colour);
  }
  return made;
}

}  // namespace

std::string study_svg(const nic::Study& study, const std::string& commit) {
  std::string made = svg_head(kWidth, kHeight);
  made +=
      text_at(20, 28, "font-size=\"17\" font-weight=\"bold\"",
              fmt::format("Simulated: {} on an {}, prefixes of {:.0f} tokens fetched through a BlueField-3",
                          study.options.llm.name, study.options.gpu.name, study.options.work.prefix_tokens));
  made += text_at(
      20, 50, "",
      fmt::format("full lines: ShadowServe, dashed: CacheGen-Async; arrivals at {:.0f} % of the slower one's "
                  "capacity, median of {} seeds; commit {}",
                  100 * study.options.load, study.options.seeds, commit));
  made += panel(study, 70, "time to first token, ms", &nic::ServingOutcome::ttft_ms);
  made += panel(study, 560, "time per output token under load, ms", &nic::ServingOutcome::tpot_ms);
  double legend = kTop;
  size_t next = 0;
  for (const uint32_t output : study.options.outputs) {
    made += text_at(980, legend, fmt::format("fill=\"{}\"", kColours[next++ % std::size(kColours)]),
                    fmt::format("{} tokens", output));
    legend += 20;
  }
  return made + "</svg>\n";
}

}  // namespace shadowserve
