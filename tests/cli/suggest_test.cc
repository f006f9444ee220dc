#include "cli/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace deciban {
namespace {

TEST(EditDistance, CountsLettersAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("hellaswag", "hellaswga"), 1u);
  EXPECT_EQ(edit_distance("eval", "evl"), 1u);
}

TEST(DidYouMean, OnlyForTypos) {
  const std::vector<std::string> known{"hellaswag", "piqa", "arc_easy", "arc_challenge"};
  EXPECT_EQ(did_you_mean("hellaswga", known), "; did you mean 'hellaswag'?");
  EXPECT_EQ(did_you_mean("arc-easy", known), "; did you mean 'arc_easy'?");
  EXPECT_EQ(did_you_mean("mmlu", known), "");
  EXPECT_EQ(did_you_mean("", known), "");
}

}  // namespace
}  // namespace deciban
