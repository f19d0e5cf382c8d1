// Tests of the fit to the paper's two points.
#include "sim/nic/nic_models.h"

#include <gtest/gtest.h>

#include "sim/nic/sim_records.h"

namespace shadowserve::nic {
namespace {

TEST(NicModels, TheFitReproducesBothPointsOfThePaper) {
  const RecordSet records = sample_records("cachegen+deflate");
  std::string message;
  constexpr uint64_t kParts = 300;
  const auto fit = fit_to_paper(records, kParts, message);
  ASSERT_TRUE(fit) << message;
  const auto rate_of = [&](const NicMachine& machine) {
    const auto outcome = simulate_fetches(machine, records, steady_plan(machine, 200, kParts), message);
    EXPECT_TRUE(outcome) << message;
    return outcome ? outcome->wire_gbit_s : 0;
  };
  const NicMachine machine = bluefield3(*fit, records, NicWay::kEngines);
  EXPECT_NEAR(rate_of(machine), kPaperPipelineGbit, 0.01 * kPaperPipelineGbit);
  EXPECT_NEAR(rate_of(only_receiving(machine)), kPaperAloneGbit, 0.01 * kPaperAloneGbit);

  NicFit ample = *fit;
  ample.memory_gb_s *= 4;
  EXPECT_GT(rate_of(bluefield3(ample, records, NicWay::kEngines)), 1.3 * kPaperPipelineGbit)
      << "negative control: it is memory that is missing";
  NicFit wide = *fit;
  wide.network_gbit_s *= 4;
  EXPECT_GT(rate_of(only_receiving(bluefield3(wide, records, NicWay::kEngines))), 1.3 * kPaperAloneGbit)
      << "negative control: alone it is the network";
}

TEST(NicModels, NothingComesFasterThanItsLink) {
  const RecordSet records = sample_records("kv4+packed");
  constexpr uint64_t kParts = 400;
  constexpr NicFit kFit{0, 57.5};
  for (const auto& make : {bluefield3, bluefield4}) {
    const NicMachine machine = make(kFit, records, NicWay::kOnePassCached);
    double slower = 0;
    for (const double link : {20.0, 40.0, 400.0}) {
      std::string message;
      const auto outcome = simulate_fetches(machine, records, steady_plan(machine, link, kParts), message);
      ASSERT_TRUE(outcome) << message;
      EXPECT_LE(outcome->wire_gbit_s, link * (1 + 1e-9)) << machine.name << " behind " << link;
      EXPECT_GE(outcome->wire_gbit_s, 0.99 * slower) << machine.name << ": a faster link brings no less";
      if (link <= 40) {
        EXPECT_GE(outcome->wire_gbit_s, 0.99 * link) << "negative control: and hardly slower";
      }
      slower = outcome->wire_gbit_s;
    }
  }
}

}  // namespace
}  // namespace shadowserve::nic
