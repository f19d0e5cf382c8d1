// Settings: which source wins, and what a wrong one is told.
#include "settings/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace shadowserve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SettingsTest : public testing::Test {
 protected:
  ~SettingsTest() override { std::remove(path_.c_str()); }
  std::string write_file(const std::string& text) {
    std::ofstream(path_) << text;
    return path_;
  }

  // A file of this process: tests of one fixture run side by side.
  const std::string path_ = testing::TempDir() + "shadowserve-settings-" + std::to_string(getpid()) + ".toml";
  std::string message_;
  Settings settings_{{{"HOME", "/home/someone"}}};
};

TEST_F(SettingsTest, SlotsFollowTheCoresUnlessTheyAreChosen) {
  EXPECT_EQ(settings_.fetch_slots(), 16u);
  ASSERT_TRUE(settings_.set("cores", "2-7", "--cores", message_)) << message_;
  EXPECT_EQ(settings_.fetch_slots(), 48u);
  ASSERT_TRUE(settings_.set("fetch_slots", "5", "--fetch-slots", message_)) << message_;
  EXPECT_EQ(settings_.fetch_slots(), 5u);
}

TEST_F(SettingsTest, DefaultsComeFromTheUsersFolders) {
  EXPECT_EQ(settings_.text("store"), "rocksdb:/home/someone/.cache/shadowserve?limit=20GB");
  EXPECT_EQ(settings_.origin("store"), "default");
  EXPECT_TRUE(settings_.cores("cores").empty());
  EXPECT_TRUE(settings_.flag("pin_memory"));
}

TEST_F(SettingsTest, LaterSourcesWin) {
  const std::string path =
      write_file("store = \"memory:\"\ncores = [1, 2]\nfetch_slots = 8\npin_memory = false\n");
  ASSERT_TRUE(settings_.read_file(path, message_)) << message_;
  ASSERT_TRUE(settings_.read_environment({{"SHADOWSERVE_FETCH_SLOTS", "9"}, {"PATH", "x"}}, message_))
      << message_;
  ASSERT_TRUE(settings_.set("cores", "3", "--cores", message_));
  EXPECT_EQ(settings_.text("store"), "memory:");
  EXPECT_EQ(settings_.count("fetch_slots"), 9u);
  EXPECT_EQ(settings_.origin("fetch_slots"), "SHADOWSERVE_FETCH_SLOTS");
  EXPECT_THAT(settings_.cores("cores"), ElementsAre(3));
  EXPECT_FALSE(settings_.flag("pin_memory"));
}

TEST_F(SettingsTest, UnknownNamesSuggestTheNearestInEverySource) {
  EXPECT_FALSE(settings_.set("stor", "x", "--stor", message_));
  EXPECT_EQ(message_, "--stor: there is no setting \"stor\"; did you mean \"store\"?");
  EXPECT_FALSE(settings_.read_environment({{"SHADOWSERVE_SOKET", "x"}}, message_));
  EXPECT_THAT(message_,
              HasSubstr("SHADOWSERVE_SOKET: there is no setting \"soket\"; did you mean \"socket\"?"));
  EXPECT_FALSE(settings_.read_file(write_file("\nfetch_slot = 3\n"), message_));
  EXPECT_THAT(message_, HasSubstr("line 2 of "));
  EXPECT_THAT(message_, HasSubstr("did you mean \"fetch_slots\"?"));
  EXPECT_FALSE(settings_.set("banana", "x", "--banana", message_));
  EXPECT_THAT(message_, HasSubstr("known are store, socket"));
}

TEST_F(SettingsTest, WrongValuesSayWhatIsAllowed) {
  EXPECT_FALSE(settings_.set("fetch_slots", "257", "--fetch-slots", message_));
  EXPECT_EQ(message_, "--fetch-slots: fetch_slots must be a whole number from 0 to 256, not \"257\"");
  EXPECT_FALSE(settings_.set("pin_memory", "yes", "--pin-memory", message_));
  EXPECT_FALSE(settings_.set("socket", "", "--socket", message_));
  EXPECT_FALSE(settings_.set("engines", "blufield", "--engines", message_));
  EXPECT_THAT(message_, HasSubstr("must be host, bluefield or bluefield@PCI-ADDRESS"));
  EXPECT_FALSE(settings_.set("engines", "bluefield@", "--engines", message_));
  EXPECT_TRUE(settings_.set("engines", "bluefield@0000:03:00.0", "--engines", message_));
  EXPECT_FALSE(settings_.set("receive", "iouring", "--receive", message_));
  EXPECT_EQ(message_, "--receive: receive must be sockets, io_uring or ucx, not \"iouring\"");
  EXPECT_TRUE(settings_.set("receive", "io_uring", "--receive", message_));
  EXPECT_TRUE(settings_.set("receive", "ucx", "--receive", message_));
  EXPECT_FALSE(settings_.read_file(write_file("[plane]\n"), message_));
  EXPECT_FALSE(settings_.read_file(write_file("store = \n"), message_));
  EXPECT_THAT(message_, HasSubstr("line 1 of "));
  EXPECT_FALSE(settings_.read_file("/nowhere/x.toml", message_));
  EXPECT_THAT(message_, HasSubstr("/nowhere/x.toml"));
}

TEST(ParseCores, TakesListsAndRanges) {
  EXPECT_THAT(parse_cores("1,4-6,2").value(), ElementsAre(1, 4, 5, 6, 2));
  EXPECT_TRUE(parse_cores("").value().empty());
  for (const char* wrong : {"1,1", "3-2", "x", "-1", "1-", "1,,2", "5000", "0-4294967295"}) {
    EXPECT_FALSE(parse_cores(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace shadowserve
