// Tests that every error has a name, a sentence and an action.
#include "contract/error.h"

#include <gtest/gtest.h>

#include <set>

namespace shadowserve {
namespace {

TEST(Error, EveryCodeHasItsOwnNameAndASentence) {
  std::set<std::string_view> names;
  for (int i = 0; i < kErrorCount; ++i) {
    const auto error = static_cast<Error>(i);
    EXPECT_TRUE(names.insert(error_name(error)).second) << error_name(error);
    EXPECT_FALSE(error_sentence(error).empty());
  }
}

TEST(Error, WhateverHappensToAFetchEndsInRecomputation) {
  for (const Error error : {Error::kMiss, Error::kDeadline, Error::kStoreDown, Error::kRecordCorrupt,
                            Error::kRecordForeign, Error::kRecordVersion, Error::kPlaneDown}) {
    EXPECT_EQ(error_action(error), Action::kRecompute) << error_name(error);
  }
}

TEST(Error, CodesOfANewerVersionAreNotABug) {
  EXPECT_EQ(error_name(static_cast<Error>(200)), "unknown");
  EXPECT_EQ(error_action(static_cast<Error>(200)), Action::kRecompute);
}

}  // namespace
}  // namespace shadowserve
