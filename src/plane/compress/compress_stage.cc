// Codes the frames and seals the record.
#include "plane/compress/compress_stage.h"

#include "plane/session.h"

namespace shadowserve {

void CompressStage::begin(Slot& slot) {
  const Session& session = *slot.session;
  const auto bytes = compress_part(slot.plan, session.profile(), slot.request.key, session.seal_kind(),
                                   session.seal(), slot.symbols, slot.scales, workspace_, slot.record);
  if (!bytes) {
    finish(slot, bytes.error());
    return;
  }
  slot.record_bytes = *bytes;
  counters_.bytes_in.add(slot.shape.value_bytes());
  counters_.bytes_out.add(*bytes);
  finish(slot);
}

}  // namespace shadowserve
