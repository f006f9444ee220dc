#include "evals/task_metrics.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/evals/task_files.h"

namespace deciban {
namespace {

using nlohmann::json;

const TaskCatalogue& catalogue() {
  static const TaskCatalogue all = task_catalogue();
  return all;
}

std::vector<QueryScore> scores_of(const json& responses) {
  std::vector<QueryScore> scores;
  for (const json& response : responses) {
    QueryScore& score = scores.emplace_back();
    score.logprob = response.is_array() ? response[0].get<double>() : response.get<double>();
    if (response.is_array()) score.greedy = response[1];
  }
  return scores;
}

// Fabricated answers to the golden documents, and what the harness makes of them.
TEST(TaskMetrics, AreTheHarnesss) {
  DECIBAN_NEEDS_SHARED("golden/tasks/metrics.json");
  const json all = read_json(shared("golden/tasks/metrics.json"));
  ASSERT_EQ(all["checks"].size(), 18u);
  for (const json& check : all["checks"]) {
    const std::string name = check["task"], file = check["docs_file"];
    const TaskSpec& spec = *catalogue().find(name);
    const Corpus rows = golden_rows(read_lines(shared("golden/tasks/" + file.substr(file.find('/') + 1))));
    TemplateTask task(spec, TaskMode::lm_eval);
    std::map<std::string, std::vector<Measure>> measures;
    for (std::size_t d = 0; d < rows.documents.size(); ++d) {
      const json& responses = check["responses"][d];
      const Measures own = task.judge(rows, d, scores_of(responses.is_array() ? responses : json{responses}));
      for (const auto& [metric, value] : check["per_doc"][d].items()) {
        const Measure& measure = own.at(metric);
        if (value.is_array()) {
          EXPECT_EQ(measure.sum, value[0].get<double>());
          EXPECT_EQ(measure.weight, value[1].get<double>());
        } else {
          EXPECT_EQ(measure.sum, value.get<double>()) << name << " " << d << " " << metric;
        }
      }
      for (const auto& [metric, measure] : own) measures[metric].push_back(measure);
    }
    EXPECT_EQ(spec.rules.version, fmt::format("{:.1f}", check["version"].get<double>())) << name;
    std::size_t figures = 0;
    for (const auto& [key, value] : check["results"].items()) {
      if (!key.ends_with(",none")) continue;
      ++figures;
      std::string metric = key.substr(0, key.size() - 5);
      const bool error = metric.ends_with("_stderr");
      if (error) metric.resize(metric.size() - 7);
      const auto& own = measures.at(metric);
      if (!error) {
        EXPECT_NEAR(figure_of(metric, own) / value.get<double>(), 1, 1e-14) << name << " " << key;
        EXPECT_EQ(higher_is_better(metric), check["higher_is_better"][metric].get<bool>());
        continue;
      }
      const auto got = standard_error(metric, own, check["bootstrap_iters"]);
      ASSERT_EQ(got.has_value(), value.is_number()) << name << " " << key;
      if (got) {
        EXPECT_NEAR(*got / value.get<double>(), 1, 1e-12) << name << " " << key;
      }
    }
    EXPECT_EQ(figures, 2 * spec.rules.metrics.size()) << name;
  }
  const json& group = all["mmlu_group"];
  std::vector<GroupPart> parts;
  for (std::size_t i = 0; i < group["sizes"].size(); ++i)
    parts.push_back({group["acc"][i], group["acc_stderr"][i].get<double>(), group["sizes"][i]});
  EXPECT_NEAR(group_mean(parts, true), group["group_acc_weight_by_size"].get<double>(), 1e-15);
  EXPECT_NEAR(group_mean(parts, false), group["group_acc_unweighted"].get<double>(), 1e-15);
  EXPECT_NEAR(group_error(parts).value(), group["group_acc_stderr_pooled"].get<double>(), 1e-15);
}

TEST(TaskMetrics, SquadsF1AndExactMatch) {
  for (const json& c : read_json(golden("tasks/squad_f1.json"))) {
    EXPECT_DOUBLE_EQ(squad_f1(c["prediction"].get<std::string>(), c["gold"].get<std::string>()),
                     c["f1"].get<double>())
        << c;
    EXPECT_EQ(squad_exact(c["prediction"].get<std::string>(), c["gold"].get<std::string>()),
              c["em"].get<int>() == 1)
        << c;
  }
}

TEST(TaskMetrics, TheFirstNotANumberWinsAsInNumPy) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(first_best(std::vector<double>{-2, -1, -1}), 1u);
  EXPECT_EQ(first_best(std::vector<double>{-1, nan, nan}), 1u);
  EXPECT_EQ(first_best(std::vector<double>{-inf, -inf}), 0u);
  EXPECT_EQ(first_best(std::vector<double>{-inf, -5}), 1u);
}

TEST(TaskMetrics, AnEmptyEndingHasNoLengthToDivideBy) {
  const TaskSpec& spec = *catalogue().find("hellaswag");
  const Corpus rows = rows_corpus(
      {{{"activity_label", "a"}, {"ctx_a", "b"}, {"ctx_b", ""}, {"label", "1"}, {"endings", {"[x]", "it"}}}});
  TemplateTask task(spec, TaskMode::lm_eval);
  std::vector<QueryScore> scores(2);
  scores[0].logprob = -0.1;
  scores[1].logprob = -9;
  EXPECT_EQ(task.judge(rows, 0, scores).at("acc").sum, 0);
  EXPECT_EQ(task.judge(rows, 0, scores).at("acc_norm").sum, 1);  // -inf loses
  scores[0].logprob = 0;
  EXPECT_EQ(task.judge(rows, 0, scores).at("acc_norm").sum, 0);  // 0 / 0 wins
}

TEST(TaskMetrics, TiesGoToTheFirstUnlessTheTaskSaysOtherwise) {
  const TaskSpec& spec = *catalogue().find("boolq");
  const Corpus rows = rows_corpus({{{"passage", "p"}, {"question", "q"}, {"label", 0}}});
  const std::vector<QueryScore> tie(2);
  EXPECT_EQ(TemplateTask(spec, TaskMode::lm_eval).judge(rows, 0, tie).at("acc").sum, 1);
  EXPECT_EQ(TemplateTask(spec, TaskMode::paper).judge(rows, 0, tie).at("acc").sum, 1);
}

TEST(TaskMetrics, NoErrorOfOneDocument) {
  const std::vector<Measure> one{{1, 1}};
  EXPECT_FALSE(standard_error("acc", one).has_value());
  EXPECT_FALSE(standard_error("bits_per_byte", std::vector<Measure>{{-1, 2}, {-2, 3}}).has_value());
  EXPECT_FALSE(standard_error("perplexity", std::vector<Measure>{{-1, 1}, {-2, 1}}, 0).has_value());
}

}  // namespace
}  // namespace deciban
