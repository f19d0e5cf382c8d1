// Records written by earlier builds still open, decode to the same bytes, and are still what we would write.
#include <gtest/gtest.h>

#include "golden/golden_record.h"

namespace shadowserve {
namespace {

std::vector<std::byte> read_file(const std::string& name) {
  return read_golden_file(std::filesystem::path(SHADOWSERVE_GOLDEN_DIR) / name);
}

class Golden : public testing::TestWithParam<GoldenRecord> {};

TEST_P(Golden, Decodes) {
  const GoldenRecord& golden = GetParam();
  const auto record = read_file(std::string(golden.file) + ".rec");
  const GoldenProfile uses(golden, SHADOWSERVE_GOLDEN_DIR);
  const PartShape shape = golden_shape(golden);
  std::vector<std::byte> values(shape.value_bytes());
  const auto decoded = decode_part(record, shape, golden_key(golden), seal_key(golden_space(golden)), values,
                                   uses.model.get());
  ASSERT_TRUE(decoded) << error_name(decoded.error());
  EXPECT_EQ(values, read_file(std::string(golden.file) + ".values"));
}

TEST_P(Golden, EncodesTheSame) {
  const GoldenRecord& golden = GetParam();
  const auto record = read_file(std::string(golden.file) + ".rec");
  const GoldenProfile uses(golden, SHADOWSERVE_GOLDEN_DIR);
  const auto fresh = encode_golden(golden, uses.profile);
  if (is_reproducible(golden, uses.profile)) {
    EXPECT_EQ(fresh, record);
    return;
  }
  // Compressors may change from release to release; everything else in the frame table may not.
  RecordView was, is;
  ASSERT_TRUE(describe_record(record, was));
  ASSERT_TRUE(describe_record(fresh, is));
  ASSERT_EQ(was.frame_count(), is.frame_count());
  for (uint32_t i = 0; i < was.frame_count(); ++i) {
    FrameEntry entry = was.frame(i).entry;
    entry.coded_bytes = is.frame(i).entry.coded_bytes;
    entry.coder = is.frame(i).entry.coder;
    EXPECT_EQ(std::memcmp(&entry, &is.frame(i).entry, sizeof entry), 0);
    EXPECT_TRUE(std::equal(was.frame(i).scales.begin(), was.frame(i).scales.end(), is.frame(i).scales.begin(),
                           is.frame(i).scales.end()));
  }
}

std::string name_of(const testing::TestParamInfo<GoldenRecord>& info) {
  std::string name = info.param.file;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(EveryRecord, Golden, testing::ValuesIn(kGoldenRecords), name_of);

}  // namespace
}  // namespace shadowserve
