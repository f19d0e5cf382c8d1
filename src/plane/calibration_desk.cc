// What comes from a client or from the store is checked whole before it goes on to the other.
#include "plane/calibration_desk.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "codec/calibrated/calibration.h"
#include "wire/link_message.h"
#include "wire/sealed_bytes.h"

namespace shadowserve {
namespace {

constexpr const char* kNoneStored = "none was published for these weights";

}  // namespace

CalibrationDesk::~CalibrationDesk() {
  for (Caller& caller : callers_) {
    if (caller.fd >= 0) close(caller.fd);
  }
  // What the store still writes to must stay until it is done; its deadlines see to that.
  while (std::any_of(callers_.begin(), callers_.end(), [](const Caller& each) { return each.with_store; })) {
    step();
    usleep(1000);
  }
}

void CalibrationDesk::take(int fd, const CalibrationCall& call, ReceivedFds& fds) {
  const auto seat =
      std::find_if(callers_.begin(), callers_.end(), [](const Caller& each) { return each.free(); });
  if (seat == callers_.end()) {
    return answer(fd, Error::kNoCapacity, "the data plane is busy with other calibrations: try again");
  }
  seat->fd = fd;
  seat->answer_by_ns = clock_.now_ns() + kAnswerNs;
  std::string message;
  if (const auto begun = begin(*seat, call, fds, message); !begun) answer(seat->fd, begun.error(), message);
}

Result<void> CalibrationDesk::begin(Caller& caller, const CalibrationCall& call, ReceivedFds& fds,
                                    std::string& message) {
  message = "the data plane does not understand what it is asked: it is of another version";
  if (call.version != kCalibrationCallVersion) return fail(Error::kConfig);
  caller.op = call.op;
  const uint64_t by_ns = caller.answer_by_ns;
  const auto ticket = static_cast<uint64_t>(&caller - callers_.data());
  Result<void> accepted = fail(Error::kConfig);
  if (call.op == CalibrationOp::kPublish && fds.count() == 1) {
    if (auto good = begin_publishing(caller, call, fds, message); !good) return good;
    accepted = store_.put(ticket, StoreKey(calibration_key(caller.fingerprint), 0), caller.file, by_ns);
  } else if (call.op == CalibrationOp::kFetch && fds.count() == 0) {
    std::memcpy(caller.fingerprint.data(), call.fingerprint, sizeof call.fingerprint);
    caller.file.resize(kRecordBytesMax);
    accepted = store_.get(ticket, StoreKey(calibration_key(caller.fingerprint), 0), caller.file, by_ns);
  } else {
    return accepted;
  }
  caller.with_store = accepted.has_value();
  if (!accepted) message = std::string(error_sentence(accepted.error()));
  return accepted;
}

Result<void> CalibrationDesk::begin_publishing(Caller& caller, const CalibrationCall& call, ReceivedFds& fds,
                                               std::string& message) {
  const auto sealed = SealedBytes::adopt(fds.take(0), call.bytes);
  const bool fits = sealed && call.bytes <= kLinkCalibrationBytesMax;
  auto file = fits ? sealed->read() : fail(Error::kConfig);
  if (!file) {
    message = "the calibration must be a memfd of the announced size, 2 MiB at most, sealed against changes";
    return fail(file.error());
  }
  const auto read = read_calibration(*file, message);
  if (!read) {
    message = "the calibration " + message;
    return fail(read.error());
  }
  caller.fingerprint = read->fingerprint;
  caller.file = std::move(*file);
  return {};
}

bool CalibrationDesk::step() {
  StoreDone done[kCallersMax];
  const size_t count = store_.poll(done);
  for (size_t i = 0; i < count; ++i) ended(callers_[done[i].ticket], done[i]);
  bool waiting = false;
  for (Caller& caller : callers_) {
    if (caller.fd >= 0 && clock_.now_ns() >= caller.answer_by_ns)
      answer(caller.fd, Error::kDeadline, "the store does not answer in time");
    waiting |= !caller.free();
  }
  return waiting;
}

void CalibrationDesk::ended(Caller& caller, const StoreDone& done) {
  caller.with_store = false;
  if (caller.fd >= 0) {
    if (done.error == Error::kMiss) {
      answer(caller.fd, done.error, kNoneStored);
    } else if (done.error != Error::kNone) {
      answer(caller.fd, done.error, error_sentence(done.error));
    } else if (caller.op == CalibrationOp::kFetch) {
      hand_out(caller, done.bytes);
    } else {
      spdlog::info("stored the calibration of model {}", to_hex(caller.fingerprint));
      answer(caller.fd, Error::kNone, {});
    }
  }
  caller.file = {};
}

// Others may write to the store as well.
void CalibrationDesk::hand_out(Caller& caller, size_t bytes) {
  const auto file = std::span<const std::byte>(caller.file).first(bytes);
  std::string message;
  const auto read = read_calibration(file, message);
  if (!read || read->fingerprint != caller.fingerprint) {
    if (read) message = "is another model's";
    return answer(caller.fd, Error::kRecordCorrupt,
                  fmt::format("the stored calibration {}: publish it again", message));
  }
  const auto sealed = SealedBytes::create("shadowserve-calibration", file);
  if (!sealed) return answer(caller.fd, sealed.error(), "the data plane has no memory or descriptors left");
  answer(caller.fd, Error::kNone, {}, sealed->fd(), bytes);
}

void CalibrationDesk::answer(int& fd, Error error, std::string_view sentence, int file_fd, size_t bytes) {
  CalibrationAnswer answer;
  answer.error = static_cast<uint8_t>(error);
  answer.bytes = static_cast<uint32_t>(bytes);
  std::memcpy(answer.text, sentence.data(), std::min(sentence.size(), sizeof answer.text - 1));
  // A caller that is gone, or that does not read, gets none.
  send_with_fds(fd, &answer, sizeof answer, {&file_fd, file_fd >= 0 ? 1u : 0u});
  close(fd);
  fd = -1;
}

}  // namespace shadowserve
