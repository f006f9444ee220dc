#include "evals/task_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& text) {
  TaskCatalogue catalogue;
  return message_of([&] { add_task_file(catalogue, "x.json", text); });
}

TEST(TaskSpec, TheProgramBringsThePapersTasksAndTheirNeighbours) {
  const TaskCatalogue all = task_catalogue();
  for (const char* name : {"arc_easy", "arc_challenge", "boolq", "copa", "headqa_en", "hellaswag",
                           "lambada_openai", "lambada_standard", "openbookqa", "piqa", "record", "sciq",
                           "winogrande", "wikitext", "pile_10k", "pile_wikipedia", "mmlu_world_religions"})
    EXPECT_NE(all.find(name), nullptr) << name;
  ASSERT_NE(all.find_group("rwkv-paper"), nullptr);
  EXPECT_EQ(all.find_group("rwkv-paper")->tasks.size(), 12u);
  EXPECT_EQ(all.find_group("mmlu")->tasks.size(), 57u);
  std::size_t questions = 0;
  for (const std::string& name : all.find_group("mmlu")->tasks) questions += all.find(name)->documents;
  EXPECT_EQ(questions, 14042u);
  for (const TaskGroup& group : all.groups) {
    for (const std::string& name : group.tasks)
      EXPECT_NE(all.find(name), nullptr) << group.name << " " << name;
    for (const auto& [task, measure] : group.measures) {
      const auto& metrics = all.find(task)->rules.metrics;
      EXPECT_NE(std::find(metrics.begin(), metrics.end(), measure), metrics.end()) << task << " " << measure;
    }
  }
  std::set<std::string> names;
  for (const std::string& name : all.names()) EXPECT_TRUE(names.insert(name).second) << name;
}

TEST(TaskSpec, MistakesInAFileAreNamed) {
  EXPECT_THAT(error_of("{"), HasSubstr("x.json: not valid JSON"));
  EXPECT_THAT(error_of("{}"), HasSubstr("neither a `name` nor `groups`"));
  const auto task = [](const std::string& rest) {
    return R"({"name": "t", "data": {}, "kind": "multiple_choice", "context": "c", "choices": ["a"], "gold": "0",)"
           R"("metrics": ["acc"])" +
           rest + "}";
  };
  TaskCatalogue good;
  EXPECT_NO_THROW(add_task_file(good, "x.json", task("")));
  EXPECT_THAT(message_of([&] { add_task_file(good, "y.json", task("")); }), HasSubstr("the name t is taken"));
  EXPECT_THAT(error_of(task(R"(, "gould": "1")")), HasSubstr("`gould` means nothing here"));
  EXPECT_THAT(error_of(task(R"(, "kind": "word")")), HasSubstr("`continuation` is missing"));
  EXPECT_THAT(error_of(task(R"(, "metrics": ["accuracy"])")), HasSubstr("there is no metric 'accuracy'"));
  EXPECT_THAT(error_of(task(R"(, "metrics": ["perplexity"])")), HasSubstr("has no metric perplexity"));
  EXPECT_THAT(error_of(task(R"(, "contexts": ["a", "b"])")), HasSubstr("either `context` or `contexts`"));
  EXPECT_THAT(error_of(task(R"(, "paper": {"context": "{"})")), HasSubstr("x.json, paper: `context`"));
  EXPECT_THAT(error_of(task(R"(, "sampler": "last")")), HasSubstr("there are random and first"));
  EXPECT_THAT(error_of(task(R"(, "documents": "many")")), HasSubstr("must be a count"));
  EXPECT_THAT(error_of(R"({"groups": [{"name": "g", "groups": ["h"]}]})"),
              HasSubstr("group g has a group h"));
  EXPECT_THAT(error_of(R"({"name": "a/b", "data": {}})"), HasSubstr("only letters"));
}

TEST(TaskSpec, AFamilyIsATaskForEachValue) {
  TaskCatalogue all;
  add_task_file(all, "f.json", R"({"name": "f_$x", "each": {"x": ["a", "b"]}, "documents": [3, 4],
      "data": {"folder": "f/$x"}, "kind": "word", "description": "About {'$x'|capitalize}. ", "context": "{q}",
      "continuation": "{a}", "metrics": ["acc"]})");
  ASSERT_EQ(all.tasks.size(), 2u);
  EXPECT_EQ(all.find("f_b")->documents, 4u);
  EXPECT_EQ(all.find("f_b")->data.folder, "f/b");
  EXPECT_EQ(all.find("f_b")->rules.description, "About B. ");
}

}  // namespace
}  // namespace deciban
