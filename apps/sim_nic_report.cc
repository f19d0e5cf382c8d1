// The study of SmartNICs for people and for programs.
#include "sim_nic_report.h"

#include <fmt/format.h>

namespace shadowserve {
namespace {

void print_fit(const nic::Study& study, std::FILE* out) {
  const nic::StudyOptions& options = study.options;
  fmt::print(
      out,
      "sim nic: the product's pipeline in virtual time on a model of a BlueField-3; {} on a model of an {}\n"
      "prompts of {:.0f} stored and {:.0f} new tokens; records of {}, {:.2f}x\n\n",
      options.llm.name, options.gpu.name, options.work.prefix_tokens, options.work.fresh_tokens,
      study.pipeline.profile, study.pipeline.ratio);
  fmt::print(
      out,
      "1. Four numbers come from the paper: two rates are fitted, the interference factor and the GPU's "
      "decompression rate are put in.\n"
      "   a  fitted: the network alone brings {:.1f} Gbit/s, for all lanes together\n"
      "   b  fitted: the whole pipeline does {:.1f} Gbit/s, so all stages share {:.1f} GB/s of memory\n"
      "   c  put in: decompression and decoding slow each other {} times\n"
      "   d  put in: an idle GPU decompresses {} Gbit/s of compressed bytes\n"
      "   All else is predicted from these and from assumptions of ours (docs/simulators/nic.md).\n",
      study.fit.network_gbit_s, nic::kPaperPipelineGbit, study.fit.memory_gb_s, options.interference,
      options.gpu_gbit_s);
}

void print_links(const nic::Study& study, std::FILE* out) {
  fmt::print(
      out, "\n2. The plane behind a link, Gbit/s of compressed bytes\n   {:>6} {:>8} {:>8} {:>9} {:>11} {}\n",
      "link", "fetched", "start ms", "mem GB/s", "mem is full", " slowest");
  for (const nic::PlanePoint& point : study.links) {
    fmt::print(out, "   {:>6.0f} {:>8.1f} {:>8.2f} {:>9.1f} {:>10.0f}%  {}\n", point.link_gbit_s,
               point.gbit_s, point.start_ms, point.memory_gb_s, 100 * point.memory_saturated, point.slowest);
  }
}

std::string spread(const nic::SeedSpread& of) {
  return fmt::format("{:.2f} ({:.2f}-{:.2f})", of.median, of.least, of.most);
}

void print_serving(const nic::Study& study, std::FILE* out) {
  fmt::print(
      out,
      "\n3. Engines. TTFT and TPOT in ms under Poisson arrivals at {:.0f} % of what the slower of both "
      "can do: the median of {} seeds\n   of {} requests, and of ratios the least and most of any seed; "
      "requests/s with all of them waiting.\n   CG: CacheGen-Async, SS: ShadowServe, RE: recomputing\n"
      "   {:>4} {:>6} {:>6} | {:>7} {:>6} {:>16} | {:>6} {:>5} {:>16} | {:>6} {:>6} {:>5} {:>6}\n",
      100 * study.options.load, study.options.seeds, study.options.work.requests, "link", "output", "req/s",
      "TTFT CG", "SS", "CG/SS", "TPOT C", "SS", "CG/SS", "req/sC", "SS", "RE", "SS/CG");
  for (const nic::ServingPoint& point : study.serving) {
    const auto both = [&](double nic::ServingOutcome::*value) {
      return std::pair(nic::median_of(point.cachegen, value), nic::median_of(point.shadowserve, value));
    };
    const auto [ttft_theirs, ttft_ours] = both(&nic::ServingOutcome::ttft_ms);
    const auto [tpot_theirs, tpot_ours] = both(&nic::ServingOutcome::tpot_ms);
    fmt::print(out,
               "   {:>4.0f} {:>6} {:>6.2f} | {:>7.0f} {:>6.0f} {:>16} | {:>6.1f} {:>5.1f} {:>16} | {:>6.2f} "
               "{:>6.2f} {:>5.2f} {:>6.2f}\n",
               point.link_gbit_s, point.output_tokens, point.requests_per_s, ttft_theirs, ttft_ours,
               spread(point.ttft_ratio()), tpot_theirs, tpot_ours, spread(point.tpot_ratio()),
               point.cachegen_full.requests_per_s, point.shadowserve_full.requests_per_s,
               point.recompute_full.requests_per_s, point.throughput_ratio());
  }
}

std::string letters(uint8_t rests_on) {
  std::string made;
  for (const nic::PaperInputName& one : nic::kPaperInputs) {
    if ((rests_on & one.input) != 0) made += one.letter;
  }
  return made;
}

void print_paper(const nic::Study& study, std::FILE* out) {
  fmt::print(
      out,
      "\n4. Beside the paper (arXiv 2509.16857): medians, and the least and most of any seed. Without: the "
      "same with an\n   interference of 1, a negative control: what matches only because of c does not "
      "match there. On: which of a-d a row rests on\n   {:70} {:>6} {:>20} {:>8}  {:4} \n",
      "", "paper", "here", "without", "on");
  for (const nic::PaperPoint& point : study.paper) {
    std::string verdict =
        fmt::format("NOT within 15 %: {:+.0f} %", 100 * (point.ours.median / point.paper - 1));
    if (point.near()) verdict = "within 15 %";
    if (point.bound) verdict = point.near() ? "the paper: above" : "NOT above";
    const bool same = point.ours.least == point.ours.most;
    fmt::print(out, "   {:70} {:>6.2f} {:>20} {:>8}  {:4} {}\n", point.what, point.paper,
               same ? fmt::format("{:.2f}", point.ours.median) : spread(point.ours),
               point.without ? fmt::format("{:.2f}", *point.without) : "", letters(point.rests_on),
               point.fitted ? "fitted" : verdict);
  }
}

void print_what_ifs(const nic::Study& study, std::FILE* out) {
  fmt::print(out,
             "\n5. What else would change, were the network as fast as the link: Gbit/s of compressed bytes, "
             "and GB/s of "
             "values in the engine's memory\n");
  std::string last;
  for (const nic::PlanePoint& point : study.what_ifs) {
    const std::string name = fmt::format("{}; {} {:.2f}x", point.machine, point.profile, point.ratio);
    if (name != last) fmt::print(out, "{}   {:62}", last.empty() ? "" : "\n", name);
    last = name;
    fmt::print(out, " | {:>3.0f}: {:>5.1f} {:>5.1f} {:9.9}", point.link_gbit_s, point.gbit_s,
               point.values_gb_s, point.slowest);
  }
  fmt::print(out, "\n");
}

}  // namespace

void print_study(const nic::Study& study, std::FILE* out) {
  print_fit(study, out);
  print_links(study, out);
  print_serving(study, out);
  print_paper(study, out);
  print_what_ifs(study, out);
}

}  // namespace shadowserve
