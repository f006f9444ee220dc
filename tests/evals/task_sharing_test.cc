// Choices of a question, and questions with the same examples, are computed once; nothing changes by it.
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "evals/run.h"
#include "tests/evals/fake_models.h"
#include "tests/evals/task_files.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using nlohmann::json;

// Passes sequences on to another model, with the hints or without them.
class Hinted : public LanguageModel {
 public:
  Hinted(LanguageModel& model, bool hints) : model_(model), hints_(hints) {}
  const ModelInfo& info() const override { return model_.info(); }
  std::vector<Token> encode(std::string_view text) const override { return model_.encode(text); }
  std::string decode(std::span<const Token> tokens) const override { return model_.decode(tokens); }
  void score(SequenceSource& next, ScoreSink& done) override {
    struct Source : SequenceSource {
      Source(SequenceSource& from, bool hints, Hinted& owner) : from(from), hints(hints), owner(owner) {}
      bool next(Sequence& out) override {
        if (!from.next(out)) return false;
        owner.read += out.tokens.size() - 1;
        // Of a hint all but the last shared token is saved, up to the first that is scored.
        const std::size_t fork = std::min(out.shared, out.first);
        owner.saved += fork < 2 ? 0 : fork - 1;
        if (!hints) out.shared = 0;
        return true;
      }
      SequenceSource& from;
      const bool hints;
      Hinted& owner;
    } source(next, hints_, *this);
    model_.score(source, done);
  }
  std::size_t read = 0, saved = 0;

 private:
  LanguageModel& model_;
  const bool hints_;
};

std::vector<Record> records_of(LanguageModel& model, const std::vector<Assignment>& assignments,
                               const std::filesystem::path& directory) {
  RunOptions options;
  options.windowing = Windowing::parse("rnn");
  options.seed = 1234;
  RunDirectory records(directory);
  const RunSummary summary = run(model, assignments, options, records);
  EXPECT_EQ(summary.progress.failed, 0u) << summary.first_failure;
  std::vector<Record> all = read_records({directory});
  for (Record& record : all) record.seconds = 0;
  std::sort(all.begin(), all.end(), [](const Record& a, const Record& b) {
    return std::tie(a.corpus, a.document) < std::tie(b.corpus, b.document);
  });
  return all;
}

Corpus questions(std::size_t count) {
  std::vector<json> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string n = std::to_string(i);
    rows.push_back({{"question", "What comes after the number " + n + " when one counts on?"},
                    {"choices", {n + " again", "the number " + std::to_string(i + 1), "none", "all of them"}},
                    {"answer", 1}});
  }
  return rows_corpus(rows, "numbers");
}

TEST(TaskSharing, ChangesNoBitOnTheCpuAndSavesWhatIsSaid) {
  const TaskCatalogue catalogue = task_catalogue();
  const TaskSpec& spec = *catalogue.find("mmlu_anatomy");
  const Corpus rows = questions(40), pool = questions(6);
  ModelOptions options;
  options.device = "cpu";
  options.format = "f32";
  options.threads = 2;
  for (const char* name : {"rwkv7", "rwkv4"}) {
    const auto model = open_model((source_dir() / "datasets/demo" / name).string(), options);
    std::map<bool, std::vector<Record>> results;
    std::map<bool, double> ratio;
    for (const bool hints : {false, true}) {
      TemplateTask task(spec, TaskMode::rnn, {5, &pool});
      Hinted hinted(*model, hints);
      const ScratchDirectory scratch;
      results[hints] = records_of(hinted, {{&task, {&rows}}}, scratch.path());
      ratio[hints] = static_cast<double>(hinted.read) / static_cast<double>(hinted.read - hinted.saved);
    }
    ASSERT_EQ(results[true].size(), 40u);
    for (std::size_t i = 0; i < results[true].size(); ++i)
      EXPECT_EQ(to_json_line(results[true][i]), to_json_line(results[false][i])) << name;
    // Four choices of one letter each after five examples: nearly all reading is repeated.
    EXPECT_GT(ratio[true], 20) << name;
  }
}

TEST(TaskSharing, TasksMeetOnlyTheirOwnCorpora) {
  const TaskCatalogue catalogue = task_catalogue();
  Corpus first = questions(3), second = questions(2);
  first.name = first.digest = "first";
  second.name = second.digest = "second";
  second.documents[0].fields["question"] = "Another one?";
  TemplateTask a(*catalogue.find("mmlu_anatomy"), TaskMode::rnn),
      b(*catalogue.find("mmlu_virology"), TaskMode::rnn);
  fakes::HashModel model;
  const ScratchDirectory scratch;
  std::map<std::string, std::size_t> counts;
  for (const Record& record : records_of(model, {{&a, {&first}}, {&b, {&second}}}, scratch.path()))
    ++counts[record.task + " " + record.corpus];
  EXPECT_EQ(counts,
            (std::map<std::string, std::size_t>{{"mmlu_anatomy first", 3}, {"mmlu_virology second", 2}}));
}

TEST(TaskSharing, ABadRowIsAFailedRecordAndStopsNothing) {
  const TaskCatalogue catalogue = task_catalogue();
  Corpus rows = questions(3);
  rows.documents[1].fields.erase("answer");
  TemplateTask task(*catalogue.find("mmlu_anatomy"), TaskMode::rnn);
  fakes::HashModel model;
  RunOptions options;
  options.windowing = Windowing::parse("lm-eval:2048");
  const ScratchDirectory scratch;
  RunDirectory records(scratch.path());
  const RunSummary summary = run(model, std::vector<Assignment>{{&task, {&rows}}}, options, records);
  EXPECT_EQ(summary.progress.done, 3u);
  EXPECT_EQ(summary.progress.failed, 1u);
  EXPECT_NE(summary.first_failure.find("the field answer is missing"), std::string::npos)
      << summary.first_failure;
}

}  // namespace
}  // namespace deciban
