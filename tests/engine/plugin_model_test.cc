// The plugin host: what goes through it unchanged, and what it refuses by name.
#include "engine/plugin_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "engine/model_spec.h"
#include "tests/engine/scoring.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::unique_ptr<LanguageModel> open_double(const std::string& fault = "") {
  return open_model(std::string("plugin:" DECIBAN_PLUGIN_DOUBLE) + (fault.empty() ? "" : ",fault=" + fault),
                    {});
}

// Several sequences of some tokens each.
class PluginScores : public testing::Test {
 protected:
  PluginScores() {
    for (Token t = 0; t < 40; ++t) tokens_.push_back((t * 37) % 256);
  }
  std::vector<Sequence> sequences(std::size_t n = 6) const {
    std::vector<Sequence> list;
    for (std::size_t i = 0; i < n; ++i) {
      list.push_back({std::span(tokens_).subspan(i, 20), 1 + i % 3, 0});
    }
    return list;
  }
  std::vector<Token> tokens_;
};

TEST_F(PluginScores, ArriveByIndexWhateverTheOrder) {
  const auto model = open_double();
  const Collected got = score(*model, sequences(), true);
  ASSERT_EQ(got.scores.size(), 6u);
  EXPECT_TRUE(got.failures.empty());
  const auto batch = model->start_batch(1);
  const auto list = sequences();
  for (std::size_t s = 0; s < list.size(); ++s) {
    batch->reset(0);
    for (std::size_t i = 0; i + 1 < list[s].tokens.size(); ++i) {
      const LogitRows rows = batch->step({&list[s].tokens[i], 1});
      if (i + 1 < list[s].first) continue;
      const std::size_t k = i + 1 - list[s].first;
      const TokenScore best = best_of(rows.row(0));
      EXPECT_EQ(got.scores.at(s)[k].best, best.best);
      EXPECT_FLOAT_EQ(got.scores.at(s)[k].best_logprob, best.best_logprob);
      EXPECT_TRUE(std::equal(rows.data, rows.data + 256, got.logits.at(s).data() + k * 256));
    }
  }
}

TEST_F(PluginScores, WrongValuesFailTheirSequenceAndNameThePluginAndTheValue) {
  const std::pair<const char*, std::vector<const char*>> faults[] = {
      {"nan", {"log-probability nan for token 19", "not a number"}},
      {"positive", {"log-probability 0.5", "a probability above 1"}},
      {"best_positive", {"best token 0.5"}},
      {"best_less", {"log-probability of the best token", "less than the token's own"}},
      {"best_outside", {"best token 256", "only tokens 0 to 255"}},
      {"best_negative", {"best token -1", "only tokens 0 to 255"}},
      {"best_differs", {"but it is this very token"}},
      {"too_few", {"18 scores for 19 tokens"}},
      {"too_many", {"20 scores for 19 tokens"}},
  };
  for (const auto& [fault, words] : faults) {
    const auto model = open_double(fault);
    const Collected got = score(*model, sequences(1));
    ASSERT_EQ(got.failures.size(), 1u) << fault;
    for (const char* word : words) EXPECT_THAT(got.failures.at(0), HasSubstr(word)) << fault;
    EXPECT_THAT(got.failures.at(0), HasSubstr("plugin '" DECIBAN_PLUGIN_DOUBLE "'"));
  }
}

TEST_F(PluginScores, WrongRowsFailTheirSequence) {
  const std::pair<const char*, const char*> faults[] = {{"rows_columns", "rows of 128 logits"},
                                                        {"rows_few", "only up to token 19 of 20"},
                                                        {"rows_position", "where token 1 of 20 was next"}};
  for (const auto& [fault, words] : faults) {
    const auto model = open_double(fault);
    const Collected got = score(*model, sequences(1), true);
    ASSERT_EQ(got.failures.size(), 1u) << fault;
    EXPECT_THAT(got.failures.at(0), HasSubstr(words));
    EXPECT_TRUE(score(*model, sequences(1)).failures.empty()) << "without rows there is nothing wrong";
  }
  const auto model = open_double("no_rows");
  EXPECT_THAT(message_of([&] { score(*model, sequences(1), true); }), HasSubstr("gives no rows"));
}

TEST_F(PluginScores, OneFailureLosesOneSequence) {
  for (const auto& [fault, words] :
       {std::pair{"fails_one", "out of paper"}, {"undelivered", "gave no result"}}) {
    const auto model = open_double(fault);
    const Collected got = score(*model, sequences());
    EXPECT_EQ(got.scores.size(), 5u) << fault;
    ASSERT_TRUE(got.failures.contains(1)) << fault;
    EXPECT_THAT(got.failures.at(1), HasSubstr(words));
  }
}

TEST_F(PluginScores, WhatCannotBeTrustedEndsTheRun) {
  const std::pair<const char*, const char*> faults[] = {
      {"twice", "had delivered before"},
      {"unknown_index", "which it was not given"},
      {"stops_asking", "stopped asking for sequences"},
      {"score_fails", "the device is lost"},
      {"score_memory", "out of memory"},
  };
  for (const auto& [fault, words] : faults) {
    const auto model = open_double(fault);
    EXPECT_THAT(message_of([&] { score(*model, sequences()); }),
                AllOf(HasSubstr("plugin_double"), HasSubstr(words)))
        << fault;
  }
}

TEST_F(PluginScores, SequencesThatNobodyCanScoreNeverReachThePlugin) {
  const std::vector<Token> outside{1, 256, 3}, long_one(10, 1), fits(9, 1), good{1, 2, 3};
  const auto model = open_double("limit");
  const Collected got = score(*model, {{outside, 1, 0},
                                       {good, 1, 2},
                                       {long_one, 1, 0},
                                       {good, 4, 0},
                                       {good, 3, 0},
                                       {fits, 8, 0}});  // the last token is not read
  EXPECT_THAT(got.failures.at(0), HasSubstr("token 1 is 256"));
  EXPECT_EQ(got.scores.at(1).size(), 2u);
  EXPECT_THAT(got.failures.at(2), HasSubstr("9 tokens are more than the 8"));
  EXPECT_THAT(got.failures.at(3), HasSubstr("cannot be scored from token 4"));
  EXPECT_TRUE(got.scores.at(4).empty());
  EXPECT_EQ(got.scores.at(5).size(), 1u);
}

TEST_F(PluginScores, AnExceptionOfTheCallersSinkComesBack) {
  struct Angry final : ScoreSink {
    void scored(std::size_t, std::span<const TokenScore>) override { throw std::runtime_error("disk full"); }
    void failed(std::size_t, const std::string&) override {}
  } sink;
  const auto model = open_double();
  ListSource source(sequences());
  EXPECT_EQ(message_of([&] { model->score(source, sink); }), "disk full");
}

TEST(PluginHost, ReadsInfoTokensAndMemory) {
  const auto model = open_double();
  EXPECT_EQ(model->info().name, "double");
  EXPECT_EQ(model->info().vocabulary, 256u);
  EXPECT_EQ(model->info().start_token, 0);
  EXPECT_EQ(model->info().parameters, 1000u);
  EXPECT_EQ(model->info().digest.size(), 64u) << "made by the host, since the plugin has none";
  EXPECT_NE(model->info().digest, open_double("limit")->info().digest);
  EXPECT_EQ(open_double("limit")->info().context_limit, 8u);
  EXPECT_THAT(model->encode("az\xff"), testing::ElementsAre('a', 'z', 255));
  EXPECT_EQ(model->decode(model->encode("any text")), "any text");
  EXPECT_EQ(model->memory().weights, 4000u);
}

TEST(PluginHost, RefusesWrongInfoTokensAndBatches) {
  const std::pair<const char*, const char*> infos[] = {
      {"info_garbage", "not a JSON object but 'n_vocab: 256'"},
      {"info_no_vocab", "no \"n_vocab\""},
      {"info_type", "\"n_vocab\": \"many\"; it must be a whole number"},
      {"start_outside", "\"start_token\": 256; it must be a whole number from 0 to 255"},
      {"open", "no such paper"},
      {"open_silent", "open() failed with code 1"},
      {"open_nothing", "gave no model"},
  };
  for (const auto& [fault, words] : infos) {
    EXPECT_THAT(message_of([&] { open_double(fault); }), AllOf(HasSubstr("plugin '"), HasSubstr(words)))
        << fault;
  }
  EXPECT_THROW(open_double("open"), std::invalid_argument) << "a mistake of the user's";
  EXPECT_THAT(message_of([] { open_double("token_outside")->encode("xyz"); }),
              HasSubstr("encode() gave token 256 at place 2"));
  EXPECT_THAT(message_of([] { open_double("encode")->encode("x"); }), HasSubstr("the vocabulary is gone"));
  const std::vector<Token> two{1, 2};
  for (const auto& [fault, words] : {std::pair{"batch_nan", "not numbers"},
                                     {"batch_columns", "255 logits a sequence, but it has 256"},
                                     {"batch_nothing", "0 logits a sequence"}}) {
    const auto model = open_double(fault);
    const auto batch = model->start_batch(2);
    EXPECT_THAT(message_of([&] { batch->step(two); }), HasSubstr(words)) << fault;
  }
  const auto best = open_double("step_best_outside");
  const auto batch = best->start_batch(2);
  std::vector<TokenScore> scores(2);
  EXPECT_THAT(message_of([&] { batch->step_best(two, scores); }), HasSubstr("gave token 300"));
  EXPECT_THAT(message_of([&] { batch->step({two.data(), 1}); }), HasSubstr("2 sequences was given 1 tokens"));
  EXPECT_THAT(message_of([&] { batch->copy(0, 2); }), HasSubstr("sequence 2 of a batch of 2"));
  EXPECT_EQ(open_double("no_batch")->start_batch(2), nullptr);
}

TEST(PluginHost, BatchesStepCopyAndReset) {
  const auto model = open_double();
  const auto batch = model->start_batch(3);
  const std::vector<Token> a{1, 2, 3}, b{4, 4, 4};
  batch->step(a);
  batch->copy(0, 1);
  batch->reset(2);
  const LogitRows rows = batch->step(b);
  const std::vector<float> first(rows.row(0).begin(), rows.row(0).end());
  EXPECT_TRUE(std::equal(first.begin(), first.end(), rows.row(1).begin()));
  EXPECT_FALSE(std::equal(first.begin(), first.end(), rows.row(2).begin()));
  EXPECT_EQ(batch->state_bytes(), 24u);
}

class PluginTable : public testing::Test {
 protected:
  static std::string complaint(const char* fault) {
    ::setenv("DECIBAN_DOUBLE_TABLE", fault, 1);
    const std::string text = message_of([] { open_double(); });
    ::unsetenv("DECIBAN_DOUBLE_TABLE");
    return text;
  }
};

TEST_F(PluginTable, IsCheckedBeforeAnythingIsCalled) {
  EXPECT_THAT(complaint("abi"),
              AllOf(HasSubstr("version 2 of the plugin ABI"), HasSubstr("speaks version 1")));
  EXPECT_THAT(complaint("short"), HasSubstr("its table says it has"));
  EXPECT_THAT(complaint("no_score"), HasSubstr("lacks the function 'score'"));
  EXPECT_THAT(complaint("half_batch"), HasSubstr("lacks the function 'batch_copy'"));
  EXPECT_THAT(complaint("nothing"), HasSubstr("returned nothing"));
}

TEST_F(PluginTable, MayBeOfAVersionWithoutTheOptionalFunctions) {
  ::setenv("DECIBAN_DOUBLE_TABLE", "old", 1);
  const auto model = open_double();
  ::unsetenv("DECIBAN_DOUBLE_TABLE");
  EXPECT_EQ(model->start_batch(1), nullptr);
  EXPECT_EQ(model->memory().weights, 0u);
  EXPECT_EQ(model->normalise("as it is"), "as it is");
  const std::vector<Token> tokens{1, 2, 3};
  EXPECT_EQ(score(*model, {{tokens, 1, 0}}).scores.at(0).size(), 2u);
}

TEST(PluginSearch, NamesWhereItLookedAndWhatIsThere) {
  const std::string text = message_of([] { open_model("plugin:unifrom", {}); });
  EXPECT_THAT(text, AllOf(HasSubstr("no plugin 'unifrom'"), HasSubstr("deciban/plugins"),
                          HasSubstr("uniform"), HasSubstr("DECIBAN_PLUGIN_PATH")));
  EXPECT_THAT(message_of([] { check_model("plugin:./nowhere/x.so", {}); }), HasSubstr("no such file"));
}

TEST(PluginSearch, LooksInTheFoldersOfTheEnvironmentFirst) {
  const ScratchDirectory scratch;
  std::filesystem::create_symlink(DECIBAN_PLUGIN_DOUBLE, scratch / "mine.so");
  std::ofstream(scratch / "text.so") << "no library";
  const std::string path =
      "/nonexistent:" + std::filesystem::path(scratch / "mine.so").parent_path().string();
  ::setenv("DECIBAN_PLUGIN_PATH", path.c_str(), 1);
  EXPECT_EQ(open_model("plugin:mine", {})->info().name, "double");
  EXPECT_THAT(message_of([] { open_model("plugin:text", {}); }), HasSubstr("cannot be opened"));
  EXPECT_THAT(message_of([] { open_model("plugin:other", {}); }),
              HasSubstr("plugins there: hyena, mamba, mine, text, transformer, uniform"));
  ::unsetenv("DECIBAN_PLUGIN_PATH");
}

TEST(PluginSearch, ALibraryThatIsNoPluginIsToldSo) {
  EXPECT_THAT(message_of([] { open_model("plugin:" DECIBAN_FAKE_CUDA, {}); }),
              HasSubstr("does not export deciban_plugin()"));
}

TEST(PluginSearch, ChecksWithoutOpening) {
  EXPECT_NO_THROW(check_model("plugin:uniform", {}));
  EXPECT_THAT(message_of([] { check_model("plugin:uniform,n=3", {}); }), HasSubstr("it has no options"));
}

TEST(ModelSpec, SplitsAtCommasThatAreNotEscaped) {
  const ModelSpec spec = parse_model_spec("name,model=a\\,b/,mode=x=y");
  EXPECT_EQ(spec.target, "name");
  EXPECT_EQ(*spec.find("model"), "a,b/");
  EXPECT_EQ(*spec.find("mode"), "x=y");
  EXPECT_EQ(spec.find("none"), nullptr);
  EXPECT_THAT(message_of([] { parse_model_spec("name,word"); }), HasSubstr("'word' is not KEY=VALUE"));
  EXPECT_THAT(message_of([] { parse_model_spec("name,a=1,a=2"); }), HasSubstr("'a' is given twice"));
  EXPECT_THAT(message_of([] { parse_model_spec(",a=1"); }), HasSubstr("no name"));
}

TEST(ModelSpec, CommandsKeepTheirCommas) {
  const ModelSpec spec = parse_model_spec("python x.py --a=1,2,b=3,timeout=5", {"timeout", "tokenizer"});
  EXPECT_EQ(spec.target, "python x.py --a=1,2,b=3");
  EXPECT_EQ(*spec.find("timeout"), "5");
  EXPECT_EQ(parse_model_spec("x,timeout=5,tokenizer=a,b", {"timeout", "tokenizer"}).find("tokenizer")->size(),
            3u);
}

}  // namespace
}  // namespace deciban
