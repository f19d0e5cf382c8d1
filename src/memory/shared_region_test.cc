// Tests of shared regions: two mappings see the same bytes; descriptors a peer could shrink are refused.
#include "memory/shared_region.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace shadowserve {
namespace {

TEST(SharedRegion, TwoMappingsSeeTheSameBytes) {
  auto mine = SharedRegion::create("test", 10'000);
  ASSERT_TRUE(mine);
  EXPECT_GE(mine->size(), 10'000u);
  auto theirs = SharedRegion::map(dup(mine->fd()), 10'000);
  ASSERT_TRUE(theirs);
  mine->data()[9'999] = std::byte{42};
  EXPECT_EQ(theirs->data()[9'999], std::byte{42});
}

TEST(SharedRegion, RefusesWhatAPeerCouldShrinkUnderUs) {
  const int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(fd, 8192), 0);
  const auto mapped = SharedRegion::map(fd, 8192);
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error(), Error::kConfig);
}

TEST(SharedRegion, RefusesOneThatIsSmallerThanAnnounced) {
  auto mine = SharedRegion::create("test", 4096);
  ASSERT_TRUE(mine);
  EXPECT_FALSE(SharedRegion::map(dup(mine->fd()), 8192));
  EXPECT_NE(ftruncate(mine->fd(), 0), 0) << "sealed";
}

}  // namespace
}  // namespace shadowserve
