// A link that all flows on it share equally, and one that serves them in the order in which they came.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace shadowserve::fleet {

/// Generalized processor sharing: n flows get rate / n each. A virtual clock counts the bytes that every flow
/// on the link has got; a flow of b bytes that joins at v ends at v + b, whatever joins or leaves meanwhile,
/// so that joining and leaving cost a heap's log n and nothing is updated for the others. (Parekh and
/// Gallager, 1993.) One thread.
class FairLink {
 public:
  struct Ended {
    uint32_t flow = 0;
    uint64_t bytes = 0;
  };

  /// 0 stops the link: flows stay where they are.
  explicit FairLink(double bytes_per_s = 0) : rate_(bytes_per_s) {}

  void add(int64_t now_ns, uint32_t flow, uint64_t bytes);
  /// Takes a flow off; returns how many of its bytes had come. 0 when it is not on the link.
  uint64_t remove(int64_t now_ns, uint32_t flow);
  void set_rate(int64_t now_ns, double bytes_per_s);
  /// When the next flow ends if nothing changes; kNever without one.
  int64_t next_end_ns() const;
  /// True, and the flow, as long as one has ended by now.
  bool end_one(int64_t now_ns, Ended& ended);

  size_t flows() const { return heap_.size(); }
  double rate() const { return rate_; }
  /// Bytes of flows that ended, and what had come of those that were taken off.
  uint64_t carried_bytes() const { return carried_bytes_; }
  /// Time with at least one flow on it and a rate.
  int64_t busy_ns(int64_t now_ns) const;

 private:
  struct Flow {
    double end = 0;  ///< on the virtual clock
    uint64_t bytes = 0;
    uint32_t order = 0, flow = 0;
  };
  struct Later {
    bool operator()(const Flow& left, const Flow& right) const {
      return left.end != right.end ? left.end > right.end : left.order > right.order;
    }
  };
  void advance(int64_t now_ns);

  double rate_;
  double virtual_ = 0;  ///< bytes that each flow has got; starts again when the link falls idle
  int64_t updated_ns_ = 0, busy_ns_ = 0;
  uint64_t carried_bytes_ = 0;
  uint32_t joined_ = 0;
  std::vector<Flow> heap_;
};

/// First come, first served at a fixed rate: when a piece ends is known when it comes (Lindley, 1952), so
/// nothing has to be booked. Pieces must come in the order of time.
class FifoLink {
 public:
  explicit FifoLink(double bytes_per_s = 0) : ns_per_byte_(bytes_per_s > 0 ? 1e9 / bytes_per_s : 0) {}

  /// Returns when the piece has gone. A piece takes its bytes at the link's rate, but at least `service_ns`.
  int64_t serve(int64_t now_ns, uint64_t bytes, int64_t service_ns = 0) {
    const auto takes_ns =
        std::max(static_cast<int64_t>(static_cast<double>(bytes) * ns_per_byte_), service_ns);
    free_ns_ = std::max(free_ns_, now_ns) + takes_ns;
    busy_ns_ += takes_ns;
    carried_bytes_ += bytes;
    return free_ns_;
  }
  /// Whatever was waiting is forgotten.
  void reset(int64_t now_ns) {
    busy_ns_ -= std::max<int64_t>(free_ns_ - now_ns, 0);
    free_ns_ = std::min(free_ns_, now_ns);
  }
  int64_t free_ns() const { return free_ns_; }
  uint64_t carried_bytes() const { return carried_bytes_; }
  /// Time spent serving before now.
  int64_t busy_ns(int64_t now_ns) const { return busy_ns_ - std::max<int64_t>(free_ns_ - now_ns, 0); }

 private:
  double ns_per_byte_;
  int64_t free_ns_ = 0, busy_ns_ = 0;
  uint64_t carried_bytes_ = 0;
};

}  // namespace shadowserve::fleet
