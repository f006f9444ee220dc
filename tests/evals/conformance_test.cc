// The conformance suite: models that keep their promises pass, and each promise that is broken is noticed by
// its own check.
#include "evals/conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "tests/evals/fake_models.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using Names = std::set<std::string>;

Names with_outcome(const std::vector<ConformanceCheck>& checks, CheckOutcome outcome) {
  Names names;
  for (const ConformanceCheck& check : checks) {
    if (check.outcome == outcome) names.insert(check.name);
  }
  return names;
}

// What was found, for messages.
std::string said(const std::vector<ConformanceCheck>& checks) {
  std::string text;
  for (const ConformanceCheck& check : checks) {
    text += fmt::format("{}: {} ({} of {} {}) {}\n", check.name, static_cast<int>(check.outcome),
                        check.figure, check.limit, check.unit, check.text);
  }
  return text;
}

std::vector<ConformanceCheck> checks_of(const std::string& spec, const std::string& mode = "auto") {
  ModelOptions options;
  options.threads = 2;
  options.format = mode;
  const auto model = open_model(spec, options);
  return check_conformance(*model);
}

TEST(Conformance, EveryVersionOfRwkvPasses) {
  std::size_t models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "tests/golden/rwkv")) {
    const auto file = entry.path() / "model.pth";
    if (!std::filesystem::exists(file)) continue;
    ++models;
    const auto checks = checks_of(file, "f32");
    EXPECT_EQ(with_outcome(checks, CheckOutcome::passed).size(), checks.size()) << file << "\n"
                                                                                << said(checks);
  }
  EXPECT_GE(models, 6u);
}

TEST(Conformance, EveryNumericModeOfTheCpuPasses) {
  for (const char* mode : {"f32", "bf16", "bf16a", "f16", "int8", "int8a", "int4", "int4g64"}) {
    const auto checks = checks_of(source_dir() / "datasets/demo/rwkv7/model.pth", mode);
    EXPECT_EQ(with_outcome(checks, CheckOutcome::passed).size(), checks.size()) << mode << "\n"
                                                                                << said(checks);
  }
}

TEST(Conformance, PluginsAndProgramsPass) {
  const std::string model = source_dir() / "datasets/demo/rwkv7/model.pth";
  for (const std::string& spec :
       {std::string("plugin:uniform"), std::string("plugin:" DECIBAN_PLUGIN_DOUBLE),
        "exec:" + std::string(DECIBAN_EXEC_DOUBLE), "plugin:" DECIBAN_BUILTIN_PLUGIN ",model=" + model}) {
    const auto checks = checks_of(spec);
    EXPECT_EQ(with_outcome(checks, CheckOutcome::passed).size(), checks.size()) << spec << "\n"
                                                                                << said(checks);
  }
}

// A promise of "the same bits" (batch_bound 0) is held to.
TEST(Conformance, EveryFamilyOfThePluginsPasses) {
  const std::string sequences = (source_dir() / "tests/golden/sequences").string();
  const std::string small = ",layers=1,vocab=256,context=256";
  for (const std::string& spec :
       {"random:gpt2" + small, "random:opt-125m" + small, "random:bloom-560m" + small,
        "random:qwen2-0.5b" + small, (source_dir() / "datasets/demo/gptneox").string(),
        (source_dir() / "datasets/demo/llama").string(), "plugin:mamba,model=" + sequences + "/mamba",
        "plugin:mamba,model=" + sequences + "/mamba-biases", "plugin:hyena,model=" + sequences + "/hyena",
        "plugin:hyena,model=" + sequences + "/hyena-buffers"}) {
    const auto checks = checks_of(spec, "f32");
    EXPECT_EQ(with_outcome(checks, CheckOutcome::passed).size(), checks.size()) << spec << "\n"
                                                                                << said(checks);
  }
}

TEST(Conformance, TheTransformerPassesInEveryModeOfTheCpu) {
  for (const char* mode : {"bf16", "bf16a", "f16", "int8", "int8a"}) {
    const auto checks =
        checks_of("plugin:transformer,model=" + (source_dir() / "datasets/demo/llama").string(), mode);
    EXPECT_EQ(with_outcome(checks, CheckOutcome::passed).size(), checks.size()) << mode << "\n"
                                                                                << said(checks);
  }
}

TEST(Conformance, LargeVocabulariesAreJudgedByTheirLogits) {
  const auto checks = checks_of("random:rwkv7-0.1b");
  EXPECT_TRUE(with_outcome(checks, CheckOutcome::failed).empty()) << said(checks);
  EXPECT_TRUE(with_outcome(checks, CheckOutcome::passed).contains("sum of probabilities")) << said(checks);
}

TEST(Conformance, EveryBrokenPromiseIsNoticed) {
  const std::pair<const char*, const char*> faults[] = {
      {"normalises_silently", "normalisation"},
      {"normal_unstable", "normalisation"},
      {"byte_lost", "byte coverage"},
      {"start_added", "start token"},
      {"not_normalised", "sum of probabilities"},
      {"wrong_best", "best token"},
      {"shifted", "shift by one"},
      {"late", "shift by one"},
      {"too_few", "edge sequences"},
      {"step_differs", "prefill = step"},
      {"batch_nan", "prefill = step"},
      {"crowd_matters", "batch invariance"},
      {"leaks", "batch invariance"},
      {"shared_wrong", "shared beginnings"},
      {"copy_nothing", "copy and reset"},
      {"reset_nothing", "copy and reset"},
      {"few_weights", "memory report"},
      {"huge", "memory report"},
      {"device_too_much", "memory report"},
      {"no_state", "memory report"},
  };
  Names noticed;
  for (const auto& [fault, check] : faults) {
    const auto checks = checks_of(std::string("plugin:" DECIBAN_PLUGIN_DOUBLE ",fault=") + fault);
    EXPECT_TRUE(with_outcome(checks, CheckOutcome::failed).contains(check)) << fault << "\n" << said(checks);
    noticed.insert(check);
  }
  EXPECT_EQ(noticed.size(), checks_of("plugin:uniform").size()) << "every check has a fault that fails it";
}

TEST(Conformance, WhatAModelCannotDoIsSkippedAndSaidSo) {
  const auto checks = checks_of("plugin:" DECIBAN_PLUGIN_DOUBLE ",fault=no_batch");
  EXPECT_EQ(with_outcome(checks, CheckOutcome::skipped), (Names{"prefill = step", "copy and reset"}))
      << said(checks);
  EXPECT_TRUE(with_outcome(checks, CheckOutcome::failed).empty());
}

TEST(Conformance, TellsOfEveryCheckAsItIsDone) {
  fakes::UniformModel model;
  std::vector<std::string> seen;
  const auto checks =
      check_conformance(model, {}, [&](const ConformanceCheck& check) { seen.push_back(check.name); });
  EXPECT_EQ(seen.size(), checks.size());
  // This one calls another token than the likeliest the best, but they are all alike: nothing is wrong.
  EXPECT_TRUE(with_outcome(checks, CheckOutcome::failed).empty()) << said(checks);
}

}  // namespace
}  // namespace deciban
