// Floats that begin on a cache line: a vector that crosses one costs two loads.
#pragma once

#include <cstddef>
#include <vector>

namespace shadowserve {

class AlignedFloats {
 public:
  explicit AlignedFloats(size_t count = 0) { resize(count); }
  void resize(size_t count) { lines_.resize((count + kLineFloats - 1) / kLineFloats); }
  float* data() { return lines_.empty() ? nullptr : lines_.front().floats; }
  const float* data() const { return lines_.empty() ? nullptr : lines_.front().floats; }
  float& operator[](size_t index) { return lines_[index / kLineFloats].floats[index % kLineFloats]; }

 private:
  static constexpr size_t kLineFloats = 16;
  struct alignas(64) Line {
    float floats[kLineFloats];
  };
  std::vector<Line> lines_;
};

}  // namespace shadowserve
