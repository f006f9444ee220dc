// Our answers against those of lm-evaluation-harness itself, as scripts/oracle/lm_eval_tasks.py wrote them
// down: the same model there through an independent implementation, every request's log-likelihood and every
// figure.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "evals/run.h"
#include "evals/task_metrics.h"
#include "evals/task_results.h"
#include "tests/evals/task_files.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using nlohmann::json;

TEST(SlowLmEvalOracle, EveryRequestAndEveryFigureAgrees) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  const json oracle = read_json(golden("tasks/lm_eval_rwkv7.json"));
  ASSERT_TRUE(oracle["failures"].empty());
  const TaskCatalogue catalogue = task_catalogue();
  ModelOptions model_options;
  model_options.device = "cpu";
  model_options.format = "f32";
  const auto model = open_model((source_dir() / "datasets/demo/rwkv7").string(), model_options);
  std::size_t documents = 0;
  std::set<std::string> names;
  for (const json& entry : oracle["tasks"]) {
    const std::string name = entry["task"];
    SCOPED_TRACE(name + ", shots " + entry["shots"].dump());
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
    options.windowing = {Windowing::Kind::lm_eval, oracle["length"].get<std::size_t>(), 0};
    options.limit.documents = entry["documents"].get<std::size_t>();
    options.seed = 1234;
    options.label = "m";
    const ScratchDirectory scratch;
    {
      RunDirectory directory(scratch.path());
      ASSERT_EQ(run(*model, std::vector<Assignment>{{&task, {&rows}}}, options, directory).progress.failed,
                0u);
    }
    const std::vector<Record> records = read_records({scratch.path()});
    ASSERT_EQ(records.size(), entry["documents"].get<std::size_t>());
    documents += records.size();
    names.insert(name);
    for (const Record& record : records) {
      const json& answers = entry["logprobs"][std::stoul(record.document)];
      ASSERT_EQ(record.queries.size(), answers.size());
      for (std::size_t q = 0; q < answers.size(); ++q)
        EXPECT_NEAR(record.queries[q].logprob, answers[q].get<double>(),
                    std::max(1e-4, 1e-7 * std::abs(answers[q].get<double>())));
    }
    const std::vector<const TaskSpec*> tasks{&spec};
    const auto result = task_results(records, {"m", options.windowing.name()}, tasks, {}, {}).front();
    for (const TaskFigure& figure : result.figures) {
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
  EXPECT_GE(documents, 300u);
  EXPECT_GE(names.size(), 6u);
}

}  // namespace
}  // namespace deciban
