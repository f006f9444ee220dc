// The program's words: help, typos, versions, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "reports/display_text.h"
#include "tests/cli/program.h"

namespace deciban {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::vector<std::string> kCommands{"eval", "info", "fetch", "verify-published"};

void expect_narrow(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), 80u) << line;
}

TEST(Help, FitsEightyColumnsAndEndsInExamples) {
  std::vector<std::vector<std::string>> calls{{"--help"}};
  for (const std::string& command : kCommands) calls.push_back({command, "--help"});
  for (const auto& call : calls) {
    const Ended ended = deciban_program(call);
    EXPECT_EQ(ended.code, 0);
    EXPECT_EQ(ended.err, "");
    expect_narrow(ended.out);
    const std::size_t examples = ended.out.find("\nexamples:\n");
    ASSERT_NE(examples, std::string::npos) << call[0];
    EXPECT_THAT(ended.out.substr(examples), HasSubstr("  deciban "));
    EXPECT_THAT(ended.out.substr(examples), Not(HasSubstr("--help  ")));
  }
}

TEST(Help, NamesEveryCommand) {
  const std::string text = deciban_program({"-h"}).out;
  for (const std::string& command : kCommands) EXPECT_THAT(text, HasSubstr("\n  " + command));
  EXPECT_EQ(deciban_program({"help", "eval"}).out, deciban_program({"eval", "-h"}).out);
}

TEST(Usage, NothingIsAnErrorThatShowsTheCommands) {
  const Ended ended = deciban_program({});
  EXPECT_EQ(ended.code, 2);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, HasSubstr("commands:"));
}

TEST(Usage, UnknownWordsGetTheNearestMatch) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> typos{
      {{"evl"}, "unknown command 'evl'; did you mean 'eval'?"},
      {{"--verison"}, "unknown option '--verison'"},
      {{"verify"}, "unknown command 'verify'"},
      {{"eval", "--widow=whole"}, "unknown option '--widow'; did you mean '--window'?"},
      {{"eval", "-m", "a", "--crpus", "b"}, "unknown option '--crpus'; did you mean '--corpus'?"},
      {{"info", "--mod", "f32"}, "did you mean '--mode'?"},
      {{"fetch", "vocab:word"}, "did you mean 'vocab:world'?"},
      {{"eval", "-t", "comprehension", "-m", "a", "-c", "b"}, "unknown task 'comprehension'"}};
  for (const auto& [words, message] : typos) {
    const Ended ended = deciban_program(words);
    EXPECT_EQ(ended.code, 2) << message;
    EXPECT_EQ(ended.out, "");
    EXPECT_THAT(ended.err, HasSubstr(message));
  }
}

TEST(Usage, BadValuesNameTheValue) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> bad{
      {{"--window", "hole"}, "hole"},       {{"--start", "eos"}, "eos"},   {{"--limit", "-3"}, "-3"},
      {{"--shard", "9/8"}, "9/8"},          {{"--batch", "many"}, "many"}, {{"--threads", "x"}, "x"},
      {{"--format", "xml"}, "xml"},         {{"--color", "red"}, "red"},   {{"--threads", "-1"}, "-1"},
      {{"--label", "a", "b"}, "2 --label"}, {{"--seed", "one"}, "one"}};
  for (const auto& [words, value] : bad) {
    std::vector<std::string> call{"eval", "-m", "model.pth", "-c", "texts.json"};
    call.insert(call.end(), words.begin(), words.end());
    const Ended ended = deciban_program(call);
    EXPECT_EQ(ended.code, 2) << words[0] << " " << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(value));
  }
}

TEST(Usage, MissingWordsAreAskedFor) {
  EXPECT_THAT(deciban_program({"eval"}).err, HasSubstr("-c FILE"));
  EXPECT_THAT(deciban_program({"eval", "-c", "x"}).err, HasSubstr("-m FILE"));
  EXPECT_THAT(deciban_program({"eval", "-c", "x", "--dry-run"}).err, HasSubstr("--tokenizer FILE"));
  EXPECT_THAT(deciban_program({"fetch"}).err, HasSubstr("vocab:world"));
  for (const auto& words : std::vector<std::vector<std::string>>{{"eval"}, {"eval", "-c", "x"}, {"fetch"}}) {
    EXPECT_EQ(deciban_program(words).code, 2);
  }
}

TEST(Version, IsOnStandardOutput) {
  const Ended ended = deciban_program({"--version"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.out, testing::MatchesRegex("deciban [0-9.]+ \\([0-9a-z-]+\\)\n"));
}

TEST(Color, OnlyWhereItIsWanted) {
  EXPECT_THAT(deciban_program({"evl"}).err, Not(HasSubstr("\033")));  // a pipe is no terminal
}

TEST(Fetch, LeavesAVocabularyThatIsThere) {
  DECIBAN_NEEDS_SHARED("data/tokenizers/rwkv_vocab_v20230424.txt");
  const auto copy =
      std::filesystem::temp_directory_path() / fmt::format("deciban-vocabulary-{}.txt", ::getpid());
  std::filesystem::copy_file(shared("data/tokenizers/rwkv_vocab_v20230424.txt"), copy,
                             std::filesystem::copy_options::overwrite_existing);
  // Nobody answers at this address, so that success means nothing was asked for.
  const Ended ended = deciban_program({"fetch", "vocab:world", "-o", copy},
                                      {{"DECIBAN_VOCABULARY_URL", "http://127.0.0.1:9"}});
  std::filesystem::remove(copy);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("was there already"));
}

TEST(Info, DescribesTheMachine) {
  const Ended ended = deciban_program({"info", "--format", "json"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.out, HasSubstr("processor"));
}

TEST(Info, DescribesAModel) {
  const std::string model = (source_dir() / "datasets/demo/rwkv7/model.pth").string();
  const Ended ended = deciban_program({"info", model});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("2116416"));
  EXPECT_THAT(ended.out, HasSubstr("rwkv7"));
  EXPECT_THAT(ended.out, HasSubstr("bytes"));
  expect_narrow(ended.out);
}

TEST(Info, FailsOnWhatIsNotThere) {
  const Ended ended = deciban_program({"info", "/no/such/model.pth"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("/no/such/model.pth"));
}

TEST(VerifyPublished, WithoutWeightsSaysWhereToGetThemAndSkips) {
  const Ended ended = deciban_program({"verify-published"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.out, HasSubstr("97505.411"));
  EXPECT_THAT(ended.out, HasSubstr("skipped"));
  EXPECT_THAT(ended.err, HasSubstr("https://huggingface.co/BlinkDL/rwkv7-g1"));
  expect_narrow(ended.out);
}

TEST(VerifyPublished, SkipsModelsAndCorporaThatNobodyPublished) {
  const std::string model = (source_dir() / "datasets/demo/rwkv7/model.pth").string();
  const std::string text = (source_dir() / "CMakeLists.txt").string();
  const Ended foreign = deciban_program({"verify-published", "-m", model, "-c", text});
  EXPECT_EQ(foreign.code, 0);
  EXPECT_THAT(foreign.err, HasSubstr("skipped"));
  const auto published = shared("data/uncheatable/uncheatable_2026-04_sample20/bbc_news.json");
  if (!std::filesystem::exists(published)) return;
  const Ended small = deciban_program({"verify-published", "-m", model, "-c", published});
  EXPECT_EQ(small.code, 0);
  EXPECT_THAT(small.err, HasSubstr("none of the published models"));
}

}  // namespace
}  // namespace deciban
