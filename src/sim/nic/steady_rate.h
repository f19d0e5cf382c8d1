// The rate of something that comes in bursts.
#pragma once

namespace shadowserve::nic {

/// The slope of a sum over time, by least squares. From the first reading to the last would be wrong by a
/// burst. It is never above the steepest way from one reading to another, so what has come over a link is
/// never faster than the link.
class SteadyRate {
 public:
  /// `sum` never falls, and is what has come by then.
  void add(double ns, double sum) {
    if (count_ == 0) first_ns_ = ns, first_sum_ = sum;
    const double t = ns - first_ns_, s = sum - first_sum_;
    count_ += 1, t_ += t, s_ += s, ts_ += t * s, tt_ += t * t;
  }
  /// A nanosecond; 0 before time has passed.
  double per_ns() const {
    const double spread = count_ * tt_ - t_ * t_;
    return spread > 0 ? (count_ * ts_ - t_ * s_) / spread : 0;
  }

 private:
  double first_ns_ = 0, first_sum_ = 0;
  double count_ = 0, t_ = 0, s_ = 0, ts_ = 0, tt_ = 0;
};

}  // namespace shadowserve::nic
