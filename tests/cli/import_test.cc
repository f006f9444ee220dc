// deciban import as a user would run it: each kind of file becomes part of a run that a report reads.
#include "cli/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;

class ImportProgram : public ProgramTest {
 protected:
  Ended imported(const std::string& file) const { return deciban_program({"import", file, "-o", at("run")}); }
  std::size_t lines(const std::string& file) const {
    const std::string text = read(at(file));
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
  std::string uncheatable() const {
    return write("log.json",
                 R"({"neg_log_prob_sum": 1000.0, "avg tokens": 500, "avg character count": 1900.5,
                     "avg bytes": 2000, "sample_count": 10, "model_name_or_path": "RWKV/rwkv-4-169m",
                     "data_path": "data/bbc_news.json", "chunk_size": 1024})");
  }
};

TEST_F(ImportProgram, UncheatableEval) {
  ASSERT_EQ(imported(uncheatable()).code, 0);
  EXPECT_EQ(lines("run/records.jsonl"), 1u);
  const Ended again = imported(at("log.json"));
  EXPECT_THAT(again.err, HasSubstr("0 records and 0 cost points"));
  EXPECT_EQ(lines("run/records.jsonl"), 1u);
  const Ended board = deciban_program({"report", at("run"), "--format", "json"});
  EXPECT_NEAR(nlohmann::json::parse(board.out)[0]["compression_rate_percent"].get<double>(), 9.016844, 1e-5);
}

TEST_F(ImportProgram, LmEvalSamplesBeforeResults) {
  std::string samples;
  for (int i = 0; i < 12; ++i) {
    samples += fmt::format(
        R"({{"doc_id":{},"filtered_resps":[["-1.5","True"],["-2.5","False"]],"metrics":["acc"],"acc":{}.0}})",
        i, i % 3 == 0 ? 0 : 1);
    samples += "\n";
  }
  write("o__model/samples_arc_easy_2026-11-23T04-31-14.269460.jsonl", samples);
  write("o__model/results_2026-11-23T04-31-14.269460.json",
        R"({"results":{"arc_easy":{"acc,none":0.5},"boolq":{"acc,none":0.75}},"configs":{},)"
        R"("n-samples":{"boolq":{"effective":8}},"model_name":"o/model"})");
  const Ended ended = imported(at("o__model"));
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(lines("run/records.jsonl"), 13u);  // twelve samples, and boolq's mean
  const auto rows = nlohmann::json::parse(
      deciban_program({"report", at("run"), "--table", "tasks", "--format", "json"}).out);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_NEAR(rows[0]["value"].get<double>(), 8.0 / 12, 1e-12);
  EXPECT_NEAR(rows[1]["value"].get<double>(), 0.75, 1e-12);
}

TEST_F(ImportProgram, SpeedsBecomeCosts) {
  write("llama.json",
        R"([{"model_filename":"m.gguf","model_type":"llama 1B","n_threads":2,"n_prompt":512,"n_gen":0,)"
        R"("samples_ns":[990000000,1000000000,1010000000]}])");
  write(
      "gb.json",
      R"({"context":{"date":"d"},"benchmarks":[{"name":"BM/512","run_name":"BM/512","run_type":"iteration",)"
      R"("iterations":5,"real_time":12.5,"cpu_time":12.5,"time_unit":"us"}]})");
  ASSERT_EQ(imported(at("llama.json")).code, 0);
  ASSERT_EQ(imported(at("gb.json")).code, 0);
  EXPECT_EQ(lines("run/costs.jsonl"), 2u);
  ASSERT_EQ(deciban_program({"report", at("run"), "-o", at("page.html")}).code, 0);
  const std::string page = read(at("page.html"));
  EXPECT_THAT(page, HasSubstr("BM/512"));
  EXPECT_THAT(page, HasSubstr("llama 1B"));
}

// A second import adds to what run.json says of the first.
TEST_F(ImportProgram, RunsGrow) {
  write("o__model/samples_arc_easy_2026-11-23T04-31-14.269460.jsonl",
        R"({"doc_id":1,"metrics":["acc"],"acc":1.0})");
  ASSERT_EQ(imported(at("o__model")).code, 0);
  ASSERT_EQ(imported(uncheatable()).code, 0);
  const auto run = nlohmann::json::parse(read(at("run/run.json")));
  EXPECT_TRUE(run["tasks"].contains("arc_easy"));
  EXPECT_EQ(run["imported"].size(), 2u);
}

TEST_F(ImportProgram, MistakesAreExplained) {
  write("odd.json", R"({"what":"ever"})");
  std::filesystem::create_directories(at("empty"));
  const struct {
    std::vector<std::string> words;
    std::string says;
    int code;
  } mistakes[] = {{{"import"}, "name the files", 2},
                  {{"import", at("odd.json")}, "-o DIR", 2},
                  {{"import", at("missing.json"), "-o", at("run")}, "missing.json", 1},
                  {{"import", at("empty"), "-o", at("run")}, "holds neither", 1},
                  {{"import", at("odd.json"), "-o", at("run")}, "odd.json", 1},
                  {{"imprt", at("odd.json")}, "did you mean 'import'", 2}};
  for (const auto& mistake : mistakes) {
    const Ended ended = deciban_program(mistake.words);
    EXPECT_EQ(ended.code, mistake.code) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(mistake.says));
  }
  EXPECT_FALSE(std::filesystem::exists(at("run/records.jsonl")));
}

}  // namespace
}  // namespace deciban
