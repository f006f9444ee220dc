// The CPU engine's promise: per kernel table and numeric mode, log-probabilities are the same bits for any
// chunking, any batching, any number of threads, and one token at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/engine/scoring.h"

namespace deciban {
namespace {

class Batching : public testing::TestWithParam<std::tuple<std::string, std::string, std::string>> {
 protected:
  std::filesystem::path file() const { return golden("rwkv/" + std::get<0>(GetParam()) + "/model.pth"); }
  std::unique_ptr<LanguageModel> open(int threads = 1, std::size_t chunk_rows = 0) const {
    return open_golden(file(), {std::get<1>(GetParam()), std::get<2>(GetParam()), threads, chunk_rows});
  }
  static std::vector<Token> tokens(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<Token> t(count);
    for (Token& token : t) token = static_cast<Token>(random() % 257);
    return t;
  }
};

TEST_P(Batching, ChunksAndThreadsDoNotMatter) {
  const std::vector<Token> text = tokens(150, 1);
  const auto reference = score(*open(), {{.tokens = text}}).scores.at(0);
  for (const auto& [threads, rows] : {std::pair{1, 1}, {1, 2}, {1, 7}, {1, 64}, {2, 64}, {3, 5}, {2, 512}}) {
    const auto got = score(*open(threads, static_cast<std::size_t>(rows)), {{.tokens = text}}).scores.at(0);
    EXPECT_TRUE(same_bits(reference, got)) << threads << " threads, chunks of " << rows;
  }
}

TEST_P(Batching, NeighboursDoNotMatter) {
  std::vector<std::vector<Token>> texts;
  for (unsigned i = 0; i < 12; ++i) texts.push_back(tokens(1 + i * i, i + 1));
  std::vector<Sequence> all;
  for (const auto& text : texts) all.push_back({.tokens = text});
  for (const auto& [threads, rows] : {std::pair{1, 0}, {1, 9}, {3, 33}}) {
    const auto model = open(threads, static_cast<std::size_t>(rows));
    const Collected together = score(*model, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto alone = score(*model, {all[i]}).scores.at(0);
      EXPECT_TRUE(same_bits(alone, together.scores.at(i)))
          << "sequence " << i << ", " << threads << " threads";
    }
  }
}

TEST_P(Batching, OneTokenAtATimeIsTheWholeSequence) {
  const std::vector<Token> text = tokens(60, 3);
  const auto model = open(2);
  const Collected whole = score(*model, {{.tokens = text}}, true);
  const auto batch = model->start_batch(3);
  std::vector<float> rows;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const std::vector<Token> step = {static_cast<Token>(i % 257), text[i], static_cast<Token>(255 - i)};
    const LogitRows logits = batch->step(step);
    rows.insert(rows.end(), logits.row(1).begin(), logits.row(1).end());
  }
  ASSERT_EQ(rows.size(), whole.logits.at(0).size());
  EXPECT_EQ(std::memcmp(rows.data(), whole.logits.at(0).data(), rows.size() * sizeof(float)), 0);
  // The scores belong to these logits.
  const std::size_t columns = model->info().vocabulary;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    EXPECT_EQ(whole.positions.at(0)[i], i + 1);
    const float* row = rows.data() + i * columns;
    double total = 0;
    for (std::size_t c = 0; c < columns; ++c) total += std::exp(static_cast<double>(row[c]));
    EXPECT_NEAR(whole.scores.at(0)[i].logprob, row[text[i + 1]] - std::log(total),
                2e-6 * (1 + std::abs(std::log(total))));
    EXPECT_EQ(whole.scores.at(0)[i].best, std::max_element(row, row + columns) - row);
    EXPECT_NEAR(whole.scores.at(0)[i].best_logprob, *std::max_element(row, row + columns) - std::log(total),
                4e-6);
  }
}

TEST_P(Batching, SharedPrefixesDoNotMatter) {
  const std::vector<Token> prefix = tokens(40, 5);
  std::vector<std::vector<Token>> texts;
  std::vector<std::size_t> shared;
  std::mt19937 random(9);
  for (unsigned i = 0; i < 24; ++i) {
    const std::size_t keep = i == 0 ? 0 : std::min<std::size_t>(random() % 60, texts.back().size());
    std::vector<Token> text =
        i == 0 ? prefix : std::vector<Token>(texts.back().begin(), texts.back().begin() + keep);
    const std::vector<Token> more = tokens(1 + random() % 30, 100 + i);
    text.insert(text.end(), more.begin(), more.end());
    shared.push_back(keep);
    texts.push_back(text);
  }
  std::vector<Sequence> with, without;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::size_t first = 1 + random() % texts[i].size();
    with.push_back({texts[i], first, shared[i]});
    without.push_back({texts[i], first, 0});
  }
  const Collected plain = score(*open(), without);
  for (const auto& [threads, rows] : {std::pair{1, 0}, {1, 4}, {2, 16}}) {
    const Collected forked = score(*open(threads, static_cast<std::size_t>(rows)), with);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_TRUE(same_bits(plain.scores.at(i), forked.scores.at(i)))
          << "sequence " << i << ", " << threads << " threads";
    }
  }
}

TEST_P(Batching, CopiedAndResetStatesContinueExactly) {
  const std::vector<Token> text = tokens(20, 7);
  const auto model = open();
  const auto batch = model->start_batch(2);
  for (const Token token : text) batch->step(std::vector<Token>{token, 3});
  batch->copy(0, 1);
  const LogitRows same = batch->step(std::vector<Token>{5, 5});
  EXPECT_EQ(std::memcmp(same.row(0).data(), same.row(1).data(), same.columns * sizeof(float)), 0);
  batch->reset(0);
  batch->reset(1);
  const LogitRows fresh = batch->step(std::vector<Token>{5, 5});
  const std::vector<float> first(fresh.data, fresh.data + fresh.columns);
  const auto other = model->start_batch(1);
  const LogitRows alone = other->step(std::vector<Token>{5});
  EXPECT_EQ(std::memcmp(first.data(), alone.data, alone.columns * sizeof(float)), 0);
}

TEST_P(Batching, ReadingAtOnceIsStepping) {
  const std::vector<Token> text = tokens(45, 8);
  const auto model = open(1, 16);  // chunks of 16: the text takes three
  const auto batch = model->start_batch(2);
  for (const Token token : text) batch->step(std::vector<Token>{token, 3});
  batch->reset(1);
  ASSERT_TRUE(batch->read(1, text));
  const LogitRows next = batch->step(std::vector<Token>{5, 5});
  EXPECT_EQ(std::memcmp(next.row(0).data(), next.row(1).data(), next.columns * sizeof(float)), 0);
  EXPECT_THROW(batch->read(2, text), std::invalid_argument);
  EXPECT_THROW(batch->read(0, std::vector<Token>{-1}), std::invalid_argument);
}

std::vector<std::tuple<std::string, std::string, std::string>> cases() {
  std::vector<std::tuple<std::string, std::string, std::string>> all;
  for (const std::string& isa : supported_isas()) {
    for (const char* model :
         {"rwkv4-small", "extra-rwkv5.0-small", "rwkv5.2-small", "rwkv6-small", "rwkv7-small"}) {
      for (const char* mode : {"f32", "bf16", "bf16a", "f16", "int8", "int8a", "int4", "int4g64"}) {
        // The models share their products, and 5.0 all but its parameters' preparation with 5.2.
        if (std::string(mode).starts_with("int") && std::string(model) != "rwkv7-small") continue;
        const bool narrow = std::string(mode) == "bf16" || std::string(mode) == "f16";
        if (std::string(model) == "extra-rwkv5.0-small" && narrow) continue;
        if (std::string(model) == "rwkv6-small" && narrow && isa != supported_isas().back()) continue;
        all.emplace_back(model, isa, mode);
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Batching, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param) + "_" + std::get<2>(info.param);
  std::replace_if(
      name.begin(), name.end(), [](char ch) { return !std::isalnum(static_cast<unsigned char>(ch)); }, '_');
  return name;
});

TEST(BadSequences, AreRefusedOneByOne) {
  const auto model = open_golden(golden("rwkv/rwkv7-small/model.pth"));
  const std::vector<Token> good = {1, 2, 3}, outside = {1, 257, 3}, negative = {1, -1}, one = {4};
  const Collected got = score(*model, {{.tokens = good},
                                       {.tokens = outside},
                                       {.tokens = negative},
                                       {.tokens = good, .first = 0},
                                       {.tokens = one},
                                       {.tokens = {}},
                                       {.tokens = good, .first = 2}});
  EXPECT_EQ(got.scores.at(0).size(), 2u);
  EXPECT_EQ(got.failures.at(1), "token 257 at position 1 lies outside the model's vocabulary of 257");
  EXPECT_EQ(got.failures.at(2), "token -1 at position 1 lies outside the model's vocabulary of 257");
  EXPECT_NE(got.failures.at(3).find("first token"), std::string::npos);
  EXPECT_TRUE(got.scores.at(4).empty());
  EXPECT_TRUE(got.scores.at(5).empty());
  EXPECT_EQ(got.scores.at(6).size(), 1u);
}

}  // namespace
}  // namespace deciban
