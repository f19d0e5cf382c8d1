// Traces of both shapes are read, and what is wrong is named with its line.
#include "sim/fleet/fleet_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace shadowserve::fleet {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kGood =
    R"({"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": [1, 2]})";

tl::expected<Trace, std::string> read(const std::string& text) {
  std::istringstream in(text);
  return read_trace(in, 512);
}

TEST(FleetTrace, ReadsBlocks) {
  const auto trace = read(
      std::string(kGood) + "\n\n" +
      R"({"timestamp": 1500, "input_length": 512, "output_length": 9, "hash_ids": [7], "more": "ignored"})");
  ASSERT_TRUE(trace) << trace.error();
  ASSERT_EQ(trace->requests.size(), 2u);
  EXPECT_EQ(trace->requests[1].arrival_ns, 1'500'000'000);
  EXPECT_EQ(trace->requests[1].input_tokens, 512u);
  EXPECT_EQ(trace->requests[1].output_tokens, 9u);
  EXPECT_EQ(trace->requests[1].first_block, 2u);
  EXPECT_EQ(trace->requests[1].blocks, 1u);
  EXPECT_THAT(trace->block_ids, testing::ElementsAre(1, 2, 7));
}

TEST(FleetTrace, ReadsConversations) {
  const auto trace =
      read("arrival_s,conversation,input_tokens,output_tokens\r\n0.5,3,100,20\r\n2,4,50,1\r\n");
  ASSERT_TRUE(trace) << trace.error();
  ASSERT_EQ(trace->requests.size(), 2u);
  EXPECT_EQ(trace->requests[0].arrival_ns, 500'000'000);
  EXPECT_EQ(trace->requests[0].conversation, 3u);
  EXPECT_EQ(trace->requests[1].blocks, 0u);
}

TEST(FleetTrace, NamesTheLineThatIsMalformed) {
  const char* bad[] = {
      "{",
      "[]",
      "null",
      R"({"input_length": 1000, "output_length": 5, "hash_ids": [1, 2]})",
      R"({"timestamp": "0", "input_length": 1000, "output_length": 5, "hash_ids": [1, 2]})",
      R"({"timestamp": -1, "input_length": 1000, "output_length": 5, "hash_ids": [1, 2]})",
      R"({"timestamp": 1e300, "input_length": 1000, "output_length": 5, "hash_ids": [1, 2]})",
      R"({"timestamp": 0, "input_length": -1000, "output_length": 5, "hash_ids": [1, 2]})",
      R"({"timestamp": 0, "input_length": 0, "output_length": 5, "hash_ids": []})",
      R"({"timestamp": 0, "input_length": 1000, "output_length": 0, "hash_ids": [1, 2]})",
      R"({"timestamp": 0, "input_length": 1000, "output_length": 5.5, "hash_ids": [1, 2]})",
      R"({"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": [1]})",
      R"({"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": [1, "2"]})",
      R"({"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": 1})",
      R"({"timestamp": 0, "input_length": 99999999999, "output_length": 5, "hash_ids": [1, 2]})",
  };
  for (const char* line : bad) {
    const auto trace = read(std::string(kGood) + "\n" + line + "\n" + kGood);
    ASSERT_FALSE(trace) << line;
    EXPECT_THAT(trace.error(), StartsWith("line 2: ")) << line;
  }
  EXPECT_TRUE(read(std::string(kGood) + "\n" + kGood));  // the control
}

TEST(FleetTrace, NamesTheLineOfNumbersThatIsMalformed) {
  const std::string head = "arrival_s,conversation,input_tokens,output_tokens\n1,1,10,10\n";
  for (const char* line : {"x,1,10,10", "2,1,10", "2,1,10,10,10", "2,1,10,", "2,-1,10,10", "nan,1,10,10",
                           "0.5,1,10,10", "2,1,0,10", "2,1,10,1x"}) {
    const auto trace = read(head + line);
    ASSERT_FALSE(trace) << line;
    EXPECT_THAT(trace.error(), StartsWith("line 3: ")) << line;
  }
  EXPECT_TRUE(read(head + "2,1,10,10"));  // the control
}

TEST(FleetTrace, AnEmptyFileIsNoTrace) {
  EXPECT_THAT(read("").error(), HasSubstr("no request"));
  EXPECT_THAT(read("arrival_s,conversation,input_tokens,output_tokens\n").error(), HasSubstr("no request"));
}

}  // namespace
}  // namespace shadowserve::fleet
