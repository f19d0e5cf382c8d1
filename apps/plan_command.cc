// `shadowserve plan`: which profile to use on this machine with this link, and why.
#include <fmt/format.h>

#include <chrono>

#include "codec/calibrated/sample_calibration.h"
#include "command.h"
#include "plan_choice.h"
#include "plan_model.h"
#include "plane/unpack/lane_sample.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve plan --link 20gbit --cores 2 --model /models/llama-3.1-8b --prefill 9000
  shadowserve plan --link 5gbit --cores 1 --shape 32x8x128 --context 16384
  shadowserve plan --link 100gbit --cores 4 --shape 32x8x128 --divergence 0      lossless only

near, balanced and far need a calibration of the model (`shadowserve calibrate MODEL`).
Unpacking is measured now, on one core of this machine. Sizes and divergences are those of Gemma 3 270M on seven texts;
`shadowserve bench codec --input DUMP` measures sizes on your model's cache.)";

constexpr double kSecondsPerProfile = 0.15;

/// Of Gemma 3 270M. Sizes and divergences (mean KL of the next token, seven texts) are those of
/// docs/results/quality/gemma3-270m.json; with another coder the size is that of docs/results/codec.md.
struct KnownProfile {
  const char* name;
  double ratio;
  double divergence;
};
constexpr KnownProfile kKnown[] = {
    {"raw", 1.0, 0},        {"raw+zstd", 1.17, 0},      {"int8+none", 1.98, 0.0035},
    {"int8", 2.55, 0.0035}, {"kv4+none", 3.85, 0.0119}, {"kv4+deflate", 4.79, 0.0119},
    {"kv4", 4.73, 0.0119},  {"cachegen", 6.04, 0.1223}, {"generic", 4.51, 0.0040},
    {"near", 6.49, 0.0045}, {"balanced", 8.33, 0.0081}, {"far", 12.68, 0.0212},
};

struct PlanAsked {
  std::string link, model, shape;
  double cores = 1, context = 8192, prefill = 0, divergence = 0.02;
};

/// Bytes of values a second, into memory that is in no cache.
double measure_unpack(LaneSample& sample, const Profile& profile, std::span<std::byte> memory) {
  using Clock = std::chrono::steady_clock;
  if (!sample.encode(profile)) throw StartError("a sample could not be encoded");
  CoderWorkspace workspace;
  FrameDecoder decoder(workspace);
  size_t at = 0;
  uint64_t delivered = 0;
  const auto start = Clock::now();
  double seconds = 0;
  do {
    if (!sample.unpack(decoder, memory.subspan(at, sample.value_bytes()))) {
      throw StartError("a sample could not be decoded");
    }
    delivered += sample.value_bytes();
    at += (sample.value_bytes() + 63) / 64 * 64;
    if (at + sample.value_bytes() > memory.size()) at = 0;
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  } while (seconds < kSecondsPerProfile);
  return static_cast<double>(delivered) / seconds;
}

std::vector<ProfileCost> measure_costs(const KvGeometry& geometry) {
  constexpr size_t kMemory = size_t{128} << 20;
  LaneSample sample(part_shape(geometry, 0));
  std::vector<std::byte> memory(kMemory + 64, std::byte{1});
  const size_t shift = 64 - reinterpret_cast<uintptr_t>(memory.data()) % 64;
  std::vector<ProfileCost> costs;
  for (const KnownProfile& known : kKnown) {
    Profile profile = *profile_from_name(known.name);
    const auto model = profile.calibrated() ? sample_model(geometry, known.name) : nullptr;
    if (profile.calibrated() && model == nullptr) continue;  // not for this geometry
    profile.model = model.get();
    const double rate = measure_unpack(sample, profile, std::span(memory).subspan(shift % 64, kMemory));
    costs.push_back({known.name, known.ratio, rate, known.divergence});
  }
  return costs;
}

std::string time_text(double seconds) {
  return seconds < 1 ? fmt::format("{:.1f} ms", seconds * 1e3) : fmt::format("{:.2f} s", seconds);
}
std::string rate_text(double bytes_per_s) { return fmt::format("{:.3g} Gbit/s", bytes_per_s * 8e-9); }

void print_lines(std::span<const PlanLine> lines, size_t chosen, double compute_s) {
  fmt::print("{:<2}{:<12} {:>6} {:>10} {:>11} {:>11} {:>11} {:>11}  {:<8}{}\n", "", "profile", "ratio",
             "divergence", "on the wire", "link", "cores", "fetched in", "limit",
             compute_s > 0 ? "  computing takes" : "");
  for (size_t i = 0; i < lines.size(); ++i) {
    const PlanLine& line = lines[i];
    fmt::print("{:<2}{:<12} {:>6.2f} {:>10.4f} {:>11} {:>11} {:>11} {:>11}  {:<8}{}\n",
               i == chosen ? ">" : "", line.cost.name, line.cost.ratio, line.cost.divergence,
               format_byte_size(static_cast<uint64_t>(line.wire_bytes)), time_text(line.link_s),
               time_text(line.core_s), time_text(line.fetch_s), line.link_bound() ? "link" : "cores",
               compute_s > 0 ? fmt::format("  {:.1f}x as long", compute_s / line.fetch_s) : "");
  }
}

void explain(const PlanLine& line, std::span<const ProfileCost> costs, const Deployment& deployment,
             const PlanAsked& asked) {
  const double swallowed = line.wire_bytes / line.core_s;
  fmt::print("\nTake {}: ", line.cost.name);
  if (line.link_bound()) {
    fmt::print(
        "the link is the limit ({} of compressed bytes; the cores would take {}), so the densest profile "
        "that\n"
        "loses no more than {} wins.\n",
        rate_text(deployment.link_per_s), rate_text(swallowed), asked.divergence);
  } else {
    fmt::print(
        "the cores are the limit (they take {} of compressed bytes, the link brings {}), so what is cheapest "
        "to\n"
        "unpack wins.\n",
        rate_text(swallowed), rate_text(deployment.link_per_s));
  }
  fmt::print("With these cores");
  const auto changes = crossovers(costs, deployment, asked.divergence);
  for (size_t i = 0; i < changes.size(); ++i) {
    fmt::print("{} {}", i == 0 ? ":" : fmt::format(", from {}", rate_text(changes[i].link_per_s)),
               changes[i].profile);
  }
  fmt::print(".\n");
  if (deployment.compute_s > 0 && deployment.compute_s < line.fetch_s) {
    fmt::print(
        "Computing is faster here: this prefix takes {} to compute. Do not fetch, or find a faster link.\n",
        time_text(deployment.compute_s));
  } else if (deployment.compute_s > 0) {
    fmt::print("Time to first token is about {} instead of {}, before queueing and the engine's own step.\n",
               time_text(line.fetch_s), time_text(deployment.compute_s));
  } else {
    fmt::print(
        "An engine that computes more than {:.0f} tokens a second has no use for fetching here "
        "(--prefill).\n",
        asked.context / line.fetch_s);
  }
  fmt::print(
      "Set it: \"kv_connector_extra_config\": {{\"profile\": \"{}\"}}, and shadowserve plane --cores <{:.0f} "
      "of them>\n",
      line.cost.name, asked.cores);
  if (!profile_from_name(line.cost.name)->calibrated()) return;
  fmt::print(
      "It needs a calibration of the model, made once: shadowserve calibrate MODEL --out model.cal, then\n"
      "shadowserve calibration publish model.cal\n");
}

double link_rate(const std::string& text) {
  const auto bits = parse_bit_rate(text);
  if (!bits) throw StartError(fmt::format("--link {} is no rate: write 20gbit or 500mbit", text));
  return static_cast<double>(*bits) / 8;
}

int run_plan(const PlanAsked& asked) {
  if (asked.model.empty() == asked.shape.empty()) {
    throw StartError("say whose cache it is: --model FOLDER or --shape LAYERSxKV_HEADSxHEAD_DIM");
  }
  if (asked.cores < 1 || asked.context < 1) throw StartError("--cores and --context are at least 1");
  const KvGeometry geometry = asked.model.empty() ? parse_geometry(asked.shape) : model_geometry(asked.model);
  const double token_bytes = static_cast<double>(geometry.planes()) * geometry.channels() * kElementBytes;
  Deployment deployment;
  deployment.link_per_s = link_rate(asked.link);
  deployment.cores = asked.cores;
  deployment.value_bytes = token_bytes * asked.context;
  deployment.part_bytes = static_cast<double>(part_shape(geometry, 0).value_bytes());
  deployment.compute_s = asked.prefill > 0 ? asked.context / asked.prefill : 0;
  fmt::print(
      "{} layers of {} heads of {}: {} of KV a token, {} for {:.0f} tokens. Link {}, {:.0f} core(s).\n\n",
      geometry.layers, geometry.kv_heads, geometry.head_dim,
      format_byte_size(static_cast<uint64_t>(token_bytes)),
      format_byte_size(static_cast<uint64_t>(deployment.value_bytes)), asked.context,
      rate_text(deployment.link_per_s), asked.cores);
  std::fflush(stdout);
  const auto costs = measure_costs(geometry);
  std::vector<PlanLine> lines;
  for (const ProfileCost& cost : costs) lines.push_back(plan_line(cost, deployment));
  const size_t chosen = choose_line(lines, asked.divergence);
  print_lines(lines, chosen, deployment.compute_s);
  explain(lines[chosen], costs, deployment, asked);
  return 0;
}

}  // namespace

Command add_plan_command(CLI::App& root) {
  auto asked = std::make_shared<PlanAsked>();
  CLI::App* app =
      root.add_subcommand("plan", "Which profile to use with this link, these cores and this model, and why");
  app->footer(kFooter);
  app->add_option("--link", asked->link, "rate between store and this machine: 20gbit, 500mbit")->required();
  app->add_option("--cores", asked->cores, "cores set aside for the data plane (default 1)");
  app->add_option("--model", asked->model, "folder of the model: its config.json gives the shape");
  app->add_option("--shape", asked->shape, "LAYERSxKV_HEADSxHEAD_DIM instead of --model");
  app->add_option("--context", asked->context, "tokens of the prefix (default 8192)");
  app->add_option("--prefill", asked->prefill,
                  "tokens a second that the engine computes: compares with computing");
  app->add_option("--divergence", asked->divergence,
                  "most KL divergence (nats) a profile may cost; 0 = lossless (default 0.02)");
  return {app, [asked] { return run_plan(*asked); }};
}

}  // namespace shadowserve
