// The packer with a runner that computes nothing but checks everything: every state is the exact list of
// tokens read.
#include "engine/packer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <stdexcept>
#include <thread>

#include "tests/engine/scoring.h"

namespace deciban {
namespace {

// A token's "log-probability": a hash of all tokens before it and itself, exact in a float.
float expected(std::span<const Token> before, Token token) {
  std::uint32_t h = 17;
  for (const Token t : before) h = h * 31 + static_cast<std::uint32_t>(t);
  return -static_cast<float>((h * 31 + static_cast<std::uint32_t>(token)) % 100003);
}

class HistoryRunner final : public ChunkRunner {
 public:
  HistoryRunner(std::size_t slots, std::atomic<std::size_t>& read, std::size_t most_rows)
      : states_(slots), read_(read), most_rows_(most_rows) {}
  std::size_t slots() const override { return states_.size(); }
  void reset(std::size_t slot) override { states_.at(slot).clear(); }
  void copy(std::size_t from, std::size_t to) override { states_.at(to) = states_.at(from); }
  void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
           std::span<const Token> targets, std::span<TokenScore> scores) override {
    EXPECT_LE(tokens.size(), most_rows_);
    EXPECT_FALSE(tokens.empty());
    read_ += tokens.size();
    std::size_t row = 0, next = 0;
    std::vector<bool> used(states_.size());
    for (const Piece& piece : layout) {
      EXPECT_EQ(piece.row, row);
      EXPECT_GT(piece.count, 0u);
      EXPECT_FALSE(used.at(piece.slot));
      used[piece.slot] = true;
      for (std::size_t i = 0; i < piece.count; ++i, ++row) {
        states_[piece.slot].push_back(tokens[row]);
        if (next < rows.size() && rows[next] == row) {
          scores[next] = {expected(states_[piece.slot], targets[next]), 0.0f, 0};
          ++next;
        }
      }
    }
    EXPECT_EQ(row, tokens.size());
    EXPECT_EQ(next, rows.size());
  }
  LogitRows logits(std::size_t, std::size_t) override { return {}; }

 private:
  std::vector<std::vector<Token>> states_;
  std::atomic<std::size_t>& read_;
  std::size_t most_rows_;
};

struct Result {
  Collected got;
  std::size_t read = 0;
};

Result pack(const std::vector<Sequence>& list, std::size_t workers, std::size_t rows, std::size_t slots,
            bool spread = false) {
  Result result;
  std::atomic<std::size_t> read{0};
  ListSource source(list);
  score_packed(source, result.got, {workers, rows, 1000, spread},
               [&](std::size_t) { return std::make_unique<HistoryRunner>(slots, read, rows); });
  result.read = read;
  return result;
}

void check(const std::vector<Sequence>& list, const Collected& got) {
  ASSERT_EQ(got.scores.size(), list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Sequence& s = list[i];
    const auto& scores = got.scores.at(i);
    ASSERT_EQ(scores.size(), s.tokens.size() > s.first ? s.tokens.size() - s.first : 0);
    for (std::size_t p = 0; p < scores.size(); ++p) {
      ASSERT_EQ(scores[p].logprob, expected(s.tokens.first(s.first + p), s.tokens[s.first + p]))
          << "sequence " << i << ", position " << s.first + p;
    }
  }
}

TEST(Packer, EverySequenceOfAnyLengthIsReadInOrder) {
  std::mt19937 random(1);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::vector<Token>> texts(1 + random() % 40);
    std::vector<Sequence> list;
    for (auto& text : texts) {
      text.resize(1 + random() % 80);
      for (Token& t : text) t = static_cast<Token>(random() % 1000);
      list.push_back({text, 1 + random() % text.size(), 0});
    }
    check(list, pack(list, 1 + random() % 3, 1 + random() % 50, 1 + random() % 8).got);
    check(list, pack(list, 1 + random() % 3, 1 + random() % 300, 1 + random() % 40, true).got);
  }
}

TEST(Packer, FamiliesGiveTheSameScoresWithAnyNumberOfSlots) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::vector<Token>> texts;
    std::vector<Sequence> list;
    std::vector<std::size_t> shared;
    const std::size_t count = 1 + random() % 150;
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<Token> text;
      std::size_t keep = 0;
      if (i > 0 && random() % 4 != 0) {
        keep = random() % (texts.back().size() + 1);
        text.assign(texts.back().begin(), texts.back().begin() + static_cast<std::ptrdiff_t>(keep));
      }
      for (std::size_t more = random() % 20; more > 0 || text.empty(); more = more > 0 ? more - 1 : 0) {
        text.push_back(static_cast<Token>(random() % 1000));
      }
      shared.push_back(keep);
      texts.push_back(std::move(text));
    }
    for (std::size_t i = 0; i < count; ++i)
      list.push_back({texts[i], 1 + random() % texts[i].size(), shared[i]});
    check(list, pack(list, 1 + random() % 2, 1 + random() % 40, 1 + random() % 6).got);
    check(list, pack(list, 1 + random() % 2, 1 + random() % 200, 1 + random() % 30, true).got);
  }
}

// What a chunk was made of, for tests of how rows are shared.
class WatchingRunner final : public ChunkRunner {
 public:
  WatchingRunner(std::size_t slots, std::vector<std::vector<Piece>>& chunks)
      : slots_(slots), chunks_(chunks) {}
  std::size_t slots() const override { return slots_; }
  void reset(std::size_t) override {}
  void copy(std::size_t, std::size_t) override {}
  void run(std::span<const Token>, Layout layout, std::span<const std::size_t>, std::span<const Token>,
           std::span<TokenScore> scores) override {
    chunks_.emplace_back(layout.begin(), layout.end());
    std::fill(scores.begin(), scores.end(), TokenScore{-1, -1, 0});
  }
  LogitRows logits(std::size_t, std::size_t) override { return {}; }

 private:
  std::size_t slots_;
  std::vector<std::vector<Piece>>& chunks_;
};

TEST(Packer, SpreadChunksAreFullAndTheirSequencesEndTogether) {
  std::vector<std::vector<Token>> texts;
  for (std::size_t i = 0; i < 40; ++i) texts.emplace_back(200 + 97 * (i % 17) + 1, 5);
  std::vector<Sequence> list;
  std::size_t total = 0;
  for (const auto& text : texts) {
    list.push_back({.tokens = text});
    total += text.size() - 1;
  }
  std::vector<std::vector<Piece>> chunks;
  ListSource source(list);
  Collected got;
  constexpr std::size_t kRows = 4096;
  score_packed(source, got, {1, kRows, 1000, true},
               [&](std::size_t) { return std::make_unique<WatchingRunner>(64, chunks); });
  EXPECT_EQ(got.scores.size(), list.size());
  // No chunk but the last few leaves much room, and no worker ends with one long sequence alone.
  EXPECT_LE(chunks.size(), (total + kRows - 1) / kRows + 2);
  for (std::size_t c = 0; c + 3 < chunks.size(); ++c) {
    std::size_t rows = 0;
    for (const Piece& piece : chunks[c]) rows += piece.count;
    EXPECT_GE(rows, kRows - 64) << "chunk " << c;
    EXPECT_GE(chunks[c].size(), 20u) << "chunk " << c;
  }
  EXPECT_GE(chunks.back().size(), 2u);
}

TEST(Packer, SpreadPiecesAreNotTooSmallToBeWorthAStep) {
  std::vector<std::vector<Token>> texts(200, std::vector<Token>(500, 3));
  std::vector<Sequence> list;
  for (const auto& text : texts) list.push_back({.tokens = text});
  std::vector<std::vector<Piece>> chunks;
  std::vector<std::size_t> read(200);  // by slot
  ListSource source(list);
  Collected got;
  score_packed(source, got, {1, 1024, 1000, true},
               [&](std::size_t) { return std::make_unique<WatchingRunner>(200, chunks); });
  EXPECT_EQ(got.scores.size(), list.size());
  for (const auto& chunk : chunks) {
    for (const Piece& piece : chunk) {
      read.at(piece.slot) += piece.count;
      if (read[piece.slot] % 499 != 0) {
        EXPECT_GE(piece.count, 64u);
      }
    }
  }
}

// Fails every chunk with a token of `bad`.
class FailingRunner final : public ChunkRunner {
 public:
  explicit FailingRunner(Token bad) : bad_(bad) {}
  std::size_t slots() const override { return 4; }
  void reset(std::size_t) override {}
  void copy(std::size_t, std::size_t) override {}
  void run(std::span<const Token> tokens, Layout, std::span<const std::size_t>, std::span<const Token>,
           std::span<TokenScore> scores) override {
    if (std::find(tokens.begin(), tokens.end(), bad_) != tokens.end()) throw ChunkFailed("a broken chunk");
    std::fill(scores.begin(), scores.end(), TokenScore{-1, -1, 0});
  }
  LogitRows logits(std::size_t, std::size_t) override { return {}; }

 private:
  Token bad_;
};

TEST(Packer, AFailedChunkFailsItsSequencesAndNoOthers) {
  std::vector<std::vector<Token>> texts(30, std::vector<Token>(40, 3));
  texts[7][20] = 9;
  texts[22][5] = 9;
  std::vector<Sequence> list;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    list.push_back({.tokens = texts[i], .first = 1, .shared = i % 3 == 1 ? std::size_t{20} : 0});
  }
  for (const bool spread : {false, true}) {
    ListSource source(list);
    Collected got;
    score_packed(source, got, {1, 16, 1000, spread},
                 [&](std::size_t) { return std::make_unique<FailingRunner>(9); });
    EXPECT_EQ(got.scores.size() + got.failures.size(), list.size());
    EXPECT_TRUE(got.failures.contains(7) && got.failures.contains(22));
    EXPECT_LE(got.failures.size(), 10u);
    for (const auto& [index, reason] : got.failures) EXPECT_EQ(reason, "a broken chunk");
  }
}

TEST(Packer, APrefixOfAFamilyIsReadOnce) {
  // 20 questions of 100 tokens behind one prefix of 300, each with 4 endings of 5.
  std::vector<std::vector<Token>> texts;
  std::vector<Sequence> list;
  std::mt19937 random(3);
  const auto extend = [&](std::vector<Token> text, std::size_t count) {
    while (count-- > 0) text.push_back(static_cast<Token>(random() % 1000));
    return text;
  };
  const std::vector<Token> prefix = extend({}, 300);
  for (int q = 0; q < 20; ++q) {
    const std::vector<Token> question = extend(prefix, 100);
    for (int e = 0; e < 4; ++e) texts.push_back(extend(question, 5));
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    list.push_back({texts[i], 400, i == 0 ? 0u : i % 4 == 0 ? 300u : 400u});
  }
  const Result result = pack(list, 1, 512, 32);
  check(list, result.got);
  // Each ending reads the last shared token again and not its own last one: 300 + 20 * 100 + 80 * 4, and
  // little more.
  EXPECT_LE(result.read, 300 + 20 * 101 + 80 * 5);
}

class ThrowingSink final : public ScoreSink {
 public:
  void scored(std::size_t, std::span<const TokenScore>) override { throw std::runtime_error("disk full"); }
  void failed(std::size_t, const std::string&) override {}
};

// A source that takes its time, so that workers meet at it.
class SlowSource final : public SequenceSource {
 public:
  explicit SlowSource(const std::vector<Sequence>& list) : list_(list) {}
  bool next(Sequence& out) override {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    return list_.next(out);
  }

 private:
  ListSource list_;
};

TEST(Packer, AFamilyStaysWithOneWorker) {
  constexpr std::size_t kFamilies = 12, kMembers = 10, kPrefix = 200, kOwn = 20;
  std::vector<std::vector<Token>> texts;
  std::vector<Sequence> list;
  for (std::size_t i = 0; i < kFamilies * kMembers; ++i) {
    std::vector<Token> text(kPrefix, static_cast<Token>(i / kMembers));
    for (std::size_t t = 0; t < kOwn; ++t) text.push_back(static_cast<Token>(100 + i + t));
    texts.push_back(text);
  }
  for (std::size_t i = 0; i < texts.size(); ++i)
    list.push_back({texts[i], kPrefix, i % kMembers == 0 ? std::size_t{0} : kPrefix});
  const auto read_by = [&](std::size_t workers) {
    Collected got;
    std::atomic<std::size_t> read{0};
    SlowSource source(list);
    score_packed(source, got, {workers, 64, 1000},
                 [&](std::size_t) { return std::make_unique<HistoryRunner>(40, read, 64); });
    check(list, got);
    return read.load();
  };
  const std::size_t alone = read_by(1);
  EXPECT_LE(alone, kFamilies * (kPrefix + kMembers * kOwn));
  for (int round = 0; round < 5; ++round) EXPECT_EQ(read_by(3), alone);
}

TEST(Packer, WhatTheSinkThrowsEndsTheRun) {
  const std::vector<Token> text = {1, 2, 3};
  ListSource source(std::vector<Sequence>(50, Sequence{.tokens = text}));
  ThrowingSink sink;
  std::atomic<std::size_t> read{0};
  EXPECT_THROW(score_packed(source, sink, {3, 10, 1000},
                            [&](std::size_t) { return std::make_unique<HistoryRunner>(4, read, 10); }),
               std::runtime_error);
}

}  // namespace
}  // namespace deciban
