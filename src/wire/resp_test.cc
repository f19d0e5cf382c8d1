// RESP replies cut in every place, and replies from a peer that means harm.
#include "wire/resp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace shadowserve {
namespace {

/// Feeds `bytes` in pieces of at most `piece`, acts on events as a client would, and writes them down.
std::string read_all(RespReader& reader, std::string_view bytes, size_t piece, size_t room = 1 << 20) {
  std::string story;
  std::vector<std::byte> into(room);
  for (;;) {
    switch (reader.next()) {
      case RespEvent::kMore: {
        if (bytes.empty()) return story + "more";
        std::array<iovec, 2> targets;
        const size_t count = reader.targets(targets, piece);
        size_t moved = 0;
        for (size_t i = 0; i < count; ++i) {
          const size_t part = std::min(targets[i].iov_len, bytes.size());
          std::memcpy(targets[i].iov_base, bytes.data(), part);
          bytes.remove_prefix(part);
          moved += part;
        }
        EXPECT_GT(moved, 0u);
        EXPECT_LE(moved, std::max<size_t>(piece, 1));
        reader.received(moved);
        break;
      }
      case RespEvent::kSimple:
        story += "+" + std::string(reader.text()) + " ";
        break;
      case RespEvent::kError:
        story += "-" + std::string(reader.text()) + " ";
        break;
      case RespEvent::kInteger:
        story += ":" + std::to_string(reader.integer()) + " ";
        break;
      case RespEvent::kNil:
        story += "nil ";
        break;
      case RespEvent::kBulk:
        if (static_cast<size_t>(reader.integer()) <= room) {
          reader.take_bulk(std::span(into).first(static_cast<size_t>(reader.integer())));
        } else {
          story += "skip:";
          reader.skip_bulk();
        }
        break;
      case RespEvent::kBulkEnd: {
        const auto size = static_cast<size_t>(reader.integer());
        story += "$" +
                 (size <= room ? std::string(reinterpret_cast<const char*>(into.data()), size)
                               : std::to_string(size)) +
                 " ";
        break;
      }
      case RespEvent::kBroken:
        return story + "broken";
    }
  }
}

TEST(RespReader, ReadsEveryTypeHoweverItIsCut) {
  const std::string big(10'000, 'x');
  const std::string bytes =
      "+OK\r\n-ERR no\r\n:42\r\n:-7\r\n$-1\r\n*-1\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n$10000\r\n" + big +
      "\r\n+\r\n$3\r\nend\r\n";
  const std::string story = "+OK -ERR no :42 :-7 nil nil $ $a\r\nbc $" + big + " + $end more";
  for (const size_t piece : {1, 2, 3, 7, 64, 1000, 4096, 9999, 1 << 20}) {
    RespReader reader;
    EXPECT_EQ(read_all(reader, bytes, piece), story) << piece;
  }
}

TEST(RespReader, SkipsValuesThatDoNotFit) {
  for (const size_t piece : {1, 100, 1 << 20}) {
    RespReader reader;
    EXPECT_EQ(read_all(reader, "$20000\r\n" + std::string(20'000, 'x') + "\r\n:1\r\n", piece, 100),
              "skip:$20000 :1 more");
  }
}

TEST(RespReader, MaySkipInTheMiddleAndThenLeavesTheMemoryAlone) {
  RespReader reader;
  std::array<iovec, 2> targets;
  const auto feed = [&](std::string_view text) {
    size_t count = reader.targets(targets, SIZE_MAX);
    size_t moved = 0;
    for (size_t i = 0; i < count && moved < text.size(); ++i) {
      const size_t part = std::min(targets[i].iov_len, text.size() - moved);
      std::memcpy(targets[i].iov_base, text.data() + moved, part);
      moved += part;
    }
    reader.received(moved);
  };
  std::vector<std::byte> into(10, std::byte{'.'});
  ASSERT_EQ(reader.next(), RespEvent::kMore);
  feed("$10\r\nabc");
  ASSERT_EQ(reader.next(), RespEvent::kBulk);
  reader.take_bulk(into);
  ASSERT_EQ(reader.next(), RespEvent::kMore);
  feed("de");
  ASSERT_EQ(reader.next(), RespEvent::kMore);
  EXPECT_TRUE(reader.in_bulk());
  reader.skip_bulk();
  feed("fghij\r\n+OK\r\n");
  EXPECT_EQ(reader.next(), RespEvent::kBulkEnd);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(into.data()), 10), "abcde.....");
  EXPECT_EQ(reader.next(), RespEvent::kSimple);
}

TEST(RespReader, StartsAfreshAfterReset) {
  RespReader reader;
  EXPECT_EQ(read_all(reader, "$100\r\nabc", 1000), "more");
  reader.reset();
  EXPECT_EQ(read_all(reader, ":1\r\n", 1000), ":1 more");
}

TEST(RespReader, ClosesTheDoorOnNonsense) {
  const std::string line(RespReader::kLineBytesMax, 'a');
  for (const std::string& bytes : std::vector<std::string>{"HTTP/1.1 400 Bad Request\r\n",
                                                           "\r\n",
                                                           "$abc\r\n",
                                                           "$-2\r\n",
                                                           "$\r\n",
                                                           "$99999999999999999999\r\n",
                                                           "$67108865\r\n",
                                                           "$5 \r\nhello\r\n",
                                                           "$+5\r\nhello\r\n",
                                                           ":1.5\r\n",
                                                           ":\r\n",
                                                           "*1\r\n$1\r\na\r\n",
                                                           "*0\r\n",
                                                           "$3\r\nabcde\r\n",
                                                           "$3\r\nabc\n\n",
                                                           "+" + line + "\r\n",
                                                           "-" + line,
                                                           "%1\r\n",
                                                           "_\r\n",
                                                           std::string(1, '\0')}) {
    for (const size_t piece : {1, 4096}) {
      RespReader reader;
      const std::string story = read_all(reader, bytes, piece);
      EXPECT_TRUE(story.ends_with("broken")) << bytes.substr(0, 40) << " -> " << story;
    }
  }
}

TEST(RespReader, SurvivesRandomBytes) {
  std::mt19937_64 random(20240607);
  const std::string good = "+OK\r\n-ERR no\r\n:42\r\n$-1\r\n$5\r\nhello\r\n$12\r\nhello, world\r\n";
  size_t broken = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
      const size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 5);
          break;
        default:
          bytes.insert(at, good.substr(random() % good.size(), random() % 8));
          break;
      }
      if (bytes.empty()) bytes = good;
    }
    RespReader reader;
    broken += read_all(reader, bytes, 1 + random() % 40, 64).ends_with("broken") ? 1 : 0;
  }
  EXPECT_GT(broken, 5'000u) << "the edits hit nothing";
}

TEST(RespCommand, IsFramed) {
  std::array<char, 64> out;
  size_t size = write_resp_command(out, {"GET", "key"});
  EXPECT_EQ(std::string_view(out.data(), size), "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
  size = write_resp_command(out, {"SET", "a"}, true, 1234567);
  EXPECT_EQ(std::string_view(out.data(), size), "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1234567\r\n");
}

TEST(RespCommand, SaysWhenItDoesNotFit) {
  std::array<char, 22> out;  // GET key needs 22
  EXPECT_EQ(write_resp_command(out, {"GET", "key"}), 22u);
  for (size_t room = 0; room < 22; ++room) {
    EXPECT_EQ(write_resp_command(std::span(out).first(room), {"GET", "key"}), 0u) << room;
  }
}

}  // namespace
}  // namespace shadowserve
