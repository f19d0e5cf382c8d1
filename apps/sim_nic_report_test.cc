// Tests of what a study says: which rows rest on what, and what is left of them without interference.
#include "sim_nic_report.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace shadowserve {
namespace {

nic::ServingPoint point(double cachegen_tpot_ms) {
  nic::ServingPoint made;
  made.link_gbit_s = 20;
  made.output_tokens = 32;
  for (const double off : {-0.1, 0.0, 0.1}) {
    made.cachegen.push_back({.ttft_ms = 100, .tpot_ms = cachegen_tpot_ms + off});
    made.shadowserve.push_back({.ttft_ms = 100, .tpot_ms = 10});
  }
  made.cachegen_full.requests_per_s = made.shadowserve_full.requests_per_s = 1;
  return made;
}

nic::Study made_up_study() {
  nic::Study study;
  study.fit = {37.3, 57};
  study.serving = {point(12.5)};
  study.quiet = {point(10)};
  study.paper = nic::beside_the_paper(study.serving, study.quiet, 32);
  study.paper.insert(
      study.paper.begin(),
      {"receiving alone, Gbit/s", 37.3, {37.3, 37.3, 37.3}, std::nullopt, nic::kNetworkRate, true});
  return study;
}

nlohmann::ordered_json row(const nlohmann::ordered_json& made, std::string_view begins) {
  for (const auto& one : made["paper"]) {
    if (one["what"].get<std::string>().starts_with(begins)) return one;
  }
  return {};
}

TEST(NicReport, JsonSaysWhatEachRowRestsOn) {
  const auto made = study_json(made_up_study(), "test");
  EXPECT_TRUE(made["from_the_paper"]["pipeline_rate"]["fitted"]);
  EXPECT_FALSE(made["from_the_paper"]["interference"]["fitted"]);
  EXPECT_FALSE(made["from_the_paper"]["gpu_rate"]["fitted"]);
  const auto fitted = row(made, "receiving alone"), tpot = row(made, "loaded TPOT");
  EXPECT_EQ(fitted["rests_on"], nlohmann::json({"network_rate"}));
  EXPECT_TRUE(fitted["without_interference"].is_null()) << "nothing there interferes";
  EXPECT_EQ(tpot["rests_on"], nlohmann::json({"pipeline_rate", "interference", "gpu_rate"}));
  EXPECT_NEAR(tpot["here"]["median"], 0.8, 1e-9);
  EXPECT_LT(tpot["here"]["least"], tpot["here"]["median"]);
  EXPECT_TRUE(tpot["within_15_percent"]);
  EXPECT_NEAR(tpot["without_interference"], 1, 1e-9) << "negative control: nothing is left";
}

TEST(NicReport, TheTableHasTheNegativeControlBesideIt) {
  char* text = nullptr;
  size_t bytes = 0;
  std::FILE* out = open_memstream(&text, &bytes);
  print_study(made_up_study(), out);
  std::fclose(out);
  const std::string table(text, bytes);
  std::free(text);
  EXPECT_NE(
      table.find("Four numbers come from the paper: two rates are fitted, the interference factor and the "
                 "GPU's decompression rate are put in"),
      std::string::npos);
  EXPECT_NE(table.find("0.80 (0.79-0.81)     1.00  bcd  within 15 %"), std::string::npos) << table;
  EXPECT_EQ(table.find("Everything below is prediction"), std::string::npos);
}

}  // namespace
}  // namespace shadowserve
