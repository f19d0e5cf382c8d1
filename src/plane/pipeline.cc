// Wires stages and pipes. Everything here happens before the threads start.
#include "plane/pipeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/cuda_copy_engine.h"

namespace shadowserve {
namespace {

size_t loop_count(const PipelineOptions& options) { return options.cores.empty() ? 1 : options.cores.size(); }

}  // namespace

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
  // Clients of their own, so that a lookup never waits behind bulk data, nor a fetch behind a save. And one
  // for each lane: a store answers one connection with one of its threads, and a lane receives with its own.
  Clients fetch_stores(loop_count(options));
  Result<void> opened;
  for (auto& client : fetch_stores)
    opened = opened.and_then([&] { return open(client, options.fetch_slots); }).map([&] {
      if (options.pin_memory) client->use_memory(pipeline->slots_.memory());
    });
  opened = opened.and_then([&] { return open(pipeline->save_store_, options.save_slots); }).and_then([&] {
    return open(pipeline->lookup_store_, LookupStage::kDepth);
  });
  if (!opened) {
    message =
        fmt::format("cannot open a client of {}: {}", backend.describe(), error_sentence(opened.error()));
    return fail(opened.error());
  }
  if (const auto made = pipeline->open_engines(options, fetch_stores.size(), message); !made) {
    return fail(made.error());
  }
  pipeline->wire(options, std::move(fetch_stores), sessions);
  return pipeline;
}

Result<void> Pipeline::open_engines(const PipelineOptions& options, size_t loops, std::string& message) {
  constexpr std::string_view kBluefield = "bluefield";
  if (options.engines == "host") return {};
  if (!options.engines.starts_with(kBluefield)) {
    message = fmt::format("there are no engines called \"{}\"", options.engines);
    return fail(Error::kConfig);
  }
  const size_t at = options.engines.find('@');
  const std::string address = at == std::string::npos ? "" : options.engines.substr(at + 1);
  auto engines = BluefieldEngines::create(address, slots_.memory(), loops, message);
  if (!engines) return fail(engines.error());
  bluefield_ = std::move(*engines);
  return {};
}

void Pipeline::wire(const PipelineOptions& options, Clients fetch_stores, std::span<Session> sessions) {
  const bool separate_stages = options.separate_stages || bluefield_ != nullptr;
  for (size_t i = 0; i < fetch_stores.size(); ++i) {
    const int core = options.cores.empty() ? -1 : options.cores[i];
    loops_.push_back(
        std::make_unique<StageLoop>(fmt::format("ss-plane-{}", i), core, options.spin_us, clock_));
  }
  StageLoop& first = *loops_.front();
  const auto pipe = [&](Doorbell& consumer) -> Pipe& {
    return *pipes_.emplace_back(std::make_unique<Pipe>(slots_.size(), consumer));
  };

  send_ = std::make_unique<SendStage>(slots_, clock_, *save_store_);
  reply_ = std::make_unique<ReplyStage>(clock_, slots_, funnels_, ledger_);
  lookup_ = std::make_unique<LookupStage>(clock_, *lookup_store_, funnels_.lookup);

  // The first loop's own stages come before a lane that shares its thread.
  for (Stage* stage : {static_cast<Stage*>(reply_.get()), static_cast<Stage*>(lookup_.get()),
                       static_cast<Stage*>(send_.get())}) {
    first.add(*stage);
  }
  for (size_t i = 0; i < loops_.size(); ++i) {
    const DeviceEngines device = options.device_engines ? options.device_engines(i)
                                 : bluefield_           ? bluefield_->lane(i)
                                                        : DeviceEngines{};
    Lane& lane = *lanes_.emplace_back(std::make_unique<Lane>(
        slots_, clock_, *loops_[i], std::move(fetch_stores[i]), separate_stages, device));
    ledger_.add(lane.speed());
    to_receive_.push_back(&lane.to_receive);
    if (loops_.size() == 1 || i > 0) to_collect_.push_back(&lane.to_collect);
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
  admit_ = std::make_unique<AdmitStage>(clock_, slots_, sessions, *lookup_, funnels_, ledger_, to_receive_,
                                        to_collect_);
  first.add(*admit_);
}

uint64_t Pipeline::fetch_bytes_moved() const {
  uint64_t moved = 0;
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
