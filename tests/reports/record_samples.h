// Records for tests: random ones with awkward texts and numbers, and what it means that two are equal.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>

#include "reports/random.h"
#include "reports/record.h"

namespace deciban {

inline std::string random_text(Random& random) {
  static const std::string kPieces[] = {"a",    "b", " ",  "\"", "\\", "\n", "\t", "\x01",
                                        "\x7f", "é", "漢", "😀",  "{",  "}",  ":",  ","};
  std::string text;
  for (std::uint32_t size = random.below(12); size > 0; --size)
    text += kPieces[random.below(std::size(kPieces))];
  return text;
}

inline double random_double(Random& random) {
  double value = 0;
  do {
    value = std::bit_cast<double>(random.next());
  } while (!std::isfinite(value));
  return random.below(2) ? value : random.unit() * -1000;
}

inline Record random_record(Random& random) {
  Record record;
  record.key = random_text(random);
  record.model = random_text(random);
  record.task = random_text(random);
  record.windowing = random_text(random);
  record.corpus = random_text(random);
  record.document = random_text(random);
  record.status = random.below(4) ? "ok" : "failed";
  record.reason = random_text(random);
  for (std::uint64_t* count : {&record.tokens, &record.scored_tokens, &record.bytes, &record.characters,
                               &record.unscored_bytes, &record.lossy_bytes}) {
    *count = random.next() >> random.below(64);
  }
  record.logprob = random_double(random);
  record.seconds = random_double(random);
  for (std::uint32_t i = random.below(4); i > 0; --i)
    record.labels[random_text(random)] = random_text(random);
  for (std::uint32_t i = random.below(4); i > 0; --i) {
    record.queries.push_back({random_double(random), random.below(2) == 1, random.next(), random.next()});
  }
  for (std::uint32_t i = random.below(4); i > 0; --i) {
    record.measures[random_text(random)] = {random_double(random), random_double(random)};
  }
  return record;
}

inline void expect_same(const Record& a, const Record& b) {
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.model, b.model);
  EXPECT_EQ(a.task, b.task);
  EXPECT_EQ(a.windowing, b.windowing);
  EXPECT_EQ(a.corpus, b.corpus);
  EXPECT_EQ(a.document, b.document);
  EXPECT_EQ(a.status, b.status);
  EXPECT_EQ(a.reason, b.reason);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.scored_tokens, b.scored_tokens);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.characters, b.characters);
  EXPECT_EQ(a.unscored_bytes, b.unscored_bytes);
  EXPECT_EQ(a.lossy_bytes, b.lossy_bytes);
  EXPECT_EQ(a.logprob, b.logprob);
  EXPECT_EQ(a.seconds, b.seconds);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.queries, b.queries);
  EXPECT_EQ(a.measures, b.measures);
}

}  // namespace deciban
