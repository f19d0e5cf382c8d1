// The pipeline bench as a picture: delivered rate against the link's rate.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "bench/pipeline_report.h"
#include "bench/svg_text.h"

namespace shadowserve {
namespace {

constexpr double kWidth = 900, kHeight = 520, kLeft = 80, kRight = 730, kTop = 90, kBottom = 450;
constexpr const char* kColours[] = {"#1f6f8b", "#c2552d", "#5b8c3a", "#7a4f9a", "#c9a45c", "#444444"};

/// Rates side by side in their order, with "unlimited" last; a scale of numbers would have no place for it.
class Axes {
 public:
  explicit Axes(const PipelineReport& report) {
    for (const BenchRow* row : report.points()) {
      rates_.insert(fact_or_0(*row, kLinkGbit));
      top_ = std::max(top_, 1.15 * spread_of(row->measure(kDelivered).rates).p75);
    }
    if (rates_.erase(0) > 0) unlimited_ = true;
  }
  double x(double gbit) const {
    const auto count = static_cast<double>(rates_.size() + (unlimited_ ? 1 : 0));
    const auto index = gbit > 0 ? std::distance(rates_.begin(), rates_.find(gbit))
                                : static_cast<std::ptrdiff_t>(rates_.size());
    return kLeft + (static_cast<double>(index) + 0.5) * (kRight - kLeft) / count;
  }
  double y(double gb_s) const { return kBottom - (kBottom - kTop) * gb_s / top_; }
  double top() const { return top_; }
  const std::set<double>& rates() const { return rates_; }
  bool unlimited() const { return unlimited_; }

 private:
  std::set<double> rates_;
  bool unlimited_ = false;
  double top_ = 1e-9;
};

std::string line(const std::string& points, const char* style) {
  return fmt::format("<polyline points=\"{}\" fill=\"none\" {}/>\n", points, style);
}

std::string grid(const Axes& axes) {
  std::string made;
  for (int i = 0; i <= 4; ++i) {
    const double gb_s = axes.top() * i / 4;
    made += fmt::format("<path d=\"M{} {:.1f}H{}\" stroke=\"#ddd\"/>\n", kLeft, axes.y(gb_s), kRight);
    made += text_at(kLeft - 8, axes.y(gb_s) + 4, "text-anchor=\"end\"", fmt::format("{:.2f}", gb_s));
  }
  const char* middle = "text-anchor=\"middle\"";
  for (const double gbit : axes.rates())
    made += text_at(axes.x(gbit), kBottom + 20, middle, fmt::format("{}", gbit));
  if (axes.unlimited()) made += text_at(axes.x(0), kBottom + 20, middle, "unlimited");
  made += text_at((kLeft + kRight) / 2, kBottom + 44, middle, "link, Gbit/s");
  return made + text_at(20, kTop - 12, "", "delivered, GB/s of values");
}

}  // namespace

std::string pipeline_svg(const PipelineReport& report) {
  const Axes axes(report);
  std::string made = svg_head(kWidth, kHeight);
  made +=
      text_at(20, 28, "font-size=\"17\" font-weight=\"bold\"", "What the data plane delivers over a link");
  made += text_at(20, 50, "",
                  fmt::format("{}; {}, {:.2f}x; store: {}; {} repetitions, bars: middle half; commit {}",
                              report.machine.cpu, report.profile, report.ratio, report.store,
                              report.options.repetitions, report.commit));
  made += grid(axes);
  std::string bound;
  for (const double gbit : axes.rates()) {
    bound += fmt::format("{:.1f},{:.1f} ", axes.x(gbit), axes.y(gbit / 8 * report.ratio));
  }
  // Most links bring more than is delivered: their bound leaves the picture at its top.
  made +=
      fmt::format("<clipPath id=\"plot\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\n",
                  kLeft, kTop, kRight - kLeft, kBottom - kTop);
  made += line(bound, "stroke=\"#888\" stroke-dasharray=\"6 4\" clip-path=\"url(#plot)\"");
  made += text_at(kRight + 12, kTop + 6, "fill=\"#888\"", "- - all the link brings");

  std::map<double, std::vector<const BenchRow*>> by_cores;
  for (const BenchRow* row : report.points()) by_cores[fact_or_0(*row, kCores)].push_back(row);
  double legend = kTop + 30;
  size_t next = 0;
  for (auto& [cores, rows] : by_cores) {
    const char* colour = kColours[next++ % std::size(kColours)];
    std::map<double, std::string> places;  // left to right
    for (const BenchRow* row : rows) {
      const Spread spread = spread_of(row->measure(kDelivered).rates);
      const double x = axes.x(fact_or_0(*row, kLinkGbit));
      places[x] = fmt::format("{:.1f},{:.1f} ", x, axes.y(spread.median));
      made += fmt::format(
          "<circle cx=\"{0:.1f}\" cy=\"{1:.1f}\" r=\"4\" fill=\"{2}\"/>\n<path d=\"M{0:.1f} "
          "{3:.1f}V{4:.1f}\" "
          "stroke=\"{2}\"/>\n",
          x, axes.y(spread.median), colour, axes.y(spread.p25), axes.y(spread.p75));
    }
    std::string points;
    for (const auto& [x, place] : places) points += place;
    made += line(points, fmt::format("stroke=\"{}\" stroke-width=\"2\"", colour).c_str());
    made += text_at(
        kRight + 12, legend, fmt::format("fill=\"{}\"", colour),
        fmt::format("{} core{}{}", cores, cores == 1 ? "" : "s", rows[0]->note.empty() ? "" : " (a floor)"));
    legend += 22;
  }
  return made + "</svg>\n";
}

}  // namespace shadowserve
