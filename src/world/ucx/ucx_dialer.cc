// A connection has one owner at any time: the thread until it is offered, then whoever took it, and the
// thread again when it was given back.
#include "world/ucx/ucx_dialer.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace shadowserve {
namespace {

using Ticks = std::chrono::steady_clock;
constexpr size_t kBufferBytes = 64u << 10;
constexpr size_t kFirstPiece = 16;
constexpr auto kDialMax = std::chrono::seconds(3);

void ring(int fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t wrote = write(fd, &one, sizeof(one));  // full: it rings already
}

void silence(int fd) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(fd, &count, sizeof(count));
}

/// Sends what is left of the padding as far as it fits: in pieces of several sizes, for UCX has pools for
/// each.
void send_padding(UcxLink& link, size_t& sent) {
  constexpr std::array<size_t, 4> kPieces = {kFirstPiece, 600, 5'000, kBufferBytes};
  for (size_t piece = 0; sent < kUcxWarmBytes && !link.room().empty(); ++piece) {
    const std::span<std::byte> room = link.room();
    const size_t bytes = std::min(kPieces[sent < 30'000 ? piece % 3 : 3], kUcxWarmBytes - sent);
    std::memset(room.data(), 0, bytes);
    link.send(bytes);
    sent += bytes;
  }
}

}  // namespace

std::unique_ptr<UcxDialer> UcxDialer::create(std::shared_ptr<const UcxContext> context) {
  std::unique_ptr<UcxDialer> dialer(new UcxDialer(std::move(context)));
  dialer->asked_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  dialer->told_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (dialer->asked_fd_ < 0 || dialer->told_fd_ < 0) return nullptr;
  dialer->thread_ = std::thread([self = dialer.get()] { self->run(); });
  pthread_setname_np(dialer->thread_.native_handle(), "ss-ucx-dialer");
  return dialer;
}

UcxDialer::UcxDialer(std::shared_ptr<const UcxContext> context)
    : context_(std::move(context)), questions_(SpscRing<Question>::create(memory_.data(), kQuestions)) {}

UcxDialer::~UcxDialer() {
  stopping_.store(true);
  wanted_.store(0);
  if (thread_.joinable()) {
    ring(asked_fd_);
    thread_.join();
  }
  delete offered_.exchange(nullptr);
  end_returned();
  if (asked_fd_ >= 0) close(asked_fd_);
  if (told_fd_ >= 0) close(told_fd_);
}

bool UcxDialer::dial(const StreamAddress& to) {
  forget();
  wanted_.store(++number_, std::memory_order_release);  // before the thread may read the question
  if (!questions_.push({number_, to})) return forget(), false;
  ring(asked_fd_);
  return true;
}

void UcxDialer::forget() {
  wanted_.store(0, std::memory_order_release);
  if (UcxConnection* late = offered_.exchange(nullptr)) give_back(late);
  silence(told_fd_);
}

UcxConnection* UcxDialer::take() {
  if (offered_.load(std::memory_order_relaxed) == nullptr) return nullptr;
  UcxConnection* connection = offered_.exchange(nullptr);
  if (connection == nullptr || connection->number == number_) return connection;
  give_back(connection);
  return nullptr;
}

void UcxDialer::give_back(UcxConnection* connection) {
  connection->next = returned_.load(std::memory_order_relaxed);
  while (!returned_.compare_exchange_weak(connection->next, connection)) {
  }
  ring(asked_fd_);
}

void UcxDialer::end_returned() {
  UcxConnection* all = returned_.exchange(nullptr);
  while (all != nullptr) {
    const std::unique_ptr<UcxConnection> one(all);
    all = one->next;
  }
}

void UcxDialer::run() {
  while (!stopping_.load()) {
    pollfd entry{.fd = asked_fd_, .events = POLLIN, .revents = 0};
    ::poll(&entry, 1, -1);
    silence(asked_fd_);
    end_returned();
    for (Question question{}; questions_.pop(question);) {
      if (wanted(question.number)) answer(question);
    }
  }
}

void UcxDialer::answer(const Question& question) {
  auto connection = std::make_unique<UcxConnection>();
  connection->number = question.number;
  connection->why = make(question, *connection);
  if (connection->why != 0) connection->link.reset();
  if (!wanted(question.number)) return;
  delete offered_.exchange(connection.release());
  ring(told_fd_);
  // Closed a moment ago: nobody may come for it.
  if (!wanted(question.number)) delete offered_.exchange(nullptr);
}

/// errno, 0: the relay has the store, and bytes can flow.
int UcxDialer::make(const Question& question, UcxConnection& connection) const {
  const UcxPatience patience{Ticks::now() + kDialMax, [&] { return !wanted(question.number); }};
  TcpStream control;
  if (!control.connect(question.to)) return control.why();
  if (const int why = await_ready(control, patience); why != 0) return why;
  int why = 0;
  connection.link = UcxLink::create(context_, kBufferBytes, why);
  if (why != 0) return why;
  UcxIntroduction relay;
  why = say_introduction(control, {0, connection.link->address()}, patience);
  if (why == 0) why = hear_introduction(control, relay, patience);
  if (why == 0) why = relay.why;
  if (why == 0) why = join(*connection.link, relay.address, patience);
  if (why == 0) why = say_joined(control, patience);
  if (why != 0) return why;
  connection.link->keep(control, true);
  return greet(connection, patience);
}

/// Until the endpoint stands, which the end of a first send tells. What was begun is brought to its end, even
/// if nobody wants it any more: with assertions built in, as Debian's is, UCX 1.13 on the other side ends its
/// process when it is left in the middle.
int UcxDialer::join(UcxLink& link, std::span<const std::byte> relay, const UcxPatience& given) const {
  const UcxPatience patience{given.until, [] { return false; }};
  if (const int why = link.join(relay); why != 0) return why;
  std::memset(link.room().data(), 0, kFirstPiece);
  link.send(kFirstPiece);
  while (link.failure() == 0 && link.sending()) {
    if (patience.ended()) return ETIMEDOUT;
    link.drive();
    if (link.sending() && link.arm()) patience.wait(link.event_fd(), POLLIN);
  }
  return link.failure();
}

int UcxDialer::greet(UcxConnection& connection, const UcxPatience& patience) const {
  UcxLink& link = *connection.link;
  bool greeted = false;
  for (size_t sent = kFirstPiece; !patience.ended();) {
    send_padding(link, sent);
    // What is on its way somebody has to drive on, and that may allocate.
    if (greeted && sent == kUcxWarmBytes && !link.sending()) return 0;
    while (!greeted) {
      const std::span<const std::byte> in = link.peek();
      if (in.empty()) break;
      const UcxFrames::Step step = connection.frames.next(in);
      link.consume(step.bytes);
      greeted = greeted || step.event == UcxFrames::Event::kGreeted;
      if (step.event != UcxFrames::Event::kGreeted && step.event != UcxFrames::Event::kMore) return EPROTO;
    }
    if (link.failure() != 0) return link.failure();
    if (greeted) link.drive();
    if (link.arm()) patience.wait(link.event_fd(), POLLIN);
  }
  return ETIMEDOUT;
}

}  // namespace shadowserve
