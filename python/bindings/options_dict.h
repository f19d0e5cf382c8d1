// A Python dict of options as ss_options: known names only, right types only.
#pragma once

#include <pybind11/pybind11.h>

#include <deque>
#include <string>

#include "shadowserve/shadowserve.h"

namespace shadowserve::bindings {

/// Owns the strings that `options` points to. Raises ValueError for an unknown name (with the nearest known
/// one) and TypeError for a value of another type; None stands for the default.
class OptionsDict {
 public:
  explicit OptionsDict(const pybind11::dict& given);
  const ss_options& options() const { return options_; }

 private:
  ss_options options_{};
  std::deque<std::string> strings_;  // a deque: growing it moves no string
};

}  // namespace shadowserve::bindings
