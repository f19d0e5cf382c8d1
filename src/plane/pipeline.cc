// Wires stages and pipes. Everything here happens before the threads start.
#include "plane/pipeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/cuda_copy_engine.h"

namespace shadowserve {

Result<std::unique_ptr<Pipeline>> Pipeline::create(const PipelineOptions& options, StoreBackend& backend,
                                                   const Clock& clock, std::span<Session> sessions,
                                                   std::string& message) {
  if (options.fetch_slots == 0 || options.save_slots == 0) {
    message = "the plane needs at least one slot for fetching and one for saving";
    return fail(Error::kConfig);
  }
  auto slots = SlotPool::create(options.fetch_slots, options.save_slots);
  if (!slots) {
    message = fmt::format("no memory for {} slots: lower --slots", options.fetch_slots + options.save_slots);
    return fail(slots.error());
  }
  if (options.pin_memory) slots->pin();
  std::unique_ptr<Pipeline> pipeline(new Pipeline(std::move(*slots), clock));
  const auto open = [&](std::unique_ptr<RecordStore>& client, uint32_t depth) -> Result<void> {
    auto opened = backend.client(clock, depth);
    if (!opened) return fail(opened.error());
    client = std::move(*opened);
    return {};
  };
  // A client each, so that a lookup never waits behind bulk data, nor a fetch behind a save.
  const auto opened = open(pipeline->fetch_store_, options.fetch_slots)
                          .and_then([&] { return open(pipeline->save_store_, options.save_slots); })
                          .and_then([&] { return open(pipeline->lookup_store_, LookupStage::kDepth); });
  if (!opened) {
    message =
        fmt::format("cannot open a client of {}: {}", backend.describe(), error_sentence(opened.error()));
    return fail(opened.error());
  }
  pipeline->wire(options, sessions);
  return pipeline;
}

void Pipeline::wire(const PipelineOptions& options, std::span<Session> sessions) {
  const size_t loop_count = options.cores.empty() ? 1 : options.cores.size();
  for (size_t i = 0; i < loop_count; ++i) {
    const int core = options.cores.empty() ? -1 : options.cores[i];
    loops_.push_back(
        std::make_unique<StageLoop>(fmt::format("ss-plane-{}", i), core, options.spin_us, clock_));
  }
  StageLoop& first = *loops_.front();
  const auto pipe = [&](Doorbell& consumer) -> Pipe& {
    return *pipes_.emplace_back(std::make_unique<Pipe>(slots_.size(), consumer));
  };

  Pipe& to_receive = pipe(first.doorbell());
  receive_ = std::make_unique<ReceiveStage>(slots_, clock_, *fetch_store_);
  receive_->add_input(to_receive);
  send_ = std::make_unique<SendStage>(slots_, clock_, *save_store_);
  reply_ = std::make_unique<ReplyStage>(clock_, slots_, funnels_);
  lookup_ = std::make_unique<LookupStage>(clock_, *lookup_store_, funnels_.lookup);

  // The first loop's own stages come before a lane that shares its thread: the wire is served first.
  for (Stage* stage : {static_cast<Stage*>(reply_.get()), static_cast<Stage*>(lookup_.get()),
                       static_cast<Stage*>(receive_.get()), static_cast<Stage*>(send_.get())}) {
    first.add(*stage);
  }
  for (const auto& loop : loops_) {
    Lane& lane = *lanes_.emplace_back(std::make_unique<Lane>(slots_, clock_, *loop, options.separate_stages));
    receive_->add_output(lane.to_decompress);
    receive_->add_lane(lane.speed());
    if (loop_count == 1 || loop.get() != &first) to_collect_.push_back(&lane.to_collect);
    Pipe& fetched = pipe(first.doorbell());
    lane.add_fetched(fetched);
    reply_->add_input(fetched);
    Pipe& compressed = pipe(first.doorbell());
    lane.add_compressed(compressed);
    send_->add_input(compressed);
  }
  Pipe& sent = pipe(first.doorbell());
  send_->add_output(sent);
  reply_->add_input(sent);
  admit_ =
      std::make_unique<AdmitStage>(clock_, slots_, sessions, *lookup_, funnels_, to_receive, to_collect_);
  first.add(*admit_);
}

uint64_t Pipeline::fetch_bytes_moved() const {
  uint64_t moved = receive_->counters().bytes_moved.read();
  for (const auto& lane : lanes_) moved += lane->fetch_bytes_moved();
  return moved;
}

Result<void> Pipeline::prepare_device(int device, std::string& message) {
  message = fmt::format("the data plane cannot use GPU {} (it sees {})", device, gpu_count());
  if (device < 0 || device >= std::min(gpu_count(), kDevicesMax)) return fail(Error::kConfig);
  if (lanes_.back()->collect_engines.at(device) != nullptr) return {};  // adopted last
  if (registered_.span().empty()) {
    auto registered = RegisteredMemory::create(slots_.memory());
    if (!registered) return fail(registered.error());
    registered_ = std::move(*registered);
  }
  for (const auto& lane : lanes_) {
    for (CopyEngines* engines : {&lane->deliver_engines, &lane->collect_engines}) {
      auto engine = CudaCopyEngine::create(device, registered_);
      if (!engine) return fail(engine.error());
      engines->adopt(device, std::move(*engine));
    }
  }
  return {};
}

Pipeline::~Pipeline() { stop(); }

void Pipeline::start() {
  for (auto& loop : loops_) loop->start();
}

void Pipeline::stop() {
  for (auto& loop : loops_) loop->stop();
}

uint32_t Pipeline::step_once() {
  uint32_t moved = 0;
  for (auto& loop : loops_) moved += loop->step_once();
  return moved;
}

}  // namespace shadowserve
