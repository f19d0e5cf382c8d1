// The bench as a picture: one bar a coder, written as SVG by hand.
#include <fmt/format.h>

#include <algorithm>

#include "bench/bench_report.h"
#include "bench/bench_trials.h"
#include "bench/svg_text.h"

namespace shadowserve {
namespace {

constexpr int kWidth = 960, kNameWidth = 250, kBarsWidth = 430, kTop = 84, kRow = 24;

const char* bar_colour(const BenchRow& row) {
  if (row.name == kMemcpyName) return "#b8b8b8";
  return row.name.starts_with("ours") ? "#1f6f8b" : "#c9a45c";
}

/// A bar with a whisker over the middle half of its repetitions.
std::string bar(const BenchRow& row, double y, double fastest) {
  const Spread decode = spread_of(row.measure("decode_gsym_s").rates);
  const auto x_of = [fastest](double rate) {
    return kNameWidth + kBarsWidth * std::min(rate / fastest, 1.0);
  };
  std::string made = text_at(kNameWidth - 8, y + 15, "text-anchor=\"end\"", row.name);
  made +=
      fmt::format("<rect x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"/>\n", kNameWidth,
                  y + 4, std::max(x_of(decode.median) - kNameWidth, 1.0), kRow - 8, bar_colour(row));
  made += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#222\" stroke-width=\"1.5\"/>\n",
                      x_of(decode.p25), y + kRow / 2.0, x_of(decode.p75));
  std::string label = fmt::format("{}{:.3f}", decode.median > fastest ? "(longer) " : "", decode.median);
  if (!row.facts.empty()) label += fmt::format("  ({:.3f}x ideal size)", row.fact("size_over_ideal"));
  return made + text_at(x_of(std::max(decode.median, decode.p75)) + 8, y + 16, "", label);
}

constexpr double kShrinkingMax = 1.1;  // times the ideal size

}  // namespace

std::string bench_svg(const BenchReport& report) {
  std::vector<const BenchRow*> rows = report.table(kCoderTable);
  const auto rate = [](const BenchRow* row) { return spread_of(row->measure("decode_gsym_s").rates); };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const BenchRow* a, const BenchRow* b) { return rate(a).median > rate(b).median; });
  double fastest = 0;
  for (const BenchRow* row : rows) {
    // What hardly shrinks anything is little more than memcpy in a cache: it must not flatten all other bars.
    const bool shrinks = row->facts.empty() || row->fact("size_over_ideal") < kShrinkingMax;
    if (shrinks) fastest = std::max(fastest, rate(row).p75);
  }
  if (fastest == 0) fastest = rate(rows.front()).p75;
  const int height = kTop + kRow * static_cast<int>(rows.size()) + 40;
  std::string made = svg_head(kWidth, height);
  made += text_at(20, 28, "font-size=\"17\" font-weight=\"bold\"", "Decoding the symbols of kv4 on one core");
  made += text_at(20, 48, "",
                  fmt::format("{}; {}; {} repetitions in turns, bars: median, lines: middle half",
                              report.machine.cpu, report.machine.simd, report.repetitions));
  made += text_at(
      20, 68, "",
      fmt::format("{}, {} {}; commit {}{}", report.dump.name(), report.dump.shape, report.dump.dtype,
                  report.commit, report.dump.made_up() ? "; made-up values: sizes mean nothing" : ""));
  double y = kTop;
  for (const BenchRow* row : rows) {
    made += bar(*row, y, fastest);
    y += kRow;
  }
  made += text_at(kNameWidth, y + 22, "", "10^9 symbols decoded a second (longer is better)");
  return made + "</svg>\n";
}

}  // namespace shadowserve
