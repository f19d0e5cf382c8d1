// Staging memory where a way of moving wants it.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gpu/device_image.h"
#include "kernels/paged_mover.h"
#include "memory/shared_region.h"

namespace shadowserve {

inline const auto kPagedWays = testing::Values(PagedWay::kKernel, PagedWay::kCopies);
inline std::string name_of_way(const testing::TestParamInfo<PagedWay>& way) {
  return way.param == PagedWay::kKernel ? "Kernel" : "Copies";
}

class TestStaging {
 public:
  static TestStaging of(const std::vector<std::byte>& values, PagedWay way) {
    TestStaging staging;
    if (way == PagedWay::kKernel) {
      staging.gpu_ = on_device(values);
      return staging;
    }
    auto region = SharedRegion::create("test-staging", values.size());
    EXPECT_TRUE(region);
    staging.host_ = std::move(*region);
    auto registered = RegisteredMemory::create(staging.host_.span());
    EXPECT_TRUE(registered);
    staging.registered_ = std::move(*registered);
    staging.bytes_ = values.size();
    staging.write(values);
    return staging;
  }

  std::span<std::byte> span() const {
    return host_ ? host_.span().first(bytes_) : std::span(gpu_.data(), gpu_.size());
  }
  std::vector<std::byte> read() const {
    return host_ ? std::vector<std::byte>(span().begin(), span().end()) : from_device(gpu_);
  }
  void write(const std::vector<std::byte>& values) {
    ASSERT_EQ(values.size(), span().size());
    if (host_) {
      std::copy(values.begin(), values.end(), span().begin());
      return;
    }
    ASSERT_EQ(cudaMemcpy(gpu_.data(), values.data(), values.size(), cudaMemcpyHostToDevice), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  }

 private:
  DeviceMemory gpu_;
  SharedRegion host_;
  RegisteredMemory registered_;  // goes before the region
  size_t bytes_ = 0;
};

}  // namespace shadowserve
