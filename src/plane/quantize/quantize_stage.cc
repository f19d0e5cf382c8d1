// Runs the codec's quantizer on the whole part.
#include "plane/quantize/quantize_stage.h"

#include "plane/session.h"

namespace shadowserve {

void QuantizeStage::begin(Slot& slot) {
  const auto values = slot.values.first(slot.shape.value_bytes());
  const auto done =
      quantize_part(slot.session->profile(), slot.shape, values, slot.symbols, slot.scales, slot.plan);
  counters_.bytes_in.add(values.size());
  counters_.bytes_out.add(slot.plan.scale_bytes);
  finish(slot, done ? Error::kNone : done.error());
}

}  // namespace shadowserve
