// A made-up part that is unpacked for nothing but the time it takes.
#pragma once

#include <vector>

#include "codec/frame_decoder.h"

namespace shadowserve {

/// Bell-shaped noise of one strength, the same every time: what matters for speed is that symbols have a KV
/// cache's entropy. One thread; allocates.
class LaneSample {
 public:
  explicit LaneSample(const PartShape& shape);

  size_t value_bytes() const { return values_.size(); }
  /// Makes the record that unpack() reads, with the profile's model. False when a record has no room for what
  /// `profile` makes of it.
  bool encode(const Profile& profile);
  /// What a lane does with a record that came: opens it and decodes every frame past the caches into
  /// `values`, which is value_bytes() long. False when it cannot be read. REQUIRES that encode() was true.
  bool unpack(FrameDecoder& decoder, std::span<std::byte> values);

 private:
  PartShape shape_;
  std::vector<std::byte> values_, record_;
  size_t record_bytes_ = 0;
  RecordView view_;
  const CalibratedModel* model_ = nullptr;
};

}  // namespace shadowserve
