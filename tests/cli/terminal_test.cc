#include "cli/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "cli/progress.h"

namespace deciban {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(Wrap, BreaksAtSpacesAndIndents) {
  EXPECT_THAT(wrap("one two three four", 9), ElementsAre("one two", "three", "four"));
  EXPECT_THAT(wrap("one two three four", 9, 2), ElementsAre("one two", "  three", "  four"));
  EXPECT_THAT(wrap("one averyveryverylongword two", 9), ElementsAre("one", "averyveryverylongword", "two"));
  EXPECT_THAT(wrap("", 9), ElementsAre());
  EXPECT_THAT(wrap("漢字 漢字", 5), ElementsAre("漢字", "漢字"));
}

TEST(Words, ForTimesAndSizes) {
  EXPECT_EQ(clock_time(0), "0:00");
  EXPECT_EQ(clock_time(64.2), "1:05");
  EXPECT_EQ(clock_time(3723), "1:02:03");
  EXPECT_EQ(byte_count(999), "999 B");
  EXPECT_EQ(byte_count(1530000), "1.53 MB");
  EXPECT_EQ(byte_count(15.3e9), "15.3 GB");
  EXPECT_THROW(parse_color("red"), std::invalid_argument);
}

TEST(Progress, SaysWhatFits) {
  RunProgress now;
  now.documents = 300;
  now.done = 30;
  now.resumed = 7;
  now.bytes = 2'500'000;
  now.bytes_done = 500'000;
  now.tokens_done = 100'000;
  now.seconds = 10;
  const std::string wide = progress_text("rwkv7", now, 120);
  for (const char* part :
       {"rwkv7", "37/300 documents", "0:40 left", "50.0 kB/s", "10000 tok/s", "500 kB of 2.50 MB"}) {
    EXPECT_THAT(wide, HasSubstr(part));
  }
  EXPECT_THAT(wide, Not(HasSubstr("failed")));
  const std::string narrow = progress_text("a very long name of a model", now, 40);
  EXPECT_LE(narrow.size(), 42u);  // the ellipsis has three bytes
  EXPECT_THAT(narrow, HasSubstr("37/300 documents"));
  now.failed = 2;
  EXPECT_THAT(progress_text("rwkv7", now, 120), HasSubstr("2 failed"));
  now.seconds = 0.1;
  EXPECT_THAT(progress_text("rwkv7", now, 120), Not(HasSubstr("left")));
}

}  // namespace
}  // namespace deciban
