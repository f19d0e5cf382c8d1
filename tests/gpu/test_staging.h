// Staging memory where a way of moving wants it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gpu/device_image.h"
#include "kernels/paged_mover.h"
#include "kernels/staging_memory.h"

namespace shadowserve {

inline const auto kPagedWays = testing::Values(PagedWay::kKernel, PagedWay::kCopies);
inline std::string name_of_way(const testing::TestParamInfo<PagedWay>& way) {
  return way.param == PagedWay::kKernel ? "Kernel" : "Copies";
}

class TestStaging {
 public:
  static TestStaging of(const std::vector<std::byte>& values, PagedWay way) {
    TestStaging staging;
    staging.memory_ = StagingMemory::take({0, way == PagedWay::kKernel}, values.size());
    EXPECT_TRUE(staging.memory_);
    staging.bytes_ = values.size();
    staging.write(values);
    return staging;
  }

  std::span<std::byte> span() const { return memory_->span().first(bytes_); }
  std::vector<std::byte> read() const {
    std::vector<std::byte> values(bytes_);
    copy(values.data(), span().data());
    return values;
  }
  void write(const std::vector<std::byte>& values) {
    ASSERT_EQ(values.size(), bytes_);
    copy(span().data(), values.data());
  }

 private:
  // Between any two kinds of memory; behind it the bytes are there, for streams that do not block as well.
  void copy(std::byte* to, const std::byte* from) const {
    EXPECT_EQ(cudaMemcpy(to, from, bytes_, cudaMemcpyDefault), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  }

  std::shared_ptr<const StagingMemory> memory_;
  size_t bytes_ = 0;
};

}  // namespace shadowserve
