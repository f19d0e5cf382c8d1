// What every test of the BlueField backend does before and after: a fresh double, and no misuse or leak at
// the end.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <spdlog/spdlog.h>

#include "doca_double.h"

namespace shadowserve {

class OnTheDouble : public testing::Test {
 protected:
  OnTheDouble() {
    spdlog::set_level(spdlog::level::off);  // a device is lost some hundred times
    (void)doca_double::complaints();
    doca_double::start_over();
  }
  /// Call it when everything was destroyed.
  void expect_clean() {
    EXPECT_THAT(doca_double::complaints(), testing::IsEmpty());
    EXPECT_EQ(doca_double::objects_alive(), 0u);
  }
  doca_double::Behaviour& behaviour() { return doca_double::behaviour(); }
};

}  // namespace shadowserve
