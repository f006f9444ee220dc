#include "evals/template_task.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evals/python_random.h"
#include "evals/python_text.h"
#include "evals/task_metrics.h"
#include "tests/evals/task_files.h"

namespace deciban {
namespace {

using nlohmann::json;

const TaskCatalogue& built_in() {
  static const TaskCatalogue all = task_catalogue();
  return all;
}

// Where golden few-shot files take their examples from.
Corpus pool_of(const std::string& task, const Corpus& rows) {
  if (task.starts_with("mmlu_"))
    return read_task_rows(shared("data/tasks/mmlu/" + task.substr(5) + "/dev.jsonl"));
  if (task.starts_with("lambada")) return rows;
  return read_task_rows(shared("data/tasks/fewshot_pools/" + task + ".jsonl"));
}

class GoldenRequests : public testing::TestWithParam<const char*> {};

TEST_P(GoldenRequests, AreReproducedByteForByte) {
  const auto path = shared("golden/tasks/" + std::string(GetParam()) + ".jsonl");
  DECIBAN_NEEDS_SHARED("golden/tasks/" + std::string(GetParam()) + ".jsonl");
  const std::vector<json> lines = read_lines(path);
  ASSERT_FALSE(lines.empty());
  const std::string name = lines[0]["task"];
  const TaskSpec* spec = built_in().find(name);
  ASSERT_NE(spec, nullptr) << name;
  const Corpus rows = golden_rows(lines);
  const std::size_t shots = lines[0]["fewshot"];
  Corpus pool;
  if (shots > 0) pool = pool_of(name, rows);
  TemplateTask task(*spec, TaskMode::lm_eval, {shots, shots > 0 ? &pool : nullptr});
  task.prepare(rows, 1234);
  for (std::size_t d = 0; d < lines.size(); ++d) {
    const json& line = lines[d];
    const std::vector<Query> queries = task.queries(rows, d);
    ASSERT_EQ(queries.size(), line["requests"].size()) << d;
    for (std::size_t q = 0; q < queries.size(); ++q) {
      const json& request = line["requests"][q];
      if (request.contains("string")) {
        EXPECT_EQ(queries[q].continuation, request["string"]) << d;
        EXPECT_TRUE(queries[q].whole_text);
        continue;
      }
      EXPECT_EQ(queries[q].context, request["context"]) << d << " " << q;
      EXPECT_EQ(queries[q].continuation, request["continuation"]) << d << " " << q;
    }
    if (line.contains("fewshot_pool_indices")) {
      EXPECT_EQ(task.examples(rows, d), line["fewshot_pool_indices"].get<std::vector<std::size_t>>()) << d;
    }
    const Question question = task.question(rows.documents[d]);
    if (name == "record") {
      EXPECT_EQ(json(question.labels), line["entities_sorted"]);
      EXPECT_EQ(json(question.answers), line["gold"]) << d;
    } else if (line["gold"].is_number()) {
      EXPECT_EQ(question.gold, line["gold"].get<std::size_t>()) << d;
    } else if (spec->rules.kind == TaskRules::Kind::word) {
      EXPECT_EQ(question.target, line["gold"]) << d;
    } else {
      EXPECT_EQ(question.text, line["gold"]) << d;
    }
    if (line.contains("words")) {
      EXPECT_EQ(python::fields_between_space(question.counted), line["words"].get<std::size_t>());
      EXPECT_EQ(question.counted.size(), line["bytes"].get<std::size_t>());
    }
    if (line.contains("choice_len_chars") && spec->rules.contexts.empty()) {
      for (std::size_t q = 0; q < question.continuations.size(); ++q) {
        EXPECT_EQ(python::length(question.continuations[q]), line["choice_len_chars"][q].get<std::size_t>());
        EXPECT_EQ(question.continuations[q].size(), line["choice_len_bytes"][q].get<std::size_t>());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenRequests,
                         testing::Values("arc_challenge", "arc_easy", "arc_easy_2shot", "arc_easy_5shot",
                                         "boolq", "boolq_2shot", "copa", "copa_2shot", "copa_5shot",
                                         "headqa_en", "hellaswag", "hellaswag_2shot", "lambada_openai",
                                         "lambada_openai_2shot", "lambada_standard", "mmlu_abstract_algebra",
                                         "mmlu_abstract_algebra_5shot", "mmlu_college_medicine",
                                         "mmlu_college_medicine_5shot", "mmlu_us_foreign_policy",
                                         "mmlu_us_foreign_policy_5shot", "openbookqa", "openbookqa_5shot",
                                         "pile_10k", "pile_wikipedia", "piqa", "record", "record_2shot",
                                         "sciq", "sciq_5shot", "wikitext", "wikitext_synthetic", "winogrande",
                                         "winogrande_2shot", "winogrande_5shot"),
                         [](const auto& info) { return std::string(info.param); });

// Every request of whole splits by its hash, 133 of them.
TEST(WholeSplits, HaveTheHarnesssRequests) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  const json golden_hashes = read_json(golden("tasks/full_request_hashes.json"));
  std::size_t checked = 0;
  for (const json& entry : golden_hashes["files"]) {
    const std::string name = entry["task"], file = entry["file"];
    const TaskSpec* spec = built_in().find(name);
    ASSERT_NE(spec, nullptr) << name;
    const Corpus rows = read_task_rows(shared("data/tasks/" + file), spec->data.form);
    const std::size_t shots = entry["num_fewshot"];
    Corpus pool;
    if (shots > 0) pool = read_task_rows(shared("data/tasks/" + file).parent_path() / "dev.jsonl");
    TemplateTask task(*spec, TaskMode::lm_eval, {shots, shots > 0 ? &pool : nullptr});
    task.prepare(rows, 1234);
    Sha256 sha, gold;
    std::size_t requests = 0;
    for (std::size_t d = 0; d < rows.documents.size(); ++d) {
      for (const Query& query : task.queries(rows, d)) {
        ++requests;
        sha.update(query.whole_text ? query.continuation + "\x1e"
                                    : query.context + "\x1f" + query.continuation + "\x1e");
      }
      gold.update(std::to_string(task.question(rows.documents[d]).gold));
    }
    EXPECT_EQ(rows.documents.size(), entry["docs"].get<std::size_t>()) << file;
    EXPECT_EQ(requests, entry["requests"].get<std::size_t>()) << file;
    EXPECT_EQ(sha.hex(), entry["sha256"]) << file << " " << shots;
    if (entry.contains("gold_sha256")) {
      EXPECT_EQ(gold.hex(), entry["gold_sha256"]) << file;
    }
    ++checked;
  }
  EXPECT_EQ(checked, 133u);
}

// Version 0.3: requests of whole splits in its shuffled order, and its results on fabricated answers.
TEST(WholeSplits, HaveVersion03sRequestsAndResults) {
  DECIBAN_NEEDS_SHARED("data/tasks");
  const json golden_legacy = read_json(golden("tasks/legacy_v03_full.json"));
  std::size_t checked = 0;
  for (const json& entry : golden_legacy["checks"]) {
    std::string name = entry["task"];
    if (name.starts_with("hendrycksTest-")) name = "mmlu_" + name.substr(14);
    const TaskSpec* spec = built_in().find(name);
    ASSERT_NE(spec, nullptr) << name;
    const std::string file = entry["file"];
    const Corpus rows =
        ordered(read_task_rows(shared("data/tasks/" + file), spec->data.form), TaskMode::paper, 42);
    TemplateTask task(*spec, TaskMode::paper);
    EXPECT_EQ(task.version(), std::to_string(entry["version"].get<int>()));
    PythonRandom random(42);
    Sha256 sha;
    std::map<std::string, std::vector<Measure>> measures;
    const bool twice = spec->rules.kind == TaskRules::Kind::word;  // log-likelihood and greediness, one each
    bool first = true;
    for (std::size_t d = 0; d < rows.documents.size(); ++d) {
      std::vector<QueryScore> scores;
      for (const Query& query : task.queries(rows, d)) {
        for (int i = 0; i < (twice ? 2 : 1); ++i) {
          sha.update((first ? "[[" : ", [") + python::ascii_json(query.context) + ", " +
                     python::ascii_json(query.continuation) + "]");
          first = false;
          const double drawn = -random.unit();
          if (i == 0) scores.emplace_back().logprob = drawn;
        }
      }
      for (const auto& [metric, measure] : task.judge(rows, d, scores)) measures[metric].push_back(measure);
    }
    sha.update("]");
    EXPECT_EQ(sha.hex(), entry["requests_sha256"]) << name;
    for (const auto& [key, value] : entry["results"].items()) {
      const bool error = key.ends_with("_stderr");
      std::string metric = error ? key.substr(0, key.size() - 7) : key;
      if (metric == "ppl") metric = "perplexity";
      const double got = error ? standard_error(metric, measures.at(metric), 10).value()
                               : figure_of(metric, measures.at(metric));
      EXPECT_NEAR(got, value.get<double>(), 1e-12) << name << " " << key;
    }
    ++checked;
  }
  EXPECT_EQ(checked, 66u);
}

TEST(TemplateTask, TellsWhatIsMissingInARow) {
  const TaskSpec& spec = *built_in().find("arc_easy");
  const Corpus rows = rows_corpus({{{"question", "q"}, {"choices", {{"text", {"a"}}, {"label", {"A"}}}}}});
  TemplateTask task(spec, TaskMode::lm_eval);
  try {
    task.queries(rows, 0);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()), "the field answerKey is missing; it has choices, question");
  }
  EXPECT_EQ(task.digest(rows, 0), rows.documents[0].digest);
}

TEST(TemplateTask, NeedsAPoolThatIsLargeEnough) {
  const TaskSpec& spec = *built_in().find("copa");
  const Corpus pool = rows_corpus({json::object(), json::object()});
  EXPECT_THROW(TemplateTask(spec, TaskMode::lm_eval, {2, nullptr}), std::invalid_argument);
  EXPECT_THROW(TemplateTask(spec, TaskMode::lm_eval, {2, &pool}), std::invalid_argument);  // one is spare
  EXPECT_NO_THROW(TemplateTask(spec, TaskMode::lm_eval, {1, &pool}));
  EXPECT_THROW(TemplateTask(*built_in().find("wikitext"), TaskMode::lm_eval, {1, &pool}),
               std::invalid_argument);
}

TEST(TemplateTask, QuestionsOfOnePassageAreAClusterAndThoseWithoutOneAreNot) {
  const TaskSpec& spec = *built_in().find("sciq");
  const auto row = [](const char* support) -> json {
    return {{"support", support}, {"question", "q"},    {"distractor1", "a"},
            {"distractor2", "b"}, {"distractor3", "c"}, {"correct_answer", "d"}};
  };
  const Corpus rows = rows_corpus({row("one"), row("one"), row("two"), row(" ")});
  TemplateTask task(spec, TaskMode::lm_eval);
  EXPECT_EQ(task.labels(rows, 0), task.labels(rows, 1));
  EXPECT_NE(task.labels(rows, 0), task.labels(rows, 2));
  EXPECT_TRUE(task.labels(rows, 3).empty());
}

}  // namespace
}  // namespace deciban
