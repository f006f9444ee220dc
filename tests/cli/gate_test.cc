// deciban gate as CI would run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "reports/google_benchmark.h"
#include "tests/cli/program.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class GateProgram : public ProgramTest {
 protected:
  // Twenty repetitions with a jitter of 1 %; benchmark "slow" takes `ratio` times as long.
  std::string timings(const std::string& file, double ratio, int repetitions = 20) const {
    BenchmarkRun run;
    run.order = {"slow", "other"};
    for (int i = 0; i < repetitions; ++i) {
      const double jitter = 1 + 0.01 * ((i * 7) % 11) / 10;
      run.seconds["slow"].push_back(1e-3 * jitter * ratio);
      run.seconds["other"].push_back(2e-3 * (2 - jitter));
    }
    return write(file, to_benchmark_json(run));
  }
};

TEST_F(GateProgram, TwoFilesOfAnotherProjectsTimings) {
  const std::string before = timings("old.json", 1), slower = timings("new.json", 1.1);
  const Ended ended = deciban_program({"gate", "ab", before, slower, "--junit", at("ci/out.xml"), "--summary",
                                       at("s.md"), "--annotations", "github", "--github-summary"},
                                      {{"GITHUB_STEP_SUMMARY", at("step.md")}});
  EXPECT_EQ(ended.code, 4) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("slower"));
  EXPECT_THAT(ended.err, HasSubstr("::error title=speed::slow: slower: +10.0 %25"));
  EXPECT_THAT(ended.err, HasSubstr("1 of 2 checks failed"));
  EXPECT_THAT(read(at("ci/out.xml")), HasSubstr("failures=\"1\""));
  EXPECT_THAT(read(at("s.md")), HasSubstr("1 of 2 checks failed"));
  EXPECT_THAT(read(at("step.md")), HasSubstr("1 of 2 checks failed"));
  EXPECT_EQ(deciban_program({"gate", "ab", before, before}).code, 0);
  EXPECT_EQ(deciban_program({"gate", "ab", before, slower, "--min-effect", "15"}).code, 0);
}

TEST_F(GateProgram, TooFewRepetitionsProveNothing) {
  const Ended ended = deciban_program({"gate", "ab", timings("old.json", 1, 3), timings("new.json", 2, 3)});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.err, HasSubstr("--benchmark_repetitions"));
  EXPECT_THAT(ended.out, HasSubstr("unclear"));
}

TEST_F(GateProgram, ABuildAgainstItself) {
  const Ended ended = deciban_program({"gate", "ab", DECIBAN_PROGRAM, DECIBAN_PROGRAM, "--cases",
                                       "^norm_rows 1x", "--rounds", "8", "--batch-time", "0.05",
                                       "--min-effect", "100", "--samples", at("t"), "--format", "json"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  const auto rows = nlohmann::json::parse(ended.out);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_THAT(rows[0]["case"], StartsWith("norm_rows 1x384"));
  EXPECT_EQ(rows[0]["samples"], 8);
  const BenchmarkRun before = read_benchmark_json(at("t/old.json")),
                     after = read_benchmark_json(at("t/new.json"));
  EXPECT_TRUE(compare_runs(before, after).cases.at(0).paired);
}

TEST_F(GateProgram, ABaselineOfThisMachineHolds) {
  const std::vector<std::string> quick{"--cases", "^norm_rows 1x", "--rounds", "8", "--batch-time", "0.05"};
  auto words = [&](std::vector<std::string> first) {
    first.insert(first.end(), quick.begin(), quick.end());
    return first;
  };
  ASSERT_EQ(deciban_program(words({"gate", "record", at("b.json")})).code, 0);
  EXPECT_THAT(deciban_program(words({"gate", "record", at("b.json")})).err, HasSubstr("--replace"));
  // Timings are of a shared machine: only what no neighbour can turn round.
  EXPECT_EQ(deciban_program(words({"gate", "check", at("b.json"), "--min-effect", "900"})).code, 0);
  auto baseline = nlohmann::json::parse(read(at("b.json")));
  for (auto& s : baseline["cases"][0]["seconds"]) s = s.get<double>() / 100;
  write("fast.json", baseline.dump());
  EXPECT_EQ(deciban_program(words({"gate", "check", at("fast.json")})).code, 4);
  baseline["cpu"] = "another";
  write("far.json", baseline.dump());
  const Ended far = deciban_program(words({"gate", "check", at("far.json")}));
  EXPECT_THAT(far.err, HasSubstr("another machine"));
  EXPECT_EQ(far.code, 4);
}

TEST_F(GateProgram, CorrectnessOfAFewCases) {
  const Ended ended = deciban_program(
      {"gate", "correctness", "--no-models", "--cases", "^wkv7 7x128/64 f32", "--junit", at("j.xml")});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("wkv7 f32/f32 @baseline"));
  EXPECT_THAT(read(at("j.xml")), HasSubstr("failures=\"0\""));
}

TEST_F(GateProgram, StoredValuesThatDoNotHoldAreARegression) {
  const auto demo = source_dir() / "datasets/demo";
  std::filesystem::copy(demo, folder_ / "demo", std::filesystem::copy_options::recursive);
  const std::vector<std::string> words{"gate",  "correctness", "--no-operations", "--mode",  "f32",
                                       "--isa", "baseline",    "--models",        at("demo")};
  EXPECT_EQ(deciban_program(words).code, 0);
  auto values = nlohmann::json::parse(read(at("demo/gate.json")));
  for (auto& v : values["values"]) v["bits_per_byte"] = v["bits_per_byte"].get<double>() + 1e-5;
  write("demo/gate.json", values.dump());
  const Ended ended = deciban_program(words);
  EXPECT_EQ(ended.code, 4) << ended.err;
}

TEST_F(GateProgram, DivergenceOfAModeFromF32) {
  const std::vector<std::string> words{"gate", "kl",       demo_model(), "--mode", "int8",
                                       "-c",   corpus(12), "--device",   "cpu",    "--reference-device",
                                       "cpu",  "--format", "json"};
  const Ended ended = deciban_program(words);
  ASSERT_EQ(ended.code, 0) << ended.err;
  std::map<std::string, double> found;
  for (const auto& row : nlohmann::json::parse(ended.out)) found[row["what"]] = row["value"].get<double>();
  EXPECT_GT(found["KL mean"], 0);
  EXPECT_LT(found["KL mean"], 1e-3);
  EXPECT_LE(found["KL mean"], found["KL p99"]);
  EXPECT_LE(found["KL p99"], found["KL p99.9"]);
  EXPECT_GT(found["same best token"], 95);
  EXPECT_GT(found["tokens"], 1000);
  auto strict = words;
  strict.insert(strict.end(), {"--max-mean", "1e-9"});
  EXPECT_EQ(deciban_program(strict).code, 4);
  auto loose = words;
  loose.insert(loose.end(), {"--max-mean", "0.1", "--max-p99", "1", "--min-agreement", "90"});
  EXPECT_EQ(deciban_program(loose).code, 0);
}

TEST_F(GateProgram, MistakesAreExplained) {
  const struct {
    std::vector<std::string> words;
    std::string says;
  } mistakes[] = {{{"gate"}, "usage: deciban gate"},
                  {{"gate", "chek"}, "did you mean 'gate check'"},
                  {{"gate", "ab"}, "OLD NEW"},
                  {{"gate", "ab", at("no"), at("no")}, "no such file"},
                  {{"gate", "ab", DECIBAN_PROGRAM, DECIBAN_PROGRAM, "--rounds", "3"}, "rounds for a verdict"},
                  {{"gate", "ab", DECIBAN_PROGRAM, timings("t.json", 1)}, "one is JSON"},
                  {{"gate", "ab", "/bin/true", "/bin/true"}, "deciban"},
                  {{"gate", "check", at("no.json")}, "cannot be read"},
                  {{"gate", "correctness", "--cases", "no such case"}, "no case matches"},
                  {{"gate", "correctness", "--isa", "avx1024"}, "this machine has"},
                  {{"gate", "kl", demo_model()}, "-c"},
                  {{"gate", "kl", demo_model(), "-c", at("t.json")}, "--mode"},
                  {{"gate", "ab", timings("u.json", 1), timings("v.json", 1), "--annotations", "githb"},
                   "did you mean 'github'"}};
  for (const auto& mistake : mistakes) {
    const Ended ended = deciban_program(mistake.words);
    EXPECT_TRUE(ended.code == 1 || ended.code == 2) << mistake.says << ": " << ended.code;
    EXPECT_THAT(ended.err, HasSubstr(mistake.says));
  }
}

TEST_F(GateProgram, HelpFitsEightyColumns) {
  for (const char* word : {"ab", "record", "check", "correctness", "kl"}) {
    const Ended ended = deciban_program({"gate", word, "--help"});
    EXPECT_EQ(ended.code, 0);
    EXPECT_THAT(ended.out, HasSubstr("examples:"));
    EXPECT_EQ(deciban_program({"help", "gate", word}).out, ended.out);
  }
  EXPECT_THAT(deciban_program({"gate", "--help"}).out, HasSubstr("correctness"));
}

}  // namespace
}  // namespace deciban
