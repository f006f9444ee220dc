#include "evals/request_window.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/evals/fake_models.h"
#include "tests/evals/task_files.h"

namespace deciban {
namespace {

using nlohmann::json;

const json& mechanics() {
  static const json all = read_json(golden("tasks/mechanics.json"));
  return all;
}

// The golden file's toy tokenizer: the longest entry of its list (of equal ones the last), left to right.
std::vector<Token> toy_encode(std::string_view text) {
  const json& vocabulary = mechanics()["vocab"];
  std::vector<Token> tokens;
  while (!text.empty()) {
    std::size_t best = 0, length = 0;
    for (std::size_t i = 1; i < vocabulary.size(); ++i) {
      const auto& entry = vocabulary[i].get_ref<const std::string&>();
      if (entry.size() >= length && text.starts_with(entry)) {
        best = i;
        length = entry.size();
      }
    }
    if (length == 0) throw std::logic_error("not in the toy vocabulary: " + std::string(text));
    tokens.push_back(static_cast<Token>(best));
    text.remove_prefix(length);
  }
  return tokens;
}

TEST(EncodePair, IsTheHarnesss) {
  for (const json& c : mechanics()["encode_pairs"]) {
    const TokenPair pair =
        encode_pair(toy_encode, 0, c["context"].get<std::string>(), c["continuation"].get<std::string>());
    EXPECT_EQ(json(pair.context), c["context_enc"]) << c;
    EXPECT_EQ(json(pair.continuation), c["continuation_enc"]) << c;
  }
}

TEST(EncodePair, APrefixThatTheContinuationBringsAlongIsNotDoubled) {
  const auto with_start = [](std::string_view text) {
    std::vector<Token> tokens{7};
    for (const char c : text) tokens.push_back(c);
    return tokens;
  };
  const TokenPair pair = encode_pair(with_start, 7, "", "a");
  EXPECT_EQ(pair.context, std::vector<Token>{7});
  EXPECT_EQ(pair.continuation, std::vector<Token>{'a'});
}

TEST(RollingWindows, AreTheHarnesss) {
  std::size_t checked = 0;
  for (const json& c : mechanics()["rolling"]) {
    if (c["context_len"] != 1) continue;
    std::vector<Token> tokens;
    for (int i = 1; i <= c["num_tokens"].get<int>(); ++i) tokens.push_back(i);
    json windows = json::array(), lengths = json::array();
    for (const Window& window : rolling_windows(tokens, c["prefix_token"], c["max_seq_len"])) {
      const auto first = window.tokens.begin() + static_cast<std::ptrdiff_t>(window.first);
      const std::vector<Token> read(window.tokens.begin(), first), scored(first, window.tokens.end());
      windows.push_back({read, scored});
      lengths.push_back({read.size(), scored.size()});
    }
    if (c.contains("disjoint")) {
      EXPECT_EQ(windows, c["disjoint"]) << c["num_tokens"] << " " << c["max_seq_len"];
    } else {  // a long text: lengths, and its last window
      EXPECT_EQ(lengths, c["disjoint_lens"]);
      EXPECT_EQ(windows.back(), c["last_disjoint"]);
    }
    ++checked;
  }
  EXPECT_GE(checked, 8u);
}

TEST(RequestCutter, CutsOffFromTheLeftAsTheHarness) {
  fakes::UniformModel model;
  for (const json& c : mechanics()["truncation"]) {
    std::string context, continuation;
    for (int i = 0; i < c["ctx_len"].get<int>(); ++i) context += static_cast<char>(100 + i);
    for (int i = 0; i < c["cont_len"].get<int>(); ++i) continuation += static_cast<char>(200 + i);
    const auto length = c["max_length_arg"].get<std::size_t>();
    const Windowing policy{Windowing::Kind::lm_eval, length, 0};
    const Windows windows = RequestCutter(model, policy, 0).cut({context, continuation, {}, false});
    ASSERT_EQ(windows.windows.size(), 1u);
    const Window& window = windows.windows[0];
    std::vector<Token> input = window.tokens;
    input.pop_back();  // scored, not read
    EXPECT_EQ(json(input), c["hf_model_input"]) << c;
    EXPECT_EQ(window.first - 1, c["hf_scored_positions"][0].get<std::size_t>()) << c;
    EXPECT_EQ(window.tokens.size() - 1, c["hf_scored_positions"][1].get<std::size_t>()) << c;
    EXPECT_EQ(windows.tokens, continuation.size());
  }
}

TEST(RequestCutter, RefusesAContinuationThatDoesNotFit) {
  fakes::UniformModel model;
  const Windowing policy{Windowing::Kind::lm_eval, 3, 0};
  EXPECT_NO_THROW(RequestCutter(model, policy, 0).cut({"x", "abc", {}, false}));
  EXPECT_THROW(RequestCutter(model, policy, 0).cut({"x", "abcd", {}, false}), std::runtime_error);
}

TEST(RequestCutter, PaperPutsALineBreakBeforeAndEncodesApart) {
  fakes::PairModel model;  // "ab" is one token, so that the joint encoding of a|b is another
  const Windowing policy = Windowing::parse("paper");
  const Windows windows = RequestCutter(model, policy, 0).cut({"xa", "b", {}, false});
  EXPECT_EQ(windows.windows[0].tokens, (std::vector<Token>{'\n', model.encode("xa")[0], 'b'}));
  EXPECT_EQ(windows.windows[0].first, 2u);
  const Windows empty = RequestCutter(model, policy, 0).cut({"", "b", {}, false});
  EXPECT_EQ(empty.windows[0].tokens, (std::vector<Token>{'\n', 0, 'b'}));
  EXPECT_EQ(empty.windows[0].first, 2u);
}

TEST(RequestCutter, RnnCutsNothingOffAndEqualsTheHarnessWhereNothingIsTooLong) {
  fakes::PairModel model;
  const std::string context(5000, 'x');
  const Windows rnn = RequestCutter(model, Windowing::parse("rnn"), 0).cut({context, " y", {}, false});
  EXPECT_EQ(rnn.windows[0].tokens.size(), 2502u);
  const Windows long_enough =
      RequestCutter(model, Windowing::parse("lm-eval:2501"), 0).cut({context, " y", {}, false});
  EXPECT_EQ(long_enough.windows[0].tokens, rnn.windows[0].tokens);
  const Windows shorter =
      RequestCutter(model, Windowing::parse("lm-eval:100"), 0).cut({context, " y", {}, false});
  EXPECT_EQ(shorter.windows[0].tokens.size(), 101u);
}

TEST(RequestCutter, AnEmptyContextNeedsAStartToken) {
  fakes::UniformModel model;
  const Windowing policy = Windowing::parse("rnn");
  EXPECT_EQ(RequestCutter(model, policy, 0).cut({"", "a", {}, false}).windows[0].tokens,
            (std::vector<Token>{0, 'a'}));
  EXPECT_EQ(RequestCutter(model, policy, 0).cut({" \n", "a", {}, false}).windows[0].tokens,
            (std::vector<Token>{0, ' ', '\n', 'a'}));
  EXPECT_THROW(RequestCutter(model, policy, std::nullopt).cut({"", "a", {}, false}), std::runtime_error);
}

TEST(RequestCutter, WholeTextsAreScoredOnceInEveryMode) {
  fakes::UniformModel model;
  const std::string text(5000, 'x');
  for (const char* name : {"lm-eval:2048", "paper", "rnn"}) {
    const Windowing policy = Windowing::parse(name);
    EXPECT_EQ(policy.name(), name);
    const Windows windows = RequestCutter(model, policy, 0).cut({"", text, {}, true});
    std::size_t scored = 0;
    for (const Window& window : windows.windows) scored += window.tokens.size() - window.first;
    EXPECT_EQ(scored, text.size()) << name;
    EXPECT_EQ(windows.windows.size(), policy.kind == Windowing::Kind::rnn ? 1u : 3u);
  }
  EXPECT_TRUE(RequestCutter(model, Windowing::parse("rnn"), 0).cut({"", "", {}, true}).windows.empty());
}

TEST(RequestCutter, RefusesWhatExceedsAModelsLimit) {
  fakes::UniformModel model;
  model.edit().context_limit = 10;
  const Windowing policy = Windowing::parse("rnn");
  EXPECT_NO_THROW(
      RequestCutter(model, policy, 0).cut({"123456789", "ab", {}, false}));  // the last is not read
  EXPECT_THROW(RequestCutter(model, policy, 0).cut({"1234567890", "ab", {}, false}), std::runtime_error);
}

TEST(Windowing, KnowsTheModesOfTasks) {
  EXPECT_THROW(Windowing::parse("lm-eval"), std::invalid_argument);
  EXPECT_THROW(Windowing::parse("lm-eval:0"), std::invalid_argument);
  EXPECT_THROW(Windowing::parse("paper:2048"), std::invalid_argument);
  EXPECT_TRUE(Windowing::parse("rnn").is_request());
  EXPECT_FALSE(Windowing::parse("whole").is_request());
}

}  // namespace
}  // namespace deciban
