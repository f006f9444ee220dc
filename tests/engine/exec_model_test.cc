// Models in other programs: what arrives, and what a program may do wrong.
#include "engine/exec_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base64.h"
#include "tests/engine/scoring.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string spec(const std::string& words = "", const std::string& options = "") {
  return "exec:" DECIBAN_EXEC_DOUBLE " " + words + options;
}

std::vector<Token> counted(Token from, std::size_t n = 12) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < n; ++i)
    tokens.push_back(static_cast<Token>((static_cast<std::size_t>(from) * 31 + i) % 200));
  return tokens;
}

TEST(ExecModel, GivesWhatThePluginOfTheSameModelGives) {
  const auto program = open_model(spec(), {}), plugin = open_model("plugin:" DECIBAN_PLUGIN_DOUBLE, {});
  EXPECT_EQ(program->info().name, "exec double");
  EXPECT_EQ(program->info().digest.size(), 64u);
  EXPECT_EQ(program->memory().weights, 4000u);
  std::vector<std::vector<Token>> texts;
  for (Token t = 0; t < 11; ++t) texts.push_back(counted(t, 5 + static_cast<std::size_t>(t)));
  std::vector<Sequence> list;
  for (const auto& text : texts) list.push_back({text, 1 + list.size() % 3, list.empty() ? 0u : 1u});
  const Collected a = score(*program, list, true), b = score(*plugin, list, true);
  ASSERT_EQ(a.scores.size(), list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_TRUE(same_bits(a.scores.at(i), b.scores.at(i))) << i;
    EXPECT_EQ(a.logits.at(i), b.logits.at(i));
  }
}

TEST(ExecModel, TextsOfAnyBytesGoBothWays) {
  const auto model = open_model(spec(), {});
  const std::string text("caf\xc3\xa9 \xff\xfe\x00 \"quoted\"\n", 19);
  EXPECT_EQ(model->encode(text).size(), text.size());
  EXPECT_EQ(model->decode(model->encode(text)), text);
}

TEST(ExecModel, BatchesStepCopyAndReset) {
  const auto model = open_model(spec(), {}), plugin = open_model("plugin:" DECIBAN_PLUGIN_DOUBLE, {});
  const auto a = model->start_batch(2), b = plugin->start_batch(2);
  const std::vector<std::vector<Token>> steps{{1, 2}, {3, 4}, {5, 6}};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (i == 1) a->copy(0, 1), b->copy(0, 1);
    if (i == 2) a->reset(0), b->reset(0);
    const LogitRows x = a->step(steps[i]), y = b->step(steps[i]);
    EXPECT_TRUE(std::equal(x.data, x.data + 512, y.data)) << i;
  }
  EXPECT_EQ(a->state_bytes(), 16u);
}

TEST(ExecModel, ACrashCostsTheSequenceThatCausedIt) {
  const auto model = open_model(spec(), {});
  std::vector<std::vector<Token>> texts;
  for (Token t = 0; t < 10; ++t) texts.push_back(counted(t));
  texts[4][3] = 200;
  texts[8][2] = 202;
  std::vector<Sequence> list;
  for (const auto& text : texts) list.push_back({text, 1, 0});
  const Collected got = score(*model, list);
  EXPECT_EQ(got.scores.size(), 8u);
  EXPECT_THAT(got.failures.at(4),
              AllOf(HasSubstr("signal 6"), HasSubstr("it last said: token 200 is my end")));
  EXPECT_THAT(got.failures.at(8), HasSubstr("token 202 tastes bad"));
  const auto plugin = open_model("plugin:" DECIBAN_PLUGIN_DOUBLE, {});
  const Collected expected = score(*plugin, list);
  for (const auto& [index, scores] : got.scores) EXPECT_TRUE(same_bits(scores, expected.scores.at(index)));
}

TEST(ExecModel, AHangIsEndedAfterItsTime) {
  const auto model = open_model(spec("", ",timeout=0.5"), {});
  std::vector<Token> good = counted(1), bad = counted(2);
  bad[5] = 201;
  const Collected got = score(*model, {{good, 1, 0}, {bad, 1, 0}, {good, 1, 0}, {good, 2, 0}, {good, 3, 0}});
  EXPECT_EQ(got.scores.size(), 4u);
  EXPECT_THAT(got.failures.at(1), HasSubstr("did not answer within 0.5 s"));
}

TEST(ExecModel, AProgramThatCrashesOnEverythingIsGivenUp) {
  const auto model = open_model(spec("crashes_always"), {});
  const std::vector<Token> good = counted(1);
  EXPECT_THAT(message_of([&] {
                score(*model, std::vector<Sequence>(20, Sequence{good, 1, 0}));
              }),
              HasSubstr("in a row, and is not started again"));
}

TEST(ExecModel, ACrashElsewhereIsAnErrorAndTheNextCallStartsAnew) {
  const auto model = open_model(spec(), {});
  std::vector<Token> bad = counted(2);
  bad[5] = 200;
  EXPECT_EQ(score(*model, {{bad, 1, 0}}).failures.size(), 1u);
  EXPECT_EQ(model->encode("abc").size(), 3u);
}

TEST(ExecModel, WhatIsSaidOfProgramsThatDoNotSpeakTheProtocol) {
  const std::pair<const char*, const char*> faults[] = {
      {"garbage", "printed 'Loading model…' on its standard output"},
      {"ends", "ended with exit code 3; it last said: no module named torch"},
      {"hangs", "did not answer within 0.5 s"},
      {"deaf", "did not answer within 0.5 s"},
      {"huge", "printed a line of more than 268435456 bytes"},
      {"wrong_id", "which has no \"id\" of a call"},
      {"open_error", "there is no such model"},
      {"no_info", "its reply to \"open\" has no \"info\""},
  };
  for (const auto& [fault, words] : faults) {
    const std::string patience =
        std::string_view(words).ends_with("0.5 s") ? ",start_timeout=0.5" : ",start_timeout=60";
    EXPECT_THAT(message_of([&, f = fault] { open_model(spec(f, patience), {}); }),
                AllOf(HasSubstr("exec_double"), HasSubstr(words)))
        << fault;
  }
  EXPECT_THAT(message_of([] { open_model("exec:/nonexistent/program x", {}); }), HasSubstr("exit code 127"));
}

TEST(ExecModel, WrongRepliesFailTheirSequences) {
  const std::vector<Token> good = counted(1);
  const std::pair<const char*, const char*> faults[] = {
      {"null", "log-probability nan"},
      {"columns", "11 log-probabilities with 11 of the best and 10 best tokens"},
      {"type", "a result has no list \"logprob\""},
      {"results", "no list \"results\" of 1"},
  };
  for (const auto& [fault, words] : faults) {
    const auto model = open_model(spec(fault), {});
    EXPECT_THAT(score(*model, {{good, 1, 0}}).failures.at(0), HasSubstr(words)) << fault;
  }
  EXPECT_THAT(message_of([] { open_model(spec("token_outside"), {})->encode("x"); }),
              HasSubstr("gave token 256"));
}

TEST(ExecModel, ChecksWithoutStarting) {
  EXPECT_NO_THROW(check_model(spec("hangs"), {}));
  EXPECT_NO_THROW(check_model("exec:sh -c 'exit 1'", {}));
  EXPECT_NO_THROW(check_model("exec:A=1 sh", {}));
  EXPECT_THAT(message_of([] { check_model("exec:no-such-program-here --x", {}); }),
              HasSubstr("there is no program 'no-such-program-here'"));
  EXPECT_THAT(message_of([] { check_model(spec("", ",timeout=soon"), {}); }), HasSubstr("timeout 'soon'"));
}

TEST(Base64, GoesBothWays) {
  EXPECT_EQ(base64("Man"), "TWFu");
  EXPECT_EQ(base64("Ma"), "TWE=");
  EXPECT_EQ(base64("M"), "TQ==");
  EXPECT_EQ(base64(""), "");
  std::string bytes;
  for (int i = 0; i < 259; ++i) bytes.push_back(static_cast<char>(i));
  EXPECT_EQ(from_base64(base64(bytes)), bytes);
  for (const char* bad : {"TWF", "TW=u", "TWE!", "====", "TWF=x", "TR=="}) {
    EXPECT_THROW(from_base64(bad), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace deciban
