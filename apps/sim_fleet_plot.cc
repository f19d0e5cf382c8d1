// Simulated fleets as pictures, written as SVG by hand.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "bench/svg_text.h"
#include "sim_fleet_report.h"

namespace shadowserve {
namespace {

constexpr double kPanelWidth = 400, kPanelHeight = 270, kLeft = 70, kTop = 110, kGap = 100, kLegend = 62,
                 kLegendRow = 17, kLegendRowsMax = 4;
constexpr const char* kStored = "#1f6f8b";
constexpr const char* kRecomputed = "#c2552d";
constexpr const char* kLocal = "#5b8c3a";

using Points = std::vector<std::pair<double, double>>;

struct Line {
  std::string name;
  const char* colour;
  bool dashed = false;
  Points points;
};

/// Lines over an x axis by decades and a y axis from 0, or by decades as well.
class Panel {
 public:
  Panel(int place, std::string title, std::string x_name)
      : title_(std::move(title)), x_name_(std::move(x_name)) {
    left_ = kLeft + place * (kPanelWidth + kGap);
  }
  void add(Line line) { lines_.push_back(std::move(line)); }
  void linear_x(double end) { log_x_ = false, end_x_ = end; }
  void log_y() { log_y_ = true; }
  void top_y(double top) { fixed_top_ = top; }
  std::string svg() {
    scale();
    std::string made = text_at(left_, kTop - 14, "font-weight=\"bold\"", title_);
    made += x_axis() + y_axis();
    double legend = kTop + kPanelHeight + kLegend;
    for (const Line& line : lines_) {
      std::string points;
      for (const auto& [x, y] : line.points) points += fmt::format("{:.1f},{:.1f} ", place_x(x), place_y(y));
      made += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{}/>\n",
                          points, line.colour, line.dashed ? " stroke-dasharray=\"5 4\"" : "");
      if (line.points.size() <= 12) {
        for (const auto& [x, y] : line.points) {
          made += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", place_x(x),
                              place_y(y), line.colour);
        }
      }
      made += text_at(left_, legend, fmt::format("fill=\"{}\"", line.colour),
                      (line.dashed ? "- - " : "\u2014 ") + line.name);
      legend += kLegendRow;
    }
    return made;
  }

 private:
  void scale() {
    double low_x = 1e300, high_x = -1e300, low_y = 1e300, high_y = 0;
    for (const Line& line : lines_) {
      for (const auto& [x, y] : line.points) {
        low_x = std::min(low_x, x), high_x = std::max(high_x, x);
        low_y = std::min(low_y, y), high_y = std::max(high_y, y);
      }
    }
    if (lines_.empty() || high_x < low_x) low_x = 1, high_x = 10, low_y = 0.1, high_y = 1;
    x0_ = log_x_ ? std::floor(std::log10(low_x)) : 0;
    x1_ = std::max(log_x_ ? std::ceil(std::log10(high_x)) : end_x_, x0_ + 1e-9);
    if (log_x_ && x1_ <= x0_ + 0.5) x1_ = x0_ + 1;
    y0_ = log_y_ ? std::floor(std::log10(std::max(low_y, 1e-6))) : 0;
    y1_ = log_y_           ? std::ceil(std::log10(std::max(high_y, 1e-5)))
          : fixed_top_ > 0 ? fixed_top_
                           : round_top(high_y);
    if (y1_ <= y0_) y1_ = y0_ + 1;
  }
  /// Five ticks of 1, 2 or 5 times a power of ten.
  static double round_top(double high) {
    const double power = std::pow(10, std::floor(std::log10(std::max(high, 1e-9) / 5)));
    for (const double step : {1.0, 2.0, 5.0}) {
      if (5 * step * power >= high) return 5 * step * power;
    }
    return 50 * power;
  }
  double place_x(double x) const {
    const double at = ((log_x_ ? std::log10(x) : x) - x0_) / (x1_ - x0_);
    return left_ + kPanelWidth * std::clamp(at, 0.0, 1.0);
  }
  double place_y(double y) const {
    const double at = ((log_y_ ? std::log10(std::max(y, 1e-9)) : y) - y0_) / (y1_ - y0_);
    return kTop + kPanelHeight * (1 - std::clamp(at, 0.0, 1.0));
  }
  std::string x_axis() const {
    std::string made;
    const int ticks = log_x_ ? static_cast<int>(x1_ - x0_) : 6;
    for (int tick = 0; tick <= ticks; ++tick) {
      const double at = log_x_ ? std::pow(10, x0_ + tick) : x0_ + (x1_ - x0_) * tick / ticks;
      made += fmt::format("<path d=\"M{:.1f} {}V{}\" stroke=\"#eee\"/>\n", place_x(at), kTop,
                          kTop + kPanelHeight);
      made +=
          text_at(place_x(at), kTop + kPanelHeight + 18, "text-anchor=\"middle\"", fmt::format("{:g}", at));
    }
    return made +
           text_at(left_ + kPanelWidth / 2, kTop + kPanelHeight + 40, "text-anchor=\"middle\"", x_name_);
  }
  std::string y_axis() const {
    std::string made;
    const int ticks = log_y_ ? static_cast<int>(y1_ - y0_) : 5;
    for (int tick = 0; tick <= ticks; ++tick) {
      const double at = log_y_ ? std::pow(10, y0_ + tick) : y1_ * tick / ticks;
      made +=
          fmt::format("<path d=\"M{:.1f} {:.1f}h{}\" stroke=\"#ddd\"/>\n", left_, place_y(at), kPanelWidth);
      made += text_at(left_ - 6, place_y(at) + 4, "text-anchor=\"end\"", fmt::format("{:.3g}", at));
    }
    return made;
  }

  std::string title_, x_name_;
  double left_ = 0, x0_ = 0, x1_ = 1, y0_ = 0, y1_ = 1, fixed_top_ = 0, end_x_ = 1;
  bool log_x_ = true, log_y_ = false;
  std::vector<Line> lines_;
};

std::string picture(const FleetReport& report, const std::string& title, std::vector<Panel> panels) {
  const fleet::FleetOptions& options = report.pairs.front().stored.options;
  const double width = kLeft + static_cast<double>(panels.size()) * (kPanelWidth + kGap) - kGap / 2;
  const double height = kTop + kPanelHeight + kLegend + kLegendRowsMax * kLegendRow;
  std::string made = svg_head(width, height);
  made += text_at(20, 28, "font-size=\"17\" font-weight=\"bold\"", title);
  made += text_at(
      20, 50, "",
      fmt::format("{}; NICs of {:g} Gbit/s, {:.3g} engines a shard; {}, {}, {:g} requests an engine and "
                  "second; {:g} h; "
                  "seed {}; commit {}",
                  options.engine_name, options.network.nic_gbit,
                  report.sweep && options.store.shards == 0
                      ? options.store.engines_per_shard
                      : static_cast<double>(options.engines) / std::max(1u, options.shard_count()),
                  workload_name(options.workload), routing_name(options.workload.routing),
                  options.workload.requests_per_engine_s, options.hours, options.seed, report.commit));
  made += text_at(20, 70, "fill=\"#666\"", "a simulation: docs/simulators/fleet.md has its assumptions");
  for (Panel& panel : panels) made += panel.svg();
  return made + "</svg>\n";
}

double seconds(int64_t duration_ns) { return static_cast<double>(duration_ns) * 1e-9; }

Points distribution(const fleet::DurationHistogram& times) {
  Points points;
  for (double part = 0.005; part < 1; part += 0.005) {
    points.emplace_back(std::max(seconds(times.percentile_ns(part)), 1e-4), part);
  }
  return points;
}

std::string one_fleet(const FleetReport& report) {
  const FleetPair& pair = report.pairs.front();
  Panel times(0, "Part of requests whose first token has come", "seconds");
  times.top_y(1);
  times.add({"with the store", kStored, false, distribution(pair.stored.result.ttft)});
  if (pair.recomputed)
    times.add({"recompute only", kRecomputed, false, distribution(pair.recomputed->result.ttft)});
  Panel sources(1, "Where prompt tokens came from", "minutes");
  sources.linear_x(60 * pair.stored.options.hours);
  sources.top_y(1);
  Points local, hits;
  const double minutes = pair.stored.options.hours;  // of a slice: a sixtieth of all hours
  for (size_t place = 0; place < pair.stored.result.slices.size(); ++place) {
    const fleet::Slice& slice = pair.stored.result.slices[place];
    const double all = static_cast<double>(slice.local_tokens + slice.remote_tokens + slice.computed_tokens);
    if (all == 0) continue;
    const double at = (static_cast<double>(place) + 0.5) * minutes;
    local.emplace_back(at, static_cast<double>(slice.local_tokens) / all);
    hits.emplace_back(at, static_cast<double>(slice.local_tokens + slice.remote_tokens) / all);
  }
  sources.add({"engine's cache and store", kStored, false, std::move(hits)});
  sources.add({"engine's own cache", kLocal, false, std::move(local)});
  return picture(
      report,
      fmt::format("A simulated fleet of {} engines and {} shards", with_commas(pair.stored.options.engines),
                  with_commas(pair.stored.options.shard_count())),
      {std::move(times), std::move(sources)});
}

std::string many_fleets(const FleetReport& report) {
  const auto along = [&](const std::function<double(const FleetPair&)>& value) {
    Points points;
    for (const FleetPair& pair : report.pairs) points.emplace_back(pair.stored.options.engines, value(pair));
    return points;
  };
  Panel cost(0, "Cents per 1,000 chunks", "engines");
  cost.add({"fetched: NICs, store, links", kStored, false,
            along([](const FleetPair& pair) { return 100 * pair.stored.cost().per_thousand_hits; })});
  cost.add({"computed: prefill", kRecomputed, false,
            along([](const FleetPair& pair) { return 100 * pair.stored.cost().per_thousand_computed; })});
  Panel hits(1, "Part of prompt tokens", "engines");
  hits.top_y(1);
  hits.add({"engine's cache and store", kStored, false,
            along([](const FleetPair& pair) { return pair.stored.result.hit_rate(); })});
  hits.add({"engine's own cache", kLocal, false, along([](const FleetPair& pair) {
              return pair.stored.result.hit_rate() - pair.stored.result.remote_rate();
            })});
  Panel times(2, "TTFT, seconds", "engines");
  times.log_y();
  const auto ttft = [&](bool stored, double part) {
    return along([stored, part](const FleetPair& pair) {
      return seconds((stored ? pair.stored : *pair.recomputed).result.ttft.percentile_ns(part));
    });
  };
  times.add({"p50 with the store", kStored, false, ttft(true, 0.5)});
  times.add({"p99", kStored, true, ttft(true, 0.99)});
  if (report.pairs.front().recomputed && report.pairs.back().recomputed) {
    times.add({"p50, recompute only", kRecomputed, false, ttft(false, 0.5)});
    times.add({"p99", kRecomputed, true, ttft(false, 0.99)});
  }
  return picture(report, "Simulated fleets: shards grow with engines",
                 {std::move(cost), std::move(hits), std::move(times)});
}

}  // namespace

std::string fleet_svg(const FleetReport& report) {
  return report.sweep ? many_fleets(report) : one_fleet(report);
}

}  // namespace shadowserve
