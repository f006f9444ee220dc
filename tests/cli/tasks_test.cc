// Standard tasks as a user runs them: fetched from a server of the loopback interface, evaluated, exported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/datasets/loopback.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json copa_row(std::size_t i) {
  return {{"premise", "The light number " + std::to_string(i) + " went out."},
          {"choice1", "The bulb was old."},
          {"choice2", "The sun rose."},
          {"question", i % 2 ? "cause" : "effect"},
          {"idx", i},
          {"label", i % 2}};
}

class TasksTest : public testing::Test {
 protected:
  void SetUp() override {
    auto& routes = server_.routes();
    routes.Get("/api/datasets/aps/super_glue", [](const auto&, auto& response) {
      response.set_content(R"({"sha":"c0ffee","cardData":{"license":"other"}})", "application/json");
    });
    routes.Get("/rows", [this](const httplib::Request& request, httplib::Response& response) {
      const std::size_t offset = std::stoul(request.get_param_value("offset")),
                        length = std::stoul(request.get_param_value("length"));
      const std::size_t total = request.get_param_value("split") == "train" ? 7 : 130;
      if (offset >= broken_from_) {
        response.status = 404;
        response.set_content(R"({"error":"gone for now"})", "application/json");
        return;
      }
      std::string rows;
      for (std::size_t i = offset; i < std::min(offset + length, total); ++i) {
        // In the columns' order, which a JSON library would not keep.
        const json row = copa_row(i);
        rows +=
            fmt::format(R"({}{{"row_idx":{},"row":{{"premise":{},"choice1":{},"choice2":{},"question":{},)"
                        R"("idx":{},"label":{}}},"truncated_cells":[]}})",
                        rows.empty() ? "" : ",", i, row["premise"].dump(), row["choice1"].dump(),
                        row["choice2"].dump(), row["question"].dump(), i, i % 2);
      }
      response.set_header("X-Revision", "c0ffee");
      response.set_content(
          fmt::format(R"({{"features":[],"rows":[{}],"num_rows_total":{},"partial":false}})", rows, total),
          "application/json");
    });
    server_.start();
  }

  Ended deciban(std::vector<std::string> words) {
    words.insert(words.begin(), DECIBAN_PROGRAM);
    return Program(words, {{"XDG_DATA_HOME", (scratch_ / "home").string()},
                           {"XDG_CACHE_HOME", (scratch_ / "cache").string()},
                           {"HOME", (scratch_ / "home").string()},
                           {"HF_TOKEN", ""},
                           {"DECIBAN_TASKS_DATA", ""}})
        .wait();
  }
  std::vector<std::string> with_servers(std::vector<std::string> words) {
    for (const char* name : {"hub", "hub-rows"}) {
      words.push_back("--server");
      words.push_back(fmt::format("{}={}", name, server_.url()));
    }
    words.insert(words.end(), {"--interval", "0"});
    return words;
  }

  std::size_t broken_from_ = SIZE_MAX;
  Loopback server_;
  ScratchDirectory scratch_;
  const std::string model_ = (source_dir() / "datasets/demo/rwkv7").string();
};

TEST_F(TasksTest, FetchesEvaluatesAndExports) {
  const Ended missing = deciban({"eval", "-m", model_, "-t", "copa"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("deciban fetch tasks:copa"));

  broken_from_ = 100;  // interrupted after the first page
  const Ended half = deciban(with_servers({"fetch", "tasks:copa", "--examples"}));
  EXPECT_NE(half.code, 0);
  const auto folder = scratch_ / "home/deciban/tasks/copa";
  EXPECT_FALSE(std::filesystem::exists(folder / "validation.jsonl"));
  broken_from_ = SIZE_MAX;
  const std::size_t asked = server_.targets().size();
  const Ended fetched = deciban(with_servers({"fetch", "tasks:copa", "--examples"}));
  ASSERT_EQ(fetched.code, 0) << fetched.err;
  EXPECT_THAT(fetched.err, HasSubstr("goes on"));
  for (std::size_t i = asked; i < server_.targets().size(); ++i) {
    if (server_.targets()[i].find("split=validation") != std::string::npos) {
      EXPECT_THAT(server_.targets()[i], HasSubstr("offset=100"));  // the first page is known
    }
  }
  EXPECT_TRUE(read_all(folder / "validation.jsonl")
                  .starts_with(R"({"premise":"The light number 0 went out.","choice1")"));
  const json source = json::parse(read_all(folder / "validation.source.json"));
  EXPECT_EQ(source["revision"], "c0ffee");
  EXPECT_EQ(source["rows"], 130);
  const Ended again = deciban(with_servers({"fetch", "tasks:copa", "--examples"}));
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.err, HasSubstr("2 of 2 files are in"));

  const std::string records = (scratch_ / "run").string(), results = (scratch_ / "results_x.json").string();
  const Ended run = deciban({"eval", "-m", model_, "-t", "copa", "--shots", "2", "--limit", "20", "-o",
                             records, "--export", results});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("copa"));
  EXPECT_THAT(run.out, HasSubstr("mode lm-eval (2048 tokens), 2 shots, 20 of each task"));
  EXPECT_THAT(run.err, HasSubstr("130 rows, not the 100"));
  const json exported = json::parse(read_all(results));
  EXPECT_EQ(exported["n-samples"]["copa"]["original"], 130);
  EXPECT_EQ(exported["n-samples"]["copa"]["effective"], 20);
  EXPECT_EQ(exported["n-shot"]["copa"], 2);
  EXPECT_TRUE(std::filesystem::exists(scratch_ / "samples_copa_x.jsonl"));
  // The mode is part of the records' keys: another mode scores anew, the same resumes.
  const Ended resumed =
      deciban({"eval", "-m", model_, "-t", "copa", "--shots", "2", "--limit", "20", "-o", records});
  EXPECT_THAT(resumed.err, HasSubstr("20 of 20 documents were scored before"));
  EXPECT_EQ(resumed.out, run.out);
  const Ended other = deciban({"eval", "-m", model_, "-t", "copa", "--limit", "20", "--task-mode", "paper",
                               "-o", records, "--format", "jsonl"});
  EXPECT_EQ(other.code, 0) << other.err;
  EXPECT_THAT(other.out, HasSubstr(R"("window":"paper")"));
  EXPECT_THAT(other.err, testing::Not(HasSubstr("scored before")));
}

TEST_F(TasksTest, TasksOfOnesOwnLoadFromAFolder) {
  scratch_.write("tasks/colours.json", R"({"name": "colours", "what": "what colour", "data": {"test": "all"},
      "kind": "multiple_choice", "context": "{thing|capitalize} is", "choices": "{colours}",
      "gold": "{colours|index(right)}", "metrics": ["acc", "acc_norm"]})");
  scratch_.write(
      "data/colours/all.jsonl",
      "{\"thing\": \"grass\", \"colours\": [\"red\", \"green\"], \"right\": \"green\"}\n"
      "{\"thing\": \"snow\", \"colours\": [\"white\", \"blue\", \"black\"], \"right\": \"white\"}\n");
  const std::vector<std::string> words{"eval",
                                       "-m",
                                       model_,
                                       "-t",
                                       "colours",
                                       "--tasks-dir",
                                       (scratch_ / "tasks").string(),
                                       "--tasks-data",
                                       (scratch_ / "data").string(),
                                       "-o",
                                       (scratch_ / "run").string()};
  const Ended run = deciban(words);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("colours     2  acc"));
  std::vector<std::string> counted = words;
  counted.push_back("--dry-run");
  EXPECT_THAT(deciban(counted).out, HasSubstr("ratio"));
  scratch_.write(
      "tasks/bad.json",
      R"({"name": "bad", "data": {}, "kind": "word", "metrics": ["acc"], "continuation": "{a|nothing}"})");
  const Ended bad = deciban(words);
  EXPECT_EQ(bad.code, 2);
  EXPECT_THAT(bad.err, HasSubstr("there is no filter 'nothing'"));
}

TEST_F(TasksTest, WhatMakesNoSenseIsNamed) {
  const auto says = [&](std::vector<std::string> words, const char* what) {
    words.insert(words.begin(), {"eval", "-m", model_});
    const Ended ended = deciban(words);
    EXPECT_EQ(ended.code, 2);
    EXPECT_THAT(ended.err, HasSubstr(what));
  };
  says({"-t", "arc_eazy"}, "did you mean 'arc_easy'?");
  says({"-t", "arc_easy,compression"}, "run them one after the other");
  says({"-t", "copa", "--task-mode", "old"}, "there are lm-eval, lm-eval:N");
  says({"-t", "copa", "-c", "x.json"}, "tasks have data of their own");
  says({"-t", "copa", "--window", "whole"}, "--task-mode");
  says({"-t", "wikitext", "--shots", "2"}, "take no examples");
  const Ended listed = deciban({"info", "tasks"});
  EXPECT_EQ(listed.code, 0);
  EXPECT_THAT(listed.out, HasSubstr("rwkv-paper"));
  const Ended csv = deciban({"info", "tasks", "--format", "csv"});
  EXPECT_THAT(csv.out, HasSubstr("mmlu_world_religions"));
}

}  // namespace
}  // namespace deciban
