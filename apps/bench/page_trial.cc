// From opened records to values in DRAM: the part of a fetch that keeps a core busy.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "bench/bench_trials.h"
#include "bench/decode_check.h"
#include "codec/codec.h"
#include "command.h"

namespace shadowserve {
namespace {

constexpr size_t kCachesBeyond = 4;  // times the last-level cache: nothing of the last round is left in it
constexpr size_t kCacheUnknown = 64u << 20;
constexpr size_t kCacheLine = 64;

class PageTrial final : public Trial {
 public:
  PageTrial(std::string name, std::string note, BenchInput& input, const Profile& profile,
            std::unique_ptr<PagePath> path, std::shared_ptr<DramRing> ring)
      : input_(input), profile_(profile), path_(std::move(path)), ring_(std::move(ring)) {
    row.table = kPageTable;
    row.name = std::move(name);
    row.note = std::move(note);
    std::vector<std::byte> record(kRecordBytesMax);
    const ChunkKey key{}, seal{};
    records_.resize(input.parts());
    views_.resize(input.parts());
    for (uint32_t part = 0; part < input.parts(); ++part) {
      const PartShape shape = input.part(part);
      const auto size =
          encode_part(profile, shape, key, seal_kind_of(seal), seal, input.values(part), record);
      if (!size) throw StartError(fmt::format("{}: a part does not fit a record", row.name));
      // Vector code of a decoder may read whole registers, as it may in a slot.
      records_[part].resize(*size + kRegionSlack);
      std::memcpy(records_[part].data(), record.data(), *size);
      if (!open_record(std::span(records_[part]).first(*size), shape, key, seal, views_[part])) {
        throw WrongDecode(fmt::format("{}: a record made just now cannot be read", row.name));
      }
      path_->prepare(views_[part]);
    }
  }

  void repeat(bool counted) override {
    const auto destination = ring_->take(input_.value_bytes());
    Stopwatch all;
    bool done = true;
    all.start();
    size_t at = 0;
    for (uint32_t part = 0; part < views_.size(); ++part) {
      const size_t bytes = views_[part].shape().value_bytes();
      done = path_->deliver(part, views_[part], destination.subspan(at, bytes)) && done;
      at += bytes;
    }
    all.stop();
    if (!done) throw WrongDecode(fmt::format("{}: a record could not be decoded", row.name));
    expect_same(row.name, "the delivered values", input_.expected(profile_), destination);
    // The ring comes round: right values of an earlier round must not cover for ones that are not written.
    std::memset(destination.data(), 0xff, destination.size());
    if (counted) add_rate("gb_s", static_cast<double>(input_.value_bytes()), all.seconds());
  }

 private:
  BenchInput& input_;
  Profile profile_;
  std::unique_ptr<PagePath> path_;
  std::shared_ptr<DramRing> ring_;
  std::vector<std::vector<std::byte>> records_;
  std::vector<RecordView> views_;
};

class PageCopyTrial final : public Trial {
 public:
  PageCopyTrial(const BenchInput& input, std::shared_ptr<DramRing> ring)
      : input_(input), ring_(std::move(ring)) {
    row.table = kPageTable;
    row.name = kMemcpyName;
    row.note = "values from a slot in the cache, nothing else: the limit";
  }
  void repeat(bool counted) override {
    const auto destination = ring_->take(input_.value_bytes());
    Stopwatch copy;
    copy.start();
    size_t at = 0;
    for (uint32_t part = 0; part < input_.parts(); ++part) {
      const size_t bytes = input_.part(part).value_bytes();
      std::memcpy(destination.data() + at, slot_.data(), bytes);
      at += bytes;
    }
    copy.stop();
    if (counted) add_rate("gb_s", static_cast<double>(input_.value_bytes()), copy.seconds());
  }

 private:
  const BenchInput& input_;
  std::shared_ptr<DramRing> ring_;
  std::vector<std::byte> slot_{std::vector<std::byte>(kPartValueBytesMax, std::byte{0x5a})};
};

}  // namespace

DramRing::DramRing(size_t bytes) {
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const size_t beyond = kCachesBeyond * (cache > 0 ? static_cast<size_t>(cache) : kCacheUnknown);
  const size_t size = std::max(bytes, beyond);
  storage_.assign(size + kCacheLine, std::byte{0});
  const auto start = reinterpret_cast<uintptr_t>(storage_.data());
  memory_ = std::span(storage_).subspan((kCacheLine - start % kCacheLine) % kCacheLine, size);
}

std::span<std::byte> DramRing::take(size_t size) {
  if (size > memory_.size() - at_) at_ = 0;
  const auto taken = memory_.subspan(at_, size);
  at_ = std::min(at_ + (size + kCacheLine - 1) / kCacheLine * kCacheLine, memory_.size());
  return taken;
}

std::unique_ptr<Trial> page_trial(std::string name, std::string note, BenchInput& input,
                                  const Profile& profile, std::unique_ptr<PagePath> path,
                                  std::shared_ptr<DramRing> ring) {
  return std::make_unique<PageTrial>(std::move(name), std::move(note), input, profile, std::move(path),
                                     std::move(ring));
}

std::unique_ptr<Trial> page_copy_trial(const BenchInput& input, std::shared_ptr<DramRing> ring) {
  return std::make_unique<PageCopyTrial>(input, std::move(ring));
}

}  // namespace shadowserve
