// Keeps the lanes of the Deflate decoder filled from its queue; whatever they cannot decode goes the common
// way.
#include "codec/host_inflate_engine.h"

namespace shadowserve {

Result<void> HostInflateEngine::submit(const InflateTask& task) {
  if (end_ - first_ == kDepth) return fail(Error::kNoCapacity);
  entry(end_++) = {task, {task.coded, task.symbols, DeflateStream::State::kWaiting}, false, Error::kNone};
  return {};
}

size_t HostInflateEngine::poll(std::span<InflateDone> out) {
  if (first_ == end_) return 0;
  work();
  size_t count = 0;
  for (; count < out.size() && first_ != next_ && settle(entry(first_)); ++first_) {
    out[count++] = {entry(first_).task.ticket, entry(first_).error};
  }
  return count;
}

/// Frames of a part are of one size and end together: two turns of three lanes are faster than four,
/// then two.
size_t HostInflateEngine::lanes_for(size_t waiting) {
  const size_t turns = (waiting + kStreamLanes - 1) / kStreamLanes;
  return (waiting + turns - 1) / turns;
}

/// One bounded piece of it.
void HostInflateEngine::work() {
  if (streams_.running() == 0 && next_ != end_) lanes_ = lanes_for(end_ - next_);
  while (next_ != end_ && streams_.running() < lanes_) {
    if (!start_next()) return;
  }
  if (streams_.running() != 0) streams_.run(kPollBytes);
}

/// False when that was a piece of work by itself.
bool HostInflateEngine::start_next() {
  Entry& next = entry(next_++);
  const bool is_deflate = static_cast<CoderId>(next.task.coder) == CoderId::kDeflate;
  // A stream without company is faster in the general decoder.
  const bool has_company = streams_.running() != 0 || next_ != end_;
  if (is_deflate && has_company) {
    streams_.start(next.stream);
    return true;
  }
  decode_alone(next);
  return false;
}

void HostInflateEngine::decode_alone(Entry& entry) {
  const auto coder = static_cast<CoderId>(entry.task.coder);
  const auto decoded = workspace_.decode(coder, entry.task.coded, entry.task.symbols);
  entry.error = decoded ? Error::kNone : decoded.error();
  entry.done = true;
}

/// True when the entry has its result. Streams that the lanes gave up get theirs here: it is the general
/// decoder that says what is malformed.
bool HostInflateEngine::settle(Entry& entry) {
  if (entry.stream.state == DeflateStream::State::kDecoded) return true;
  if (entry.stream.state == DeflateStream::State::kNotDecoded && !entry.done) decode_alone(entry);
  return entry.done;
}

}  // namespace shadowserve
