// `shadowserve bench link`: how long one question takes - in shared memory, over TLS, and at best.
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "command.h"
#include "control/plane_link.h"
#include "plane/plane.h"
#include "wire/network/network_frame.h"
#include "wire/network/tls_keys.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve bench link
  shadowserve bench link --cores 1 --count 20000

A data plane of its own, with a store in memory, answers "not stored"; the asking thread spins for 30 us and then sleeps,
as an engine's link thread does. The first row is two sockets that do nothing but send frames of the same size to and fro: no link over TCP can be faster.)";

struct LinkBenchChoice {
  uint32_t count = 5'000;
  std::string cores;
};

constexpr uint64_t kAnswerNs = 2'000 * kNsPerMs;
constexpr uint64_t kSpinNs = 30 * kNsPerUs;
// What a question and its answer are on the wire, without TLS.
constexpr size_t kQuestionBytes = kFrameHeaderBytes + sizeof(LinkRequest);
constexpr size_t kReplyBytes = kFrameHeaderBytes + sizeof(LinkReply);

struct Row {
  std::string name;
  std::vector<double> us;
  double at(double share) const {
    return us[std::min(us.size() - 1, static_cast<size_t>(share * static_cast<double>(us.size())))];
  }
};

/// A folder for sockets and keys, gone with the object.
class Folder {
 public:
  Folder() {
    std::array<char, 32> name{"/tmp/ss-bench-link-XXXXXX"};
    if (mkdtemp(name.data()) == nullptr) throw StartError("cannot make a folder in /tmp");
    path_ = name.data();
  }
  Folder(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// A plane on a thread, on both kinds of address.
class BenchPlane {
 public:
  BenchPlane(const Folder& folder, const std::vector<int>& cores) : stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    std::string message;
    if (!make_tls_keys({folder / "keys", {"127.0.0.1"}}, message)) throw StartError(message);
    PlaneOptions options;
    options.store_url = "memory:";
    options.socket_path = folder / "plane.sock";
    options.cores = cores;
    options.listen = "tls://127.0.0.1:0";
    options.tls = {folder / "keys/plane.pem", folder / "keys/plane.key", folder / "keys/ca.pem"};
    auto plane = Plane::start(options, message);
    if (!plane) throw StartError(message);
    plane_ = std::move(*plane);
    thread_ = std::thread([this] { plane_->serve(stop_fd_); });
  }
  BenchPlane(const BenchPlane&) = delete;
  ~BenchPlane() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof one);
    thread_.join();
    close(stop_fd_);
  }
  std::string address() const { return plane_->network_address(); }

 private:
  int stop_fd_;
  std::unique_ptr<Plane> plane_;
  std::thread thread_;
};

void wait_as_a_link_thread_does(PlaneLink& link, uint64_t since_ns) {
  if (MonotonicClock().now_ns() < since_ns + kSpinNs) return;
  if (link.prepare_sleep()) {
    pollfd waits[2] = {{link.socket_fd(), link.socket_events(), 0}, {link.doorbell_fd(), POLLIN, 0}};
    const timespec timeout{0, 10'000'000};
    ppoll(waits, 2, &timeout, nullptr);
  }
  link.end_sleep();
}

/// Round trips of `batch` questions, one batch after the other.
Row ask(std::string name, PlaneLink& link, uint32_t count, uint32_t batch) {
  const MonotonicClock clock;
  const uint64_t give_up_ns = clock.now_ns() + kAnswerNs;
  for (; !link.up(); link.step()) {
    if (clock.now_ns() > give_up_ns) throw StartError(fmt::format("{}: the link does not come up", name));
  }
  Row row{std::move(name), {}};
  for (uint32_t i = 0; i < count + count / 10; ++i) {
    const uint64_t began = clock.now_ns();
    LinkRequest request;
    request.deadline_ns = began + kAnswerNs;
    for (uint32_t n = 0; n < batch; ++n) {
      request.ticket = n + 1;
      if (!link.submit(request)) throw StartError(fmt::format("{}: the link is full", row.name));
    }
    link.ring();
    uint32_t answers = 0;
    uint64_t last = began;
    for (LinkReply reply; answers < batch;) {
      link.step();
      while (link.take(reply)) {
        if (static_cast<Error>(reply.error) != Error::kMiss) throw StartError("an empty store has something");
        ++answers;
        last = clock.now_ns();
      }
      if (!link.up() || clock.now_ns() > began + kAnswerNs)
        throw StartError(fmt::format("{}: no answer", row.name));
      if (answers < batch) wait_as_a_link_thread_does(link, last);
    }
    if (i >= count / 10) row.us.push_back(static_cast<double>(clock.now_ns() - began) * 1e-3);
  }
  std::sort(row.us.begin(), row.us.end());
  return row;
}

void exactly(int fd, char* bytes, size_t size, bool sending) {
  for (size_t done = 0; done < size;) {
    const ssize_t moved =
        sending ? send(fd, bytes + done, size - done, MSG_NOSIGNAL) : recv(fd, bytes + done, size - done, 0);
    if (moved <= 0) throw StartError("the bare connection broke");
    done += static_cast<size_t>(moved);
  }
}

/// Two threads, blocking sockets, nothing else.
Row bare_tcp(uint32_t count) {
  std::string message;
  const auto listener = listen_tcp(PlaneAddress{{}, "127.0.0.1", 0}, message);
  if (!listener) throw StartError(message);
  SocketAddress bound;
  bound.size = sizeof bound.storage;
  getsockname(*listener, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
  const int asking = socket(bound.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(asking, bound.get(), bound.size) != 0) throw StartError("cannot connect on loopback");
  int answering = -1;
  while (answering < 0) answering = accept4(*listener, nullptr, nullptr, SOCK_CLOEXEC);
  close(*listener);
  for (const int fd : {asking, answering}) prepare_link_socket(fd);
  const uint32_t rounds = count + count / 10;
  std::thread echo([answering, rounds] {
    std::array<char, kQuestionBytes> bytes{};
    for (uint32_t i = 0; i < rounds; ++i) {
      exactly(answering, bytes.data(), kQuestionBytes, false);
      exactly(answering, bytes.data(), kReplyBytes, true);
    }
  });
  const MonotonicClock clock;
  Row row{"bare TCP on loopback", {}};
  std::array<char, kQuestionBytes> bytes{};
  for (uint32_t i = 0; i < rounds; ++i) {
    const uint64_t began = clock.now_ns();
    exactly(asking, bytes.data(), kQuestionBytes, true);
    exactly(asking, bytes.data(), kReplyBytes, false);
    if (i >= count / 10) row.us.push_back(static_cast<double>(clock.now_ns() - began) * 1e-3);
  }
  echo.join();
  close(asking), close(answering);
  std::sort(row.us.begin(), row.us.end());
  return row;
}

LinkHello lookup_hello() {
  LinkHello hello;
  hello.geometry = LinkGeometry::of({2, 2, 64, 256, ElementType::kBf16});
  std::strcpy(hello.profile, "raw");
  std::strcpy(hello.client_name, "bench link");
  return hello;
}

int run_link_bench(const LinkBenchChoice& choice) {
  const auto cores = parse_cores(choice.cores);
  if (!cores)
    throw StartError(
        fmt::format("--cores must list cores once each, like 1 or 2-3, not \"{}\"", choice.cores));
  std::vector<Row> rows = {bare_tcp(choice.count)};
  const Folder folder;
  const BenchPlane plane(folder, *cores);
  const MonotonicClock clock;
  std::string message;
  const TlsFiles tls{folder / "keys/engine.pem", folder / "keys/engine.key", folder / "keys/ca.pem"};
  const auto far = find_plane(plane.address(), tls, "", "", message);
  if (!far) throw StartError(message);
  constexpr uint32_t kPrompt = 128;
  const uint32_t prompts = std::max(20u, choice.count / 20);
  {
    PlaneLink link(PlaneEndpoint(folder / "plane.sock"), lookup_hello(), clock);
    rows.push_back(ask("link in shared memory", link, choice.count, 1));
    rows.push_back(ask("  a prompt of 128 chunks", link, prompts, kPrompt));
  }
  PlaneLink link(*far, lookup_hello(), clock);
  rows.push_back(ask("link over TLS on loopback", link, choice.count, 1));
  rows.push_back(ask("  a prompt of 128 chunks", link, prompts, kPrompt));
  fmt::print("a question and its answer, us        p50      p99    p99.9      max   of {}\n", choice.count);
  for (const Row& row : rows) {
    fmt::print("{:<30} {:>10.0f} {:>8.0f} {:>8.0f} {:>8.0f}\n", row.name, row.at(0.5), row.at(0.99),
               row.at(0.999), row.us.back());
  }
  return 0;
}

}  // namespace

Command add_link_bench_command(CLI::App& bench) {
  CLI::App* app =
      bench.add_subcommand("link", "How long a question to the data plane takes, here and over TLS");
  app->footer(kFooter);
  const auto choice = std::make_shared<LinkBenchChoice>();
  app->add_option("--count", choice->count, "questions a row")
      ->type_name("N")
      ->check(CLI::Range(100, 10'000'000))
      ->capture_default_str();
  app->add_option("--cores", choice->cores, "cores of the data plane; default: not pinned")
      ->type_name("LIST");
  return {app, [choice] { return run_link_bench(*choice); }};
}

}  // namespace shadowserve
