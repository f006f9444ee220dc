// Language models without weights, whose answers can be checked by hand.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/lm.h"

namespace deciban::fakes {

// Bytes as tokens, 0 as start token, no limit.  Subclasses say how a token is scored.
class FakeModel : public LanguageModel {
 public:
  FakeModel() {
    info_.name = "fake";
    info_.digest = "fake-digest";
    info_.tokenizer = "bytes";
    info_.tokenizer_digest = "bytes-digest";
    info_.format = info_.weight_format = info_.activation_format = "f32";
    info_.device = "cpu";
    info_.kernels = "fake";
    info_.vocabulary = 256;
    info_.parameters = 1000;
    info_.start_token = 0;
  }
  const ModelInfo& info() const override { return info_; }
  ModelInfo& edit() { return info_; }

  std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> tokens;
    for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
    return tokens;
  }
  std::string decode(std::span<const Token> tokens) const override {
    std::string text;
    for (const Token t : tokens) text.push_back(static_cast<char>(t));
    return text;
  }

  // Holds up to `room` sequences and delivers them in an order of its own.
  void score(SequenceSource& next, ScoreSink& done) override {
    std::vector<Sequence> held;
    std::vector<std::size_t> order;
    std::size_t index = 0;
    bool more = true;
    std::mt19937 random(seed);
    while (more || !held.empty()) {
      Sequence sequence;
      while (more && held.size() < room && (more = next.next(sequence))) {
        if (sequence.first < 1) throw std::logic_error("first must be at least 1");
        if (info_.context_limit && sequence.tokens.size() > *info_.context_limit) {
          throw std::logic_error(fmt::format("{} tokens beyond the limit", sequence.tokens.size()));
        }
        held.push_back(sequence);
        order.push_back(index++);
        sequence = {};
      }
      if (held.empty()) break;
      const std::size_t pick = scramble ? random() % held.size() : 0;
      deliver(order[pick], held[pick], done);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(pick));
      order.erase(order.begin() + static_cast<std::ptrdiff_t>(pick));
    }
  }

  std::size_t room = 1;
  bool scramble = false;
  unsigned seed = 1;
  std::size_t read_tokens = 0, sequences = 0, scored_tokens = 0;

 protected:
  virtual TokenScore token_score(std::span<const Token> before, Token token) = 0;
  virtual void deliver(std::size_t index, const Sequence& sequence, ScoreSink& done) {
    ++sequences;
    read_tokens += sequence.tokens.size();
    std::vector<TokenScore> scores;
    for (std::size_t i = sequence.first; i < sequence.tokens.size(); ++i) {
      scores.push_back(token_score(sequence.tokens.first(i), sequence.tokens[i]));
    }
    scored_tokens += scores.size();
    done.scored(index, scores);
  }
  ModelInfo info_;
};

// Exactly 8 bits for every byte.
class UniformModel : public FakeModel {
 public:
  UniformModel() { info_.name = "uniform"; }

 protected:
  TokenScore token_score(std::span<const Token>, Token token) override {
    const float logprob = static_cast<float>(-8 * std::log(2.0));
    return {logprob, logprob, token == 0 ? 0 : 1};
  }
};

// Every probability depends on all tokens before, in their order: windows or sequences that are cut, ordered
// or put together wrongly show.
class HashModel : public FakeModel {
 public:
  HashModel() {
    info_.name = "hash";
    info_.digest = "hash-digest";
  }
  static TokenScore of(std::span<const Token> before, Token token) {
    std::uint64_t hash = 14695981039346656037u;
    const auto mix = [&](Token t) { hash = (hash ^ static_cast<std::uint64_t>(t + 1)) * 1099511628211u; };
    for (const Token t : before) mix(t);
    mix(token);
    const auto value = static_cast<float>((hash >> 20) % 4096) / 1024.0f;
    return {-0.001f - value, -0.001f, value == 0 || hash % 3 == 0 ? token : token + 1};
  }

 protected:
  TokenScore token_score(std::span<const Token> before, Token token) override { return of(before, token); }
};

// Two lower-case letters in a row are one token, so that bytes and tokens differ and cutting changes the
// tokens.
class PairModel : public HashModel {
 public:
  PairModel() {
    info_.name = "pairs";
    info_.tokenizer = "pairs";
    info_.tokenizer_digest = "pairs-digest";
    info_.vocabulary = 256 + 26 * 26;
  }
  std::vector<Token> encode(std::string_view text) const override {
    const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
    std::vector<Token> tokens;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (i + 1 < text.size() && letter(text[i]) && letter(text[i + 1])) {
        tokens.push_back(256 + 26 * (text[i] - 'a') + (text[i + 1] - 'a'));
        ++i;
      } else {
        tokens.push_back(static_cast<unsigned char>(text[i]));
      }
    }
    return tokens;
  }
  std::string decode(std::span<const Token> tokens) const override {
    std::string text;
    for (const Token t : tokens) {
      if (t >= 256) {
        text.push_back(static_cast<char>('a' + (t - 256) / 26));
        text.push_back(static_cast<char>('a' + (t - 256) % 26));
      } else {
        text.push_back(static_cast<char>(t));
      }
    }
    return text;
  }
};

// Its tokenizer lower-cases ASCII and says so; `mangle` also drops every 'x', without saying so.
class LossyModel : public HashModel {
 public:
  LossyModel() { info_.name = "lossy"; }
  std::string normalise(std::string_view text) const override {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return result;
  }
  std::vector<Token> encode(std::string_view text) const override {
    std::string normal = normalise(text);
    if (mangle) std::erase(normal, 'x');
    return FakeModel::encode(normal);
  }
  bool mangle = false;
};

// What can go wrong in a model's delivery.
class TroubledModel : public HashModel {
 public:
  enum class Trouble { fails, nan, positive, minus_infinity, too_few, silent, twice, throws };
  Trouble trouble = Trouble::fails;
  std::set<std::size_t> when;  // indices of the sequences

 protected:
  void deliver(std::size_t index, const Sequence& sequence, ScoreSink& done) override {
    if (!when.contains(index)) return HashModel::deliver(index, sequence, done);
    std::vector<TokenScore> scores(sequence.tokens.size() - sequence.first, TokenScore{-1, -1, 0});
    switch (trouble) {
      case Trouble::fails:
        return done.failed(index, "out of paper");
      case Trouble::nan:
        scores.back().logprob = NAN;
        break;
      case Trouble::positive:
        scores.front().logprob = 0.5f;
        break;
      case Trouble::minus_infinity:
        scores.front().logprob = -INFINITY;
        break;
      case Trouble::too_few:
        scores.pop_back();
        break;
      case Trouble::silent:
        return;
      case Trouble::twice:
        done.scored(index, scores);
        break;
      case Trouble::throws:
        throw std::runtime_error("the device is lost");
    }
    done.scored(index, scores);
  }
};

}  // namespace deciban::fakes
