#include "cli/fetch_progress.h"

#include <gtest/gtest.h>

namespace deciban {
namespace {

TEST(FetchProgress, SaysHowFarAndHowLong) {
  EXPECT_EQ(fetch_progress_text({"papers", 12, 100, 528}, "", 80), "papers  12/100  8:48 left");
  EXPECT_EQ(fetch_progress_text({"papers", 12, 100, -1}, "", 80), "papers  12/100");
  EXPECT_EQ(fetch_progress_text({"listing new pages", 500, 0, -1}, "", 80), "listing new pages  500");
  EXPECT_EQ(
      fetch_progress_text({"papers", 1, 2, 3}, "the server answers 503 (unavailable); waiting 7 s", 100),
      "papers  1/2  0:03 left  the server answers 503 (unavailable); waiting 7 s");
}

TEST(FetchProgress, LeavesOutWhatDoesNotFit) {
  for (std::size_t width = 10; width < 60; ++width)
    EXPECT_LE(fetch_progress_text({"arxiv_physics/train", 1200, 99999, 528}, "waiting", width).size(),
              width + 2);
  EXPECT_EQ(fetch_progress_text({"papers", 12, 100, 528}, "", 21), "papers  12/100");
}

}  // namespace
}  // namespace deciban
