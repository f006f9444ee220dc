// What lm-eval computed through `deciban serve` (scripts/oracle/serve_lm_eval.py) is what the engine gives.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "engine/lm.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using nlohmann::json;

struct One final : SequenceSource, ScoreSink {
  Sequence sequence;
  bool given = false;
  std::vector<TokenScore> scores;
  bool next(Sequence& out) override {
    out = sequence;
    return !std::exchange(given, true);
  }
  void scored(std::size_t, std::span<const TokenScore> s) override { scores.assign(s.begin(), s.end()); }
  void failed(std::size_t, const std::string& reason) override { ADD_FAILURE() << reason; }
};

TEST(ServeGolden, TheEngineGivesWhatLmEvalGotFromTheServer) {
  std::ifstream file(source_dir() / "tests/golden/serve/lm_eval.json");
  const json golden = json::parse(file);
  ModelOptions options;
  options.format = golden["mode"];
  const auto model = open_model((source_dir() / "datasets/demo/rwkv7/model.pth").string(), options);
  ASSERT_GE(golden["requests"].size(), 10u);
  for (const json& request : golden["requests"]) {
    auto tokens = request["context"].get<std::vector<Token>>();
    const std::size_t first = tokens.size();
    const auto continuation = request["continuation"].get<std::vector<Token>>();
    tokens.insert(tokens.end(), continuation.begin(), continuation.end());
    One one;
    one.sequence = {tokens, first, 0};
    model->score(one, one);
    ASSERT_EQ(one.scores.size(), continuation.size());
    double logprob = 0;
    bool greedy = true;
    for (std::size_t i = 0; i < continuation.size(); ++i) {
      logprob += one.scores[i].logprob;
      greedy = greedy && one.scores[i].best == continuation[i];
    }
    const double expected = request["logprob"];
    EXPECT_NEAR(logprob, expected, 1e-5 * std::max(1.0, std::abs(expected)))
        << "other instruction sets round anew";
    EXPECT_EQ(greedy, request["greedy"].get<bool>());
  }
}

}  // namespace
}  // namespace deciban
