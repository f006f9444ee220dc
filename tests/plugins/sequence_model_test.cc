// Mamba and Hyena: equal to their definitions in float64 and to the published implementations' figures,
// whether a text is read at once, in pieces, or stepped through.
#include "plugins/sequence_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/engine/scoring.h"
#include "tests/plugins/sequence_definitions.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Case {
  std::string plugin, folder;
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.folder; }
};

std::unique_ptr<LanguageModel> open(const std::string& spec, int threads = 1,
                                    const std::string& format = "f32") {
  ModelOptions options;
  options.threads = threads;
  options.format = format;
  return open_model("plugin:" + spec, options);
}

class SequenceModel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    folder_ = golden("sequences/" + GetParam().folder);
    spec_ = GetParam().plugin + ",model=" + folder_.string();
    expected_ = read_json(folder_ / "expected.json");
    tokens_ = expected_.at("tokens").get<std::vector<Token>>();
  }
  std::filesystem::path folder_;
  std::string spec_;
  nlohmann::json expected_;
  std::vector<Token> tokens_;
};

TEST_P(SequenceModel, EqualsThePublishedImplementation) {
  const auto model = open(spec_);
  const auto scores = score(*model, {{tokens_, 1, 0}}).scores.at(0);
  const auto published = expected_.at("logprobs").get<std::vector<double>>();
  ASSERT_EQ(scores.size(), published.size());
  for (std::size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(scores[i].logprob, published[i], 5e-5) << i;
}

TEST_P(SequenceModel, EqualsItsDefinition) {
  const auto model = open(spec_);
  const auto scores = score(*model, {{tokens_, 1, 0}}).scores.at(0);
  const std::vector<double> defined = Definition(folder_).logprobs(tokens_);
  for (std::size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(scores[i].logprob, defined[i], 5e-5) << i;
}

TEST_P(SequenceModel, EveryInstructionSetAgrees) {
  const std::vector<double> defined = Definition(folder_).logprobs(tokens_);
  for (const std::string& isa : supported_isas()) {
    ::setenv("DECIBAN_ISA", isa.c_str(), 1);
    const auto model = open(spec_);
    ::unsetenv("DECIBAN_ISA");
    EXPECT_EQ(model->info().kernels, isa);
    const auto scores = score(*model, {{tokens_, 1, 0}}).scores.at(0);
    for (std::size_t i = 0; i < scores.size(); ++i)
      EXPECT_NEAR(scores[i].logprob, defined[i], 5e-5) << isa << i;
  }
}

TEST_P(SequenceModel, SteppingEqualsReading) {
  const auto model = open(spec_, 2);
  const std::size_t columns = model->info().vocabulary, last = tokens_.size() - 1;
  const Collected whole = score(*model, {{tokens_, 1, 0}}, true);
  const std::vector<float>& logits = whole.logits.at(0);
  const auto batch = model->start_batch(2);
  // Sequence 0 steps from the start; sequence 1 reads 70 tokens at once, in two unequal parts, then steps.
  const std::span<const Token> all = tokens_;
  ASSERT_TRUE(batch->read(1, all.first(69)));
  ASSERT_TRUE(batch->read(1, all.subspan(69, 1)));
  for (std::size_t t = 0; t + 70 < last; ++t) {
    const LogitRows rows = batch->step(std::vector<Token>{tokens_[t], tokens_[t + 70]});
    for (std::size_t c = 0; c < columns; ++c) {
      ASSERT_NEAR(rows.row(0)[c], logits[t * columns + c], 2e-4) << t;
      ASSERT_NEAR(rows.row(1)[c], logits[(t + 70) * columns + c], 2e-4) << t;
    }
  }
  // A copy goes on where the other is; a reset forgets everything.
  batch->copy(1, 0);
  const std::size_t at = last - 1;  // what both have read by now is tokens_[0 … last)
  const LogitRows same = batch->step(std::vector<Token>{tokens_[at], tokens_[at]});
  EXPECT_TRUE(std::equal(same.row(0).begin(), same.row(0).end(), same.row(1).begin()));
  batch->reset(0);
  const LogitRows fresh = batch->step(std::vector<Token>{tokens_[0], tokens_[at]});
  for (std::size_t c = 0; c < columns; ++c) ASSERT_NEAR(fresh.row(0)[c], logits[c], 2e-4);
}

TEST_P(SequenceModel, WhatElseIsScoredAndThreadsDoNotMatter) {
  const auto one = open(spec_), three = open(spec_, 3);
  const std::span<const Token> all = tokens_;
  const auto alone = score(*one, {{all, 5, 0}}).scores.at(0);
  std::vector<Sequence> list;
  for (std::size_t n : {20, 150, 7, 64, 129, 2, 150, 33})
    list.push_back({all.first(n), std::min<std::size_t>(5, n), 0});
  const Collected many = score(*three, list);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::size_t count = list[i].tokens.size() - list[i].first;
    ASSERT_EQ(many.scores.at(i).size(), count);
    for (std::size_t j = 0; j < count; ++j)
      EXPECT_NEAR(many.scores.at(i)[j].logprob, alone[j + list[i].first - 5].logprob, 3e-5);
  }
  EXPECT_TRUE(same_bits(many.scores.at(1), many.scores.at(6)));
  EXPECT_TRUE(same_bits(many.scores.at(1), alone));
}

TEST_P(SequenceModel, SaysWhatItRemembers) {
  const auto model = open(spec_);
  const auto batch = model->start_batch(1);
  std::vector<std::size_t> bytes;
  for (std::size_t t = 0; t < 40; ++t) {
    batch->step(std::vector<Token>{tokens_[t]});
    bytes.push_back(batch->state_bytes());
  }
  const ModelInfo& info = model->info();
  EXPECT_EQ(info.constant_state, GetParam().plugin == "mamba");
  if (info.constant_state) {
    EXPECT_EQ(bytes.front(), bytes.back());
    EXPECT_EQ(bytes.back(), info.state_bytes);
  } else {
    EXPECT_EQ(bytes.back() - bytes.front(), 39 * info.state_bytes);
  }
  EXPECT_EQ(model->memory().cache, bytes.back());
  EXPECT_GT(model->memory().weights, info.parameters * 2);
  EXPECT_GT(info.parameters, 10'000u);
}

INSTANTIATE_TEST_SUITE_P(Families, SequenceModel,
                         testing::Values(Case{"mamba", "mamba"}, Case{"mamba", "mamba-biases"},
                                         Case{"hyena", "hyena"}, Case{"hyena", "hyena-buffers"}),
                         [](const auto& info) {
                           std::string name = info.param.folder;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(SequenceModels, RandomShapesScoreSensibly) {
  for (const std::string spec :
       {"mamba,shape=mamba-130m,layers=2", "hyena,shape=hyena-small-153m,layers=2"}) {
    const auto model = open(spec, 2, "auto");
    std::vector<Token> tokens(300);
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<Token>(i * 7919 % 50257);
    const auto scores = score(*model, {{tokens, 1, 0}}).scores.at(0);
    double total = 0;
    for (const TokenScore& s : scores) total += s.logprob;
    const double mean = total / static_cast<double>(scores.size());
    EXPECT_LT(mean, -std::log(50257.0) + 1.0) << spec;  // knows nothing
    EXPECT_GT(mean, -40) << spec;
    EXPECT_EQ(open(spec, 1, "auto")->info().digest, model->info().digest);
    EXPECT_NE(open(spec + ",seed=2", 1, "auto")->info().digest, model->info().digest);
  }
}

TEST(SequenceModels, NarrowActivationsStayClose) {
  for (const Case& c : {Case{"mamba", "mamba"}, Case{"hyena", "hyena"}}) {
    const std::string spec = c.plugin + ",model=" + golden("sequences/" + c.folder).string();
    const auto tokens =
        read_json(golden("sequences/" + c.folder) / "expected.json").at("tokens").get<std::vector<Token>>();
    const auto exact = score(*open(spec), {{tokens, 1, 0}}).scores.at(0);
    const auto narrow = score(*open(spec, 1, "bf16a"), {{tokens, 1, 0}}).scores.at(0);
    double worst = 0, mean = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      worst = std::max<double>(worst, std::abs(exact[i].logprob - narrow[i].logprob));
      mean += (exact[i].logprob - narrow[i].logprob) / static_cast<double>(exact.size());
    }
    EXPECT_LT(worst, 0.5) << c.folder;
    EXPECT_LT(std::abs(mean), 0.03) << c.folder;
    EXPECT_GT(worst, 1e-4) << c.folder;  // they are narrower
  }
}

TEST(SequenceModels, ContextIsALimitOnlyForHyena) {
  const std::vector<Token> tokens(202, 65);
  const std::span<const Token> all = tokens;
  const auto hyena = open("hyena,model=" + golden("sequences/hyena").string());
  const Collected got = score(*hyena, {{all, 1, 0}, {all.first(201), 1, 0}});
  EXPECT_THAT(got.failures.at(0), HasSubstr("201 tokens are more than the 200"));
  EXPECT_EQ(got.scores.at(1).size(), 200u);
  const auto batch = hyena->start_batch(1);
  EXPECT_TRUE(batch->read(0, all.first(200)));
  EXPECT_THAT(message_of([&] { batch->step(std::vector<Token>{1}); }), HasSubstr("at most 200"));
  const auto longer = open("hyena,shape=hyenadna-small-32k,context=300");
  EXPECT_EQ(longer->info().context_limit, 300u);
  EXPECT_FALSE(open("mamba,model=" + golden("sequences/mamba").string())->info().context_limit);
}

TEST(SequenceModels, MistakesAreNamed) {
  EXPECT_THAT(message_of([] { open("mamba"); }), HasSubstr("needs either model=FOLDER or shape=NAME"));
  EXPECT_THAT(message_of([] { open("mamba,shape=mamba-131m"); }),
              AllOf(HasSubstr("unknown shape 'mamba-131m'"), HasSubstr("mamba-130m")));
  EXPECT_THAT(message_of([] { open("hyena,shape=hyena-355m,contxt=9"); }),
              AllOf(HasSubstr("unknown option 'contxt'"), HasSubstr("context")));
  EXPECT_THAT(message_of([] { open("mamba,shape=mamba-130m,layers=x"); }), HasSubstr("layers=x"));
  EXPECT_THAT(message_of([] { check_model("plugin:mamba,model=" + golden("sequences/hyena").string(), {}); }),
              HasSubstr("hyenadna"));
  ModelOptions cuda;
  cuda.device = "cuda";
  EXPECT_THAT(message_of([&] { check_model("plugin:mamba,shape=mamba-130m", cuda); }), HasSubstr("CPU only"));

  const ScratchDirectory scratch;
  for (const auto& entry : std::filesystem::directory_iterator(golden("sequences/mamba")))
    std::filesystem::copy(entry.path(), scratch.path() / entry.path().filename());
  const auto with = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json config = read_json(golden("sequences/mamba/config.json"));
    config[key] = value;
    std::ofstream(scratch.path() / "config.json") << config;
    return message_of([&] { open("mamba,model=" + scratch.path().string()); });
  };
  EXPECT_THAT(with("state_size", 9), AllOf(HasSubstr("x_proj"), HasSubstr("23, 64")));
  EXPECT_THAT(with("hidden_size", "wide"), AllOf(HasSubstr("hidden_size"), HasSubstr("\"wide\"")));
  EXPECT_THAT(with("hidden_size", 0), HasSubstr("\"hidden_size\" of config.json is 0"));
  EXPECT_THAT(with("num_hidden_layers", 3), HasSubstr("backbone.layers.2.norm.weight"));
  EXPECT_THAT(with("hidden_act", "gelu"), HasSubstr("gelu"));
  std::filesystem::remove(scratch.path() / "config.json");
  EXPECT_THAT(message_of([&] { open("mamba,model=" + scratch.path().string()); }),
              HasSubstr("no config.json"));
}

}  // namespace
}  // namespace deciban
