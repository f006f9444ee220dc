// A LanguageModel that went through the C ABI gives the bits that it gives directly.
#include "plugins/plugin_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/scoring.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kModel = source_dir() / "datasets/demo/rwkv7/model.pth";
const std::string kPlugin = "plugin:" DECIBAN_BUILTIN_PLUGIN;

ModelOptions one_thread() {
  ModelOptions options;
  options.threads = 1;
  return options;
}

TEST(PluginExport, ScoresRowsAndBatchesAreTheModelsOwn) {
  const auto direct = open_model(kModel, one_thread());
  const auto plugin = open_model(kPlugin + ",model=" + kModel, one_thread());
  EXPECT_EQ(plugin->info().digest, direct->info().digest);
  EXPECT_EQ(plugin->info().kernels, direct->info().kernels);
  EXPECT_EQ(plugin->info().start_token, direct->info().start_token);
  EXPECT_EQ(plugin->info().state_bytes, direct->info().state_bytes);
  EXPECT_EQ(plugin->info().threads, 1);
  EXPECT_EQ(plugin->memory().weights, direct->memory().weights);
  const std::string text = "A text that both of them read, \xc3\xa9 and \x01 included.";
  const std::vector<Token> tokens = plugin->encode(text);
  EXPECT_EQ(tokens, direct->encode(text));
  EXPECT_EQ(plugin->decode(tokens), text);
  const std::vector<Sequence> list{{tokens, 1, 0}, {std::span(tokens).first(20), 5, 20}, {tokens, 30, 20}};
  const Collected a = score(*direct, list, true), b = score(*plugin, list, true);
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_TRUE(same_bits(a.scores.at(i), b.scores.at(i))) << i;
    EXPECT_EQ(a.logits.at(i), b.logits.at(i));
  }
  const auto x = direct->start_batch(2), y = plugin->start_batch(2);
  EXPECT_EQ(y->state_bytes(), x->state_bytes());
  const std::vector<Token> step{65, 66};
  const LogitRows p = x->step(step), q = y->step(step);
  EXPECT_TRUE(std::equal(p.data, p.data + 2 * p.columns, q.data));
  std::vector<TokenScore> u(2), v(2);
  x->step_best(step, u);
  y->step_best(step, v);
  EXPECT_TRUE(same_bits(u, v));
}

TEST(PluginExport, ExceptionsBecomeTextsOfTheirKind) {
  EXPECT_THAT(message_of([] { open_model(kPlugin, {}); }),
              HasSubstr("names no model: add ,model=checkpoint"));
  EXPECT_THROW(open_model(kPlugin, {}), std::invalid_argument);
  EXPECT_THAT(message_of([] { open_model(kPlugin + ",modle=x", {}); }),
              AllOf(HasSubstr("unknown option 'modle'"), HasSubstr("known: model")));
  EXPECT_THAT(message_of([] { check_model(kPlugin + ",model=nowhere.pth", {}); }), HasSubstr("nowhere.pth"));
  const auto plugin = open_model(kPlugin + ",model=" + kModel, one_thread());
  EXPECT_THAT(message_of([&] { plugin->start_batch(1)->step(std::vector<Token>{300}); }),
              HasSubstr("token 300"));
}

TEST(PluginExport, ASequenceThatIsKeptBackShiftsNoOther) {
  const auto direct = open_model(kModel, one_thread());
  const auto plugin = open_model(kPlugin + ",model=" + kModel, one_thread());
  const std::vector<Token> bad{1, 2, 999}, short_one{5, 6, 7}, long_one(30, 65);
  const std::vector<Sequence> list{{short_one, 1, 0}, {bad, 1, 0}, {long_one, 1, 0}};
  const Collected a = score(*direct, list), b = score(*plugin, list);
  EXPECT_THAT(b.failures.at(1), HasSubstr("999"));
  EXPECT_TRUE(same_bits(a.scores.at(0), b.scores.at(0)));
  EXPECT_TRUE(same_bits(a.scores.at(2), b.scores.at(2)));
}

TEST(PluginExport, AHostThatStopsGetsNoMore) {
  struct Angry final : ScoreSink {
    int calls = 0;
    void scored(std::size_t, std::span<const TokenScore>) override {
      ++calls;
      throw std::runtime_error("disk full");
    }
    void failed(std::size_t, const std::string&) override { ++calls; }
  } sink;
  const auto plugin = open_model(kPlugin + ",model=" + kModel, one_thread());
  const std::vector<Token> tokens(50, 65);
  ListSource source(std::vector<Sequence>(20, Sequence{tokens, 1, 0}));
  EXPECT_EQ(message_of([&] { plugin->score(source, sink); }), "disk full");
  EXPECT_EQ(sink.calls, 1);
}

}  // namespace
}  // namespace deciban
