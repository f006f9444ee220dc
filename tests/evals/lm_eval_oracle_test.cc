// Our answers against those of lm-evaluation-harness itself, as scripts/oracle/lm_eval_tasks.py wrote them
// down: the same model there through an independent implementation, or through our server; every request's
// log-likelihood and every figure.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
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

// What llama.cpp's own f32 is off by (docs/tasks.md).
constexpr double kLlamaCpp = 6e-4;

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

// `allowed`: nats a request.
void expect_agreement(const json& entry, const Answers& answers, double allowed) {
  ASSERT_EQ(answers.records.size(), entry["documents"].get<std::size_t>());
  for (const Record& record : answers.records) {
    const json& theirs = entry["logprobs"][std::stoul(record.document)];
    ASSERT_EQ(record.queries.size(), theirs.size());
    for (std::size_t q = 0; q < theirs.size(); ++q)
      EXPECT_NEAR(record.queries[q].logprob, theirs[q].get<double>(),
                  std::max(allowed, 1e-7 * std::abs(theirs[q].get<double>())));
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

// All runs of some oracles of one model.  Each has so many documents of so many tasks at least.
void compare(const std::vector<json>& oracles, LanguageModel& model, std::size_t documents,
             std::size_t tasks) {
  const TaskCatalogue catalogue = task_catalogue();
  std::map<std::pair<std::string, std::size_t>, Answers> known;  // by task and shots: asked once
  for (const json& oracle : oracles) {
    EXPECT_TRUE(oracle["failures"].empty()) << oracle["failures"];
    std::set<std::string> names;
    std::size_t count = 0;
    for (const json& entry : oracle["tasks"]) {
      const std::string name = entry["task"];
      SCOPED_TRACE(oracle["backend"].get<std::string>() + ": " + name + ", shots " + entry["shots"].dump());
      const auto [answers, fresh] = known.try_emplace({name, entry["shots"].get<std::size_t>()});
      if (fresh) answers->second = answers_to(entry, model, oracle["length"], catalogue);
      expect_agreement(entry, answers->second, oracle["backend"] == "llama" ? kLlamaCpp : 1e-4);
      names.insert(name);
      count += answers->second.records.size();
    }
    EXPECT_GE(count, documents) << oracle["backend"];
    EXPECT_GE(names.size(), tasks) << oracle["backend"];
  }
}

// Of one model, PyTorch's formulas behind the harness, and the harness's client of `deciban serve`.
TEST(SlowLmEvalOracle, RwkvAgrees) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  compare({oracle_of("rwkv7"), oracle_of("serve")}, *open_f32(source_dir() / "datasets/demo/rwkv7"), 300, 6);
}

// The harness's own `hf` backend with transformers.
TEST(SlowLmEvalOracle, GptNeoxAgrees) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  compare({oracle_of("gptneox")}, *open_f32(source_dir() / "datasets/demo/gptneox"), 300, 6);
}

// llama-cpp-python with the weights of the GGUF written as F32.
TEST(SlowLmEvalOracle, SmolLm2Agrees) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  const std::filesystem::path file = smollm2_file();
  if (file.empty()) GTEST_SKIP() << kSmolLm2Missing;
  compare({oracle_of("smollm2")}, *open_f32(file), 30, 3);
}

}  // namespace
}  // namespace deciban
