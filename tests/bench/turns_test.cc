#include "bench/turns.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

namespace deciban {
namespace {

TEST(Turn, AnswersInAProcessOfItsOwn) {
  int calls = 0;
  Turn turn([&](const std::string& line) {
    return line + ' ' + std::to_string(++calls) + ' ' + std::to_string(getpid());
  });
  const std::string first = turn.ask("a");
  EXPECT_EQ(first.substr(0, 4), "a 1 ");
  EXPECT_NE(first.substr(4), std::to_string(getpid()));
  EXPECT_EQ(turn.ask("b").substr(0, 4), "b 2 ");
  EXPECT_EQ(calls, 0);  // the child's count is not ours
}

TEST(Turn, PassesErrorsOnAndLivesOn) {
  Turn turn([](const std::string& line) -> std::string {
    if (line == "bad") throw std::runtime_error("two\nlines");
    return "fine";
  });
  try {
    turn.ask("bad");
    FAIL() << "no error";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "two lines");
  }
  EXPECT_EQ(turn.ask("good"), "fine");
}

TEST(Turn, ADeadChildIsAnError) {
  Turn turn([](const std::string&) -> std::string { _exit(3); });
  EXPECT_THROW(turn.ask("x"), std::runtime_error);
  EXPECT_THROW(turn.ask("x"), std::runtime_error);
}

TEST(Turn, ManySideBySide) {
  std::vector<Turn> turns;
  for (int i = 0; i < 5; ++i) turns.emplace_back([i](const std::string&) { return std::to_string(i); });
  for (int i = 4; i >= 0; --i) EXPECT_EQ(turns[i].ask(""), std::to_string(i));
}

}  // namespace
}  // namespace deciban
