#include "evals/round_trip.h"

#include <gtest/gtest.h>

#include <string>

namespace deciban {
namespace {

TEST(DifferingBytes, CountsWhatChanged) {
  EXPECT_EQ(differing_bytes("", ""), 0u);
  EXPECT_EQ(differing_bytes("same text", "same text"), 0u);
  EXPECT_EQ(differing_bytes("one letter", "one Letter"), 1u);
  EXPECT_EQ(differing_bytes(" leading space", "leading space"), 1u);
  EXPECT_EQ(differing_bytes("trailing ", "trailing"), 1u);
  EXPECT_EQ(differing_bytes("gone", ""), 4u);
  // e + combining acute (3 bytes) against the composed letter (2 bytes), twice.
  EXPECT_EQ(differing_bytes("cafe\u0301 and the\u0301 noir", "caf\u00e9 and th\u00e9 noir"), 6u);
}

TEST(DifferingBytes, IsNeverLessThanTheDifferenceInLength) {
  const std::string text(300, 'a');
  EXPECT_GE(differing_bytes(text, text.substr(0, 100)), 200u);
  EXPECT_GE(differing_bytes("abc" + text, "xyz"), 300u);
}

TEST(FirstDifference, FindsThePlace) {
  EXPECT_EQ(first_difference("abc", "abd"), 2u);
  EXPECT_EQ(first_difference("abc", "ab"), 2u);
  EXPECT_EQ(first_difference("abc", "abc"), 3u);
}

}  // namespace
}  // namespace deciban
