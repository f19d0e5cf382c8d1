// `shadowserve stats`: a live view of a running data plane.
#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

using nlohmann::json;

constexpr const char* kFooter = R"(
Examples:
  shadowserve stats                     live view, once a second, until Ctrl-C
  shadowserve stats --once              totals since the start
  shadowserve stats --json | jq .funnels.fetch

Columns of a stage: queue (slots waiting or inside), slots per second, output per second, busy (share of the
thread's time), time (mean from entering the stage's queue to leaving it), failed (errors that arose there).)";

/// The document with its stages in the order of a chunk's trip, unknown ones last.
json read_stats(const std::string& socket_path) {
  static constexpr std::array<std::string_view, 12> kTrip = {"admit",      "lookup",     "receive", "unpack",
                                                             "decompress", "dequantize", "deliver", "collect",
                                                             "quantize",   "compress",   "send",    "reply"};
  json document = json::parse(read_plane_stats(socket_path));
  const auto place = [](const json& stage) {
    return std::find(kTrip.begin(), kTrip.end(), stage.value("stage", "")) - kTrip.begin();
  };
  json& stages = document.at("stages");
  std::stable_sort(stages.begin(), stages.end(),
                   [&](const json& a, const json& b) { return place(a) < place(b); });
  return document;
}

/// What grew between two documents; with no earlier one, everything since the start.
double grown(const json& now, const json* before, const char* field) {
  return now.value(field, 0.0) - (before != nullptr ? before->value(field, 0.0) : 0.0);
}

const json* earlier_stage(const json* before, size_t index, const json& stage) {
  if (before == nullptr) return nullptr;
  const json& stages = before->at("stages");
  if (index >= stages.size() || stages[index].at("stage") != stage.at("stage")) return nullptr;
  return &stages[index];
}

std::string byte_rate(double bytes_per_second) {
  return bytes_per_second < 1 ? "-" : format_byte_size(static_cast<uint64_t>(bytes_per_second)) + "/s";
}

void show_stages(const json& now, const json* before, double seconds) {
  fmt::print("{:<12} {:<11} {:>6} {:>9} {:>14} {:>6} {:>10} {:>7}\n", "stage", "thread", "queue", "slots/s",
             "output", "busy", "time", "failed");
  size_t index = 0;
  for (const json& stage : now.at("stages")) {
    const json* old = earlier_stage(before, index++, stage);
    const double slots = grown(stage, old, "slots");
    const double wait_us = slots > 0 ? grown(stage, old, "wait_ns") / slots * 1e-3 : 0;
    fmt::print("{:<12} {:<11} {:>6} {:>9.1f} {:>14} {:>5.1f}% {:>10} {:>7}\n", stage.value("stage", "?"),
               stage.value("thread", "?"), stage.value("queue", 0), slots / seconds,
               byte_rate(grown(stage, old, "bytes_out") / seconds),
               grown(stage, old, "busy_ns") / seconds * 1e-7,
               slots > 0 ? fmt::format("{:.0f} us", wait_us) : "-", stage.value("failed", 0));
  }
}

/// What the division of records among the cores rests on, and what a delivered byte costs the memory.
void show_lanes(const json& now) {
  for (const json& lane : now.at("lanes")) {
    fmt::print("lane     {:<11} unpacks GB/s:", lane.value("thread", "?"));
    for (const auto& [profile, rate] : lane.at("gbyte_per_s").items()) {
      fmt::print("  {} {:.1f}", profile, rate.get<double>());
    }
    fmt::print("\n");
  }
  const double delivered = now.at("funnels").at("fetch").value("value_bytes", 0.0);
  if (delivered > 0) {
    fmt::print("memory   {:.2f} bytes moved for each byte delivered\n",
               now.value("fetch_bytes_moved", 0.0) / delivered);
  }
}

void show_funnel(const char* name, const json& funnel) {
  const double asked = funnel.value("asked", 0.0);
  double ended = 0;
  std::string reasons;
  for (const auto& [reason, count] : funnel.at("ended").items()) {
    ended += count.get<double>();
    if (reason != "done") reasons += fmt::format("  {} {}", reason, count.get<uint64_t>());
  }
  fmt::print("{:<8} asked {:>9.0f}   done {:>9}   in flight {:>5.0f}", name, asked,
             funnel.at("ended").value("done", uint64_t{0}), std::max(0.0, asked - ended));
  const auto wire = funnel.value("wire_bytes", uint64_t{0});
  const auto values = funnel.value("value_bytes", uint64_t{0});
  if (values > 0) {
    fmt::print("   {} on the wire for {} of KV ({:.1f}x)", format_byte_size(wire), format_byte_size(values),
               static_cast<double>(values) / static_cast<double>(std::max<uint64_t>(wire, 1)));
  }
  fmt::print("\n");
  if (!reasons.empty()) fmt::print("         not done:{}\n", reasons);
}

void show(const json& now, const json* before, double seconds) {
  const json& store = now.at("store");
  fmt::print("shadowserve {} up {:.0f} s on {}\n", now.value("version", "?"), now.value("uptime_s", 0.0),
             now.value("socket", "?"));
  fmt::print("store    {}", store.value("url", "?"));
  if (store.value("records", uint64_t{0}) > 0) {
    fmt::print(": {} records, {}, {} evicted", store.value("records", uint64_t{0}),
               format_byte_size(store.value("bytes", uint64_t{0})), store.value("evicted", uint64_t{0}));
  }
  if (const json receive = now.value("receive", json::object());
      receive.value("asked", "sockets") != "sockets") {
    const std::string warning = receive.value("warning", "");
    fmt::print("\nreceive  {}", warning.empty() ? receive.value("found", "?") : warning);
  }
  fmt::print("\nengines ");
  for (const json& session : now.at("sessions")) fmt::print(" [{}]", session.get<std::string>());
  fmt::print("{}\n", now.at("sessions").empty() ? " none" : "");
  const json& heap = now.at("heap");
  fmt::print("memory   {} of slots{}; allocations since start: {}\n\n",
             format_byte_size(now.at("memory").value("slot_bytes", uint64_t{0})),
             now.at("memory").value("pinned", false) ? ", locked" : ", not locked (see shadowserve doctor)",
             heap.value("watched", false) ? std::to_string(heap.value("allocations_after_start", uint64_t{0}))
                                          : "not watched");
  show_stages(now, before, seconds);
  show_lanes(now);
  fmt::print("\n");
  for (const char* name : {"lookup", "fetch", "save"}) show_funnel(name, now.at("funnels").at(name));
  std::fflush(stdout);
}

volatile sig_atomic_t g_stop = 0;

int watch(const std::string& socket_path, double interval_s) {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  json before = read_stats(socket_path);
  auto before_time = std::chrono::steady_clock::now();
  show(before, nullptr, std::max(before.value("uptime_s", 1.0), 1e-3));
  while (g_stop == 0) {
    const auto whole = static_cast<time_t>(interval_s);
    const timespec pause{whole, static_cast<long>((interval_s - static_cast<double>(whole)) * 1e9)};
    nanosleep(&pause, nullptr);  // ends early when a signal arrives
    if (g_stop != 0) break;
    json now = read_stats(socket_path);
    const auto now_time = std::chrono::steady_clock::now();
    fmt::print("{}", terminal ? "\x1b[H\x1b[2J" : "\n");
    show(now, &before, std::chrono::duration<double>(now_time - before_time).count());
    before = std::move(now);
    before_time = now_time;
  }
  fmt::print("\n");
  return 0;
}

struct StatsOptions {
  SettingFlags settings;
  bool once = false;
  bool raw_json = false;
  double interval_s = 1;
};

int run_stats(const StatsOptions& options) {
  const std::string socket_path = options.settings.load().text("socket");
  if (options.raw_json) {
    fmt::print("{}\n", json::parse(read_plane_stats(socket_path)).dump(2));
    return 0;
  }
  if (options.once) {
    const json now = read_stats(socket_path);
    show(now, nullptr, std::max(now.value("uptime_s", 1.0), 1e-3));
    return 0;
  }
  return watch(socket_path, options.interval_s);
}

}  // namespace

Command add_stats_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("stats", "Watch a running data plane");
  app->footer(kFooter);
  const auto options = std::make_shared<StatsOptions>();
  options->settings.add_to(*app, {"socket"});
  app->add_flag("--once", options->once, "print once, as means since the start, and end");
  app->add_flag("--json", options->raw_json, "print the data plane's own document once, and end");
  app->add_option("--interval", options->interval_s, "seconds between two looks")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  return {app, [options] { return run_stats(*options); }};
}

}  // namespace shadowserve
