// Our answers against those of lm-evaluation-harness itself, as scripts/oracle/lm_eval_tasks.py wrote them
// down: the same model there through an independent implementation, or through our server; every request's
// log-likelihood and every figure.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "evals/run.h"
#include "evals/task_metrics.h"
#include "evals/task_results.h"
#include "tests/evals/task_files.h"
#include "tests/scratch_directory.h"
#include "tests/smollm2_file.h"

namespace deciban {
namespace {

using nlohmann::json;

json oracle_of(const char* name) { return read_json(golden(std::string("tasks/lm_eval_") + name + ".json")); }

std::unique_ptr<LanguageModel> open_f32(const std::filesystem::path& model) {
  ModelOptions options;
  options.device = "cpu";
  options.format = "f32";
  return open_model(model.string(), options);
}

// What the program makes of one of the oracle's runs: its first `limit` documents, in the same windows.
struct Answers {
  std::vector<Record> records;
  TaskResult result;
};
Answers answers_to(const json& entry, LanguageModel& model, std::size_t length,
                   const TaskCatalogue& catalogue) {
  const std::string name = entry["task"];
  const TaskSpec& spec = *catalogue.find(name);
  const auto rows_of = [&](const std::string& split) {
    return read_task_rows(shared("data/tasks/" + entry["files"][split].get<std::string>() + ".jsonl"),
                          spec.data.form);
  };
  const std::size_t shots = entry["shots"];
  Corpus rows = rows_of(spec.data.test), pool;
  rows.name = name;
  if (shots > 0) pool = rows_of(spec.data.shots);
  TemplateTask task(spec, TaskMode::lm_eval, {shots, shots > 0 ? &pool : nullptr});
  RunOptions options;
  options.windowing = {Windowing::Kind::lm_eval, length, 0};
  options.limit.documents = entry["documents"].get<std::size_t>();
  options.seed = 1234;
  options.label = "m";
  const ScratchDirectory scratch;
  {
    RunDirectory directory(scratch.path());
    EXPECT_EQ(run(model, std::vector<Assignment>{{&task, {&rows}}}, options, directory).progress.failed, 0u);
  }
  Answers answers{read_records({scratch.path()}), {}};
  const std::vector<const TaskSpec*> tasks{&spec};
  answers.result = task_results(answers.records, {"m", options.windowing.name()}, tasks, {}, {}).front();
  return answers;
}

void expect_agreement(const json& entry, const Answers& answers) {
  ASSERT_EQ(answers.records.size(), entry["documents"].get<std::size_t>());
  for (const Record& record : answers.records) {
    const json& theirs = entry["logprobs"][std::stoul(record.document)];
    ASSERT_EQ(record.queries.size(), theirs.size());
    for (std::size_t q = 0; q < theirs.size(); ++q)
      EXPECT_NEAR(record.queries[q].logprob, theirs[q].get<double>(),
                  std::max(1e-4, 1e-7 * std::abs(theirs[q].get<double>())));
  }
  for (const TaskFigure& figure : answers.result.figures) {
    const bool exact = higher_is_better(figure.metric);
    const double value = entry["results"][figure.metric + ",none"];
    EXPECT_NEAR(figure.value, value, exact ? 1e-12 : 1e-4 * value) << figure.metric;
    const json& error = entry["results"][figure.metric + "_stderr,none"];
    ASSERT_EQ(error.is_number(), figure.error.has_value()) << figure.metric;
    if (figure.error) {
      EXPECT_NEAR(*figure.error, error.get<double>(), exact ? 1e-12 : 1e-3 * error.get<double>());
    }
  }
}

// All runs of some oracles over the same model and requests; how many documents of how many tasks.
std::pair<std::size_t, std::size_t> compare(const std::vector<json>& oracles, LanguageModel& model) {
  const TaskCatalogue catalogue = task_catalogue();
  std::set<std::string> names;
  std::size_t documents = 0;
  for (const json& oracle : oracles) EXPECT_TRUE(oracle["failures"].empty());
  for (std::size_t t = 0; t < oracles[0]["tasks"].size(); ++t) {
    const json& first = oracles[0]["tasks"][t];
    const Answers answers = answers_to(first, model, oracles[0]["length"], catalogue);
    for (const json& oracle : oracles) {
      const json& entry = oracle["tasks"].at(t);
      SCOPED_TRACE(oracle["backend"].get<std::string>() + ": " + entry["task"].get<std::string>() +
                   ", shots " + entry["shots"].dump());
      EXPECT_EQ(entry["task"], first["task"]);
      EXPECT_EQ(entry["shots"], first["shots"]);
      expect_agreement(entry, answers);
    }
    documents += answers.records.size();
    names.insert(first["task"]);
  }
  return {documents, names.size()};
}

// Of one model, PyTorch's formulas behind the harness, and the harness's client of `deciban serve`.
TEST(SlowLmEvalOracle, RwkvAgrees) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  const auto [documents, tasks] =
      compare({oracle_of("rwkv7"), oracle_of("serve")}, *open_f32(source_dir() / "datasets/demo/rwkv7"));
  EXPECT_GE(documents, 300u);
  EXPECT_GE(tasks, 6u);
}

// The harness's own `hf` backend with transformers.
TEST(SlowLmEvalOracle, GptNeoxAgrees) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  const auto [documents, tasks] =
      compare({oracle_of("gptneox")}, *open_f32(source_dir() / "datasets/demo/gptneox"));
  EXPECT_GE(documents, 300u);
  EXPECT_GE(tasks, 6u);
}

// llama-cpp-python with the weights of the GGUF written as F32.
TEST(SlowLmEvalOracle, SmolLm2Agrees) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  const std::filesystem::path file = smollm2_file();
  if (file.empty()) GTEST_SKIP() << kSmolLm2Missing;
  const auto [documents, tasks] = compare({oracle_of("smollm2")}, *open_f32(file));
  EXPECT_GE(documents, 30u);
  EXPECT_EQ(tasks, 3u);
}

}  // namespace
}  // namespace deciban
