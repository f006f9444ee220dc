#include "evals/task_export.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/evals/task_files.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using nlohmann::ordered_json;

const TaskCatalogue& all_tasks() {
  static const TaskCatalogue all = task_catalogue();
  return all;
}

const std::string kFolder = "golden/tasks/format/RWKV__rwkv-4-169m-pile/";
const std::string kDate = "2026-11-23T04-31-14.269460";

std::vector<std::string> text_lines(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// A samples file that the harness wrote, as corpus and records: its answers are what our models would give.
struct Samples {
  Corpus corpus;
  std::vector<Record> records;
  std::vector<ordered_json> lines;
};

Samples samples_of(const std::string& name, const TemplateTask& task) {
  Samples result;
  result.corpus.name = result.corpus.digest = name;
  for (const std::string& text : text_lines(shared(kFolder + "samples_" + name + "_" + kDate + ".jsonl"))) {
    const ordered_json& line = result.lines.emplace_back(ordered_json::parse(text));
    Document document;
    document.id = std::to_string(result.corpus.documents.size());
    document.text = line["doc"].dump();
    document.fields = line["doc"];
    result.corpus.documents.push_back(std::move(document));
    std::vector<QueryScore> scores;
    Record record;
    record.model = "RWKV/rwkv-4-169m-pile";
    record.windowing = "lm-eval:2048";
    record.task = name;
    record.document = result.corpus.documents.back().id;
    for (const ordered_json& answer : line["filtered_resps"]) {
      QueryScore& score = scores.emplace_back();
      score.logprob = std::stod((answer.is_array() ? answer[0] : answer).get<std::string>());
      score.greedy = answer.is_array() && answer[1] == "True";
      record.queries.push_back({score.logprob, score.greedy, 1, 1});
    }
    record.measures = task.judge(result.corpus, result.records.size(), scores);
    result.records.push_back(std::move(record));
  }
  return result;
}

TEST(TaskExport, WritesWhatTheHarnessWrites) {
  DECIBAN_NEEDS_SHARED(kFolder);
  const ordered_json golden_results =
      ordered_json::parse(read_all(shared(kFolder + "results_" + kDate + ".json")));
  std::vector<std::unique_ptr<TemplateTask>> tasks;
  std::vector<Samples> samples;
  std::vector<const TaskSpec*> specs;
  std::vector<Record> records;
  for (const char* name : {"arc_easy", "lambada_openai", "winogrande", "record", "wikitext"}) {
    specs.push_back(all_tasks().find(name));
    tasks.push_back(std::make_unique<TemplateTask>(*specs.back(), TaskMode::lm_eval));
    samples.push_back(samples_of(name, *tasks.back()));
    const Samples& own = samples.back();
    std::vector<std::string> lines;
    for (std::size_t d = 0; d < own.lines.size(); ++d) {
      lines.push_back(sample_line(*tasks.back(), own.corpus, d, own.records[d]));
      // Keys in their order and every value but how a whole number is written (1 or 1.0).
      const ordered_json line = ordered_json::parse(lines.back());
      std::vector<std::string> ours, theirs;
      for (const auto& [key, value] : line.items()) ours.push_back(key);
      for (const auto& [key, value] : own.lines[d].items()) theirs.push_back(key);
      EXPECT_EQ(ours, theirs) << name;
      EXPECT_EQ(nlohmann::json(line), nlohmann::json(own.lines[d])) << name << " " << d;
    }
    EXPECT_EQ(samples_hash(lines), golden_results["task_hashes"][name]) << name;
    records.insert(records.end(), own.records.begin(), own.records.end());
  }
  TaskReportOptions options;
  options.resamples = 1000;
  const std::vector<TaskResult> results =
      task_results(records, {"RWKV/rwkv-4-169m-pile", "lm-eval:2048"}, specs, {}, options);
  ExportRun run;
  run.label = "RWKV/rwkv-4-169m-pile";
  run.limit = "3";
  std::vector<ExportedTask> exported;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    exported.push_back({tasks[t].get(), &samples[t].corpus, {}});
    for (std::size_t d = 0; d < samples[t].records.size(); ++d)
      exported.back().scored.emplace_back(d, &samples[t].records[d]);
  }
  const ScratchDirectory scratch;
  const auto file = export_results(scratch / "results_then.json", run, exported, results);
  EXPECT_TRUE(std::filesystem::exists(scratch / "samples_winogrande_then.jsonl"));
  const ordered_json ours = ordered_json::parse(read_all(file));
  for (const auto& [task, figures] : golden_results["results"].items()) {
    for (const auto& [key, value] : figures.items()) {
      ASSERT_TRUE(ours["results"][task].contains(key)) << task << " " << key;
      if (value.is_number_float() && value.get<double>() != 0) {
        EXPECT_NEAR(ours["results"][task][key].get<double>() / value.get<double>(), 1, 1e-12)
            << task << " " << key;
      } else {
        EXPECT_EQ(nlohmann::json(ours["results"][task][key]), nlohmann::json(value)) << task << " " << key;
      }
    }
  }
  for (const char* same : {"versions", "n-shot", "higher_is_better", "n-samples", "group_subtasks",
                           "task_hashes", "model_name", "model_name_sanitized"})
    EXPECT_EQ(nlohmann::json(ours[same]), nlohmann::json(golden_results[same])) << same;
  // Readers find every key of the harness, in the file and in its `config`.
  for (const auto& [key, value] : golden_results.items()) EXPECT_TRUE(ours.contains(key)) << key;
  for (const auto& [key, value] : golden_results["config"].items())
    EXPECT_TRUE(ours["config"].contains(key)) << key;
  EXPECT_EQ(ours["config"]["limit"], 3);
}

TEST(TaskExport, AFolderGetsAFolderForEachModel) {
  EXPECT_EQ(sanitised_name("a/b:c//d"), "a__b__c__d");
  const ScratchDirectory scratch;
  ExportRun run;
  run.label = "my/model";
  const auto file = export_results(scratch / "out", run, {}, {});
  EXPECT_EQ(file.parent_path(), scratch / "out" / "my__model");
  EXPECT_TRUE(file.filename().string().starts_with("results_19")) << file;
}

// Groups: the mean weighted by size with the pooled error, or of one measure of each task.
TEST(TaskResults, GroupsHaveTheirMeans) {
  TaskCatalogue all;
  add_task_file(all, "two.json",
                R"({"name": "t_$n", "alias": "part $n", "each": {"n": ["1", "2"]}, "data": {},
      "kind": "multiple_choice",
      "context": "{q}", "choices": ["a", "b"], "gold": "{g}", "metrics": ["acc", "acc_norm"],
      "groups": [{"name": "both", "alias": "the whole", "members": {"n": ["1", "2"]}},
                 {"name": "plain", "tasks": ["t_1", "t_2"], "mean": "plain",
                  "measures": {"t_1": "acc", "t_2": "acc_norm"}}]})");
  std::vector<Record> records;
  for (int i = 0; i < 30; ++i) {
    Record& record = records.emplace_back();
    record.model = "m";
    record.windowing = "rnn";
    record.task = i < 10 ? "t_1" : "t_2";
    record.document = std::to_string(i);
    record.measures = {{"acc", {i % 2 ? 1.0 : 0.0, 1}}, {"acc_norm", {i % 4 ? 1.0 : 0.0, 1}}};
  }
  records.emplace_back(records[0]).status = "failed";
  const std::vector<const TaskSpec*> tasks{all.find("t_1"), all.find("t_2")};
  const std::vector<const TaskGroup*> groups{all.find_group("both"), all.find_group("plain")};
  const auto results = task_results(records, {"m", "rnn"}, tasks, groups, {});
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(results[0].failed, 1u);
  EXPECT_EQ(results[1].alias, "part 2");
  EXPECT_EQ(results[2].alias, "the whole");
  EXPECT_EQ(results[3].alias, "plain");
  EXPECT_EQ(results[2].documents, 30u);
  EXPECT_DOUBLE_EQ(results[2].figures[0].value, 0.5);
  ASSERT_TRUE(results[2].figures[0].interval && results[2].figures[0].error);
  EXPECT_LT(results[2].figures[0].interval->low, 0.5);
  EXPECT_GT(results[2].figures[0].interval->high, 0.5);
  ASSERT_EQ(results[3].figures.size(), 1u);
  EXPECT_DOUBLE_EQ(results[3].figures[0].value, (0.5 + 0.75) / 2);
  EXPECT_FALSE(results[3].figures[0].error);
  // A group of which a task is missing has no mean.
  const std::vector<const TaskSpec*> one{all.find("t_1")};
  EXPECT_EQ(task_results(records, {"m", "rnn"}, one, groups, {}).size(), 1u);
}

// Questions of one passage are resampled together: the interval widens.
TEST(TaskResults, ClustersWidenTheInterval) {
  const TaskSpec& spec = *all_tasks().find("boolq");
  std::vector<Record> records;
  for (int i = 0; i < 200; ++i) {
    Record& record = records.emplace_back();
    record.model = "m";
    record.windowing = "rnn";
    record.task = "boolq";
    record.document = std::to_string(i);
    record.measures = {{"acc", {i / 10 % 2 ? 1.0 : 0.0, 1}}};
  }
  const std::vector<const TaskSpec*> tasks{&spec};
  const auto width = [&] {
    const auto result = task_results(records, {"m", "rnn"}, tasks, {}, {});
    return result[0].figures[0].interval->high - result[0].figures[0].interval->low;
  };
  const double apart = width();
  for (std::size_t i = 0; i < records.size(); ++i) records[i].labels["cluster"] = std::to_string(i / 10);
  EXPECT_GT(width(), 2.5 * apart);
  EXPECT_EQ(task_results(records, {"m", "rnn"}, tasks, {}, {})[0].clusters, 20u);
}

}  // namespace
}  // namespace deciban
