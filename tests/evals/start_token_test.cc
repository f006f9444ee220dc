#include "evals/start_token.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace deciban {
namespace {

TEST(StartPolicy, ParsesAndResolves) {
  ModelInfo model;
  model.vocabulary = 100;
  EXPECT_EQ(StartPolicy::parse("bos").resolve(model), std::nullopt);  // it has no separator
  model.start_token = 7;
  EXPECT_EQ(StartPolicy::parse("bos").resolve(model), 7);
  EXPECT_EQ(StartPolicy::parse("none").resolve(model), std::nullopt);
  EXPECT_EQ(StartPolicy::parse("99").resolve(model), 99);
  EXPECT_THROW(StartPolicy::parse("100").resolve(model), std::invalid_argument);
  for (const char* word : {"bos", "none", "42"}) EXPECT_EQ(StartPolicy::parse(word).name(), word);
  for (const char* word : {"", "eos", "-1", "4x"})
    EXPECT_THROW(StartPolicy::parse(word), std::invalid_argument) << word;
  EXPECT_EQ(start_name(7), "7");
  EXPECT_EQ(start_name(std::nullopt), "none");
}

}  // namespace
}  // namespace deciban
