#include "engine/byte_trie.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace deciban {
namespace {

TEST(ByteTrie, FindsTheLongestPrefix) {
  const ByteTrie trie({{"a", 1}, {"abc", 2}, {"b", 3}, {std::string("\0x", 2), 4}, {"\xff\xff", 5}});
  const auto expect = [&](std::string_view text, int value, std::size_t length) {
    EXPECT_EQ(trie.longest_prefix(text).value, value) << text;
    EXPECT_EQ(trie.longest_prefix(text).length, length) << text;
  };
  expect("abcd", 2, 3);
  expect("abd", 1, 1);
  expect("ba", 3, 1);
  expect("c", -1, 0);
  expect("", -1, 0);
  expect(std::string_view("\0x", 2), 4, 2);
  expect(std::string_view("\0", 1), -1, 0);
  expect("\xff\xff\xff", 5, 2);
}

TEST(ByteTrie, EmptyFindsNothing) {
  EXPECT_TRUE(ByteTrie().empty());
  EXPECT_EQ(ByteTrie(std::vector<std::pair<std::string, std::int32_t>>{}).longest_prefix("a").value, -1);
}

TEST(ByteTrie, RefusesEmptyAndRepeatedEntries) {
  EXPECT_THROW(ByteTrie({{"", 1}}), std::invalid_argument);
  EXPECT_THROW(ByteTrie({{"a", 1}, {"b", 2}, {"a", 3}}), std::invalid_argument);
}

TEST(ByteTrie, EqualsSearchByBruteForce) {
  std::mt19937 random(3);
  for (const int letters : {2, 5, 256}) {
    std::map<std::string, std::int32_t> entries;
    for (int i = 0; i < 3000; ++i) {
      std::string entry(1 + random() % 8, '\0');
      for (char& c : entry) c = static_cast<char>(random() % letters);
      entries.emplace(entry, i);
    }
    const ByteTrie trie({entries.begin(), entries.end()});
    for (int i = 0; i < 20000; ++i) {
      std::string text(random() % 10, '\0');
      for (char& c : text) c = static_cast<char>(random() % letters);
      std::int32_t value = -1;
      std::size_t length = 0;
      for (std::size_t n = 1; n <= text.size(); ++n) {
        if (const auto found = entries.find(text.substr(0, n)); found != entries.end()) {
          value = found->second;
          length = n;
        }
      }
      ASSERT_EQ(trie.longest_prefix(text).value, value);
      ASSERT_EQ(trie.longest_prefix(text).length, length);
    }
  }
}

}  // namespace
}  // namespace deciban
