// `shadowserve bench codec`: how fast the codec and its peers are on this machine, and how small they make a
// KV cache.
#include <fmt/format.h>

#include <memory>

#include "bench/bench_report.h"
#include "bench/bench_trials.h"
#include "build_commit.h"
#include "codec/rans/rans_frame.h"
#include "command.h"

namespace shadowserve {
namespace {

constexpr const char* kGroupFooter = R"(
Examples:
  shadowserve bench codec                               made-up values, all profiles, all peers
  shadowserve bench stage                               every stage of the data plane alone
  shadowserve bench pipeline                            a whole data plane over links of several rates)";

constexpr const char* kFooter = R"(
Examples:
  shadowserve bench codec                               made-up values, about a minute
  shadowserve bench codec --input kv.bin --shape 18x2x2048x256 --dtype fp16
  shadowserve bench codec --shape 4x2x512x8x128 --repetitions 3 --json result.json --plot result.svg

The file holds 16-bit elements [layer][K|V][token][head * dim]; only whole chunks are used. Without --input the values
are made up, always the same ones: rates are real, ratios mean NOTHING for a model. Rows are repeated in turns, so
that noise hits all alike. With --json - nothing but JSON goes to stdout. Every decode is compared; the first wrong
byte ends the bench.)";

struct BenchOptions {
  DumpOptions dump{.input = {}, .shape = "18x2x2048x256", .dtype = "fp16"};
  std::string simd, json, plot;
  std::vector<std::string> profiles;
  int repetitions = 7, core = -1;
};

/// Coders that kv4 really uses when it is told to: planes of tiny models are not for every one.
std::vector<CoderId> kv4_coders(const KvGeometry& geometry) {
  std::vector<CoderId> coders;
  for (const CoderId coder : kBenchCoders) {
    if (Profile{ProfileId::kKv4, coder}.recipe(geometry, 0).coder == coder) coders.push_back(coder);
  }
  return coders;
}

/// Adds the rows of "coders". Returns the ideal bits a symbol.
double add_coders(const BenchInput& input, const std::shared_ptr<DramRing>& ring, Trials& trials) {
  const auto bytes = std::make_shared<const SymbolBlocks>(packed_blocks(input, peers::Packing::kBytes));
  const auto nibbles = std::make_shared<const SymbolBlocks>(packed_blocks(input, peers::Packing::kNibbles));
  if (bytes->symbols == 0) {
    throw StartError(
        "every plane has a NaN or an infinity, so nothing is quantized: are --dtype and --shape right?");
  }
  const double ideal = ideal_bits(*bytes);
  for (const CoderId coder : kv4_coders(input.geometry())) {
    const auto blocks = std::make_shared<const SymbolBlocks>(record_blocks(input, {ProfileId::kKv4, coder}));
    trials.push_back(coder_trial("ours: " + coder_name(coder), own_coder(coder), blocks, ideal));
  }
  for (const std::shared_ptr<peers::PeerCoder>& peer : peers::general_peers()) {
    trials.push_back(coder_trial(peer->name() + " (bytes)", peer, bytes, ideal));
    trials.push_back(coder_trial(peer->name() + " (nibbles)", peer, nibbles, ideal));
  }
  for (const std::shared_ptr<peers::PeerCoder>& peer : peers::channel_peers()) {
    trials.push_back(coder_trial(peer->name(), peer, bytes, ideal));
  }
  trials.push_back(symbol_copy_trial(bytes->symbols, ring));
  return ideal / static_cast<double>(bytes->symbols);
}

void add_pages(BenchInput& input, CoderId own_choice, const std::shared_ptr<DramRing>& ring, Trials& trials) {
  for (const CoderId coder : kv4_coders(input.geometry())) {
    const Profile profile{ProfileId::kKv4, coder, nullptr};
    trials.push_back(page_trial(std::string(profile.name()), coder == own_choice ? "kv4's own choice" : "",
                                input, profile, plane_path(), ring));
  }
  const Profile chosen{ProfileId::kKv4, own_choice, nullptr};
  trials.push_back(page_trial(std::string(chosen.name()) + " in three steps", "decompress, dequantize, copy",
                              input, chosen, staged_path(), ring));
  trials.push_back(page_trial(kIsalPathName, "of zlib's Huffman-only streams, two symbols a byte", input,
                              {ProfileId::kKv4, CoderId::kNone, nullptr}, isal_path(), ring));
  trials.push_back(page_copy_trial(input, ring));
}

BenchReport run_trials(const BenchOptions& options) {
  const std::unique_ptr<BenchInput> input = load_bench_input(options.dump);
  const std::vector<ProfileChoice> profiles = chosen_profiles(options.profiles, options.dump, *input);
  const CoderId own_choice = Profile{}.recipe(input->geometry(), 0).coder;
  BenchReport report;
  if (!options.simd.empty()) limit_simd(options.simd);
  report.machine = pin_and_describe(options.core);
  report.commit = SHADOWSERVE_COMMIT;
  report.dump = options.dump;
  report.dump.chunk_tokens = input->geometry().chunk_tokens;
  report.repetitions = options.repetitions;
  report.default_coder = coder_name(own_choice);
  report.missing = peers::missing_peers();

  Trials trials;
  const auto ring = std::make_shared<DramRing>(input->value_bytes());
  for (const ProfileChoice& choice : profiles) trials.push_back(profile_trial(*input, choice.profile));
  report.ideal_bits_per_symbol = add_coders(*input, ring, trials);
  add_pages(*input, own_choice, ring, trials);
  for (const ProfileChoice& choice : profiles) {
    if (!choice.profile.calibrated()) continue;
    trials.push_back(page_trial(std::string(choice.profile.name()), "calibrated: keys turned as well", *input,
                                choice.profile, plane_path(choice.model.get()), ring));
  }
  for (const double bits : {1.0, 2.0, 3.0, 4.0}) {
    for (const uint32_t classes : {1u, kRansSegmentsMax}) trials.push_back(alphabet_trial(bits, classes));
  }
  report.rows = run_rounds(trials, options.repetitions);
  return report;
}

int run_bench(const BenchOptions& options) {
  const BenchReport report = run_trials(options);
  show_report(options.json, bench_json(report), [&] { print_bench(report, stdout); });
  if (!options.plot.empty()) write_text(options.plot, bench_svg(report));
  return 0;
}

}  // namespace

Command add_bench_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("bench", "Measure this machine");
  app->footer(kGroupFooter);
  return {app, [app] {
            fmt::print("{}", app->help());
            return 2;
          }};
}

Command add_codec_bench_command(CLI::App& bench) {
  CLI::App* app = bench.add_subcommand("codec", "Rates and sizes of the codec and its peers");
  app->footer(kFooter);
  const auto options = std::make_shared<BenchOptions>();
  add_dump_options(*app, options->dump);
  app->add_option("--profiles", options->profiles, "profiles to measure, with commas between; all without")
      ->delimiter(',')
      ->type_name("NAMES");
  add_chunk_tokens_option(*app, options->dump);
  add_repetitions_option(*app, options->repetitions, "rounds, beside one to warm up");
  add_core_option(*app, options->core);
  app->add_option("--simd", options->simd,
                  "at most these instructions for our kernels: AVX2, SSE4, ...; best without");
  add_json_option(*app, options->json);
  app->add_option("--plot", options->plot, "also draw the coders' rates")->type_name("FILE.svg");
  return {app, [options] { return run_bench(*options); }};
}

}  // namespace shadowserve
