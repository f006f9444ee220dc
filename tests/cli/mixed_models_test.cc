// deciban eval with models that the engine does not have yet: ones with a limit to their context.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "cli/eval.h"
#include "reports/record.h"
#include "tests/cli/program.h"
#include "tests/evals/fake_models.h"

namespace deciban {
namespace {

using nlohmann::json;

class MixedModels : public ProgramTest {
 protected:
  // "free": no limit; "short": at most 100 tokens, a token a byte; "pairs": at most 60 tokens of up to two
  // bytes.
  static std::unique_ptr<LanguageModel> open(const std::string& spec, const ModelOptions&) {
    if (spec == "free") return std::make_unique<fakes::UniformModel>();
    std::unique_ptr<fakes::FakeModel> model;
    if (spec == "pairs") {
      model = std::make_unique<fakes::PairModel>();
    } else {
      model = std::make_unique<fakes::HashModel>();
    }
    model->edit().name = spec;
    model->edit().context_limit = spec == "pairs" ? 60 : 100;
    return model;
  }
  // The rows of the models, by name and window; the exit code goes to code_.
  std::map<std::string, json> run(const std::vector<std::string>& models, const std::string& texts,
                                  const std::string& window = "auto") {
    EvalOptions options;
    options.models = models;
    options.corpora = {texts};
    options.output = at("run");
    options.window = window;
    options.no_compressors = true;
    CommonOptions common;
    common.quiet = true;
    common.format = "json";
    testing::internal::CaptureStdout();
    code_ = eval(options, {"deciban", "eval"}, Console(common),
                 {[](const std::string&, const ModelOptions&) {}, open});
    std::map<std::string, json> rows;
    for (const json& row : json::parse(testing::internal::GetCapturedStdout())) {
      rows[row["model"].get<std::string>() + " " + row["window"].get<std::string>()] = row;
    }
    return rows;
  }

  int code_ = -1;
};

TEST_F(MixedModels, HaveAMatchedRowAndTheirOwnBest) {
  const auto rows = run({"free", "short", "pairs"}, corpus(12, 300));
  EXPECT_EQ(code_, 0);
  // 64 bytes are 65 tokens for "short" and at most 60 for "pairs", whose words come in pairs of letters.
  ASSERT_EQ(rows.size(), 6u);
  for (const char* name :
       {"uniform bytes:64 (matched)", "uniform whole (own best)", "short bytes:64 (matched)",
        "short tokens:100:50 (own best)", "pairs bytes:64 (matched)", "pairs tokens:60:30 (own best)"}) {
    EXPECT_TRUE(rows.contains(name)) << name;
  }
  for (const auto& [name, row] : rows) EXPECT_EQ(row["documents"], 12) << name;
  EXPECT_NEAR(rows.at("uniform bytes:64 (matched)")["bits_per_byte"].get<double>(), 8, 1e-6);
  EXPECT_EQ(read_records({at("run")}).size(), 6u * 12);
  // A second time nothing is left to score, and the table is the same.
  const auto again = run({"free", "short", "pairs"}, corpus(12, 300));
  for (const auto& [name, row] : rows)
    EXPECT_EQ(again.at(name)["bits_per_byte_low"], row["bits_per_byte_low"]) << name;
  EXPECT_EQ(read_records({at("run")}).size(), 6u * 12);
}

TEST_F(MixedModels, NeedNoSecondRowWhereEverythingFits) {
  const auto rows = run({"free", "short"}, corpus(12, 80));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_TRUE(rows.contains("uniform whole"));
  EXPECT_TRUE(rows.contains("short tokens:100:50"));
}

TEST_F(MixedModels, AWindowThatIsAskedForHoldsForAll) {
  const auto rows = run({"free", "short"}, corpus(12, 300), "bytes:40");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_TRUE(rows.contains("short bytes:40"));
  // One that a model cannot hold fails its documents and no others.
  run({"free", "short"}, corpus(12, 300, "others.json"), "whole");
  EXPECT_EQ(code_, 3);
}

}  // namespace
}  // namespace deciban
