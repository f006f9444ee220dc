#include "bench/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "bench/child.h"
#include "bench/sensors.h"
#include "engine/ops.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SweepOptions two_models() {
  SweepOptions options;
  options.models = {{"a", ""}, {"b", "second"}};
  options.lengths = {512, 256, 512};
  options.machine = "test";
  return options;
}

CostPoint measured(const PointRequest& request) {
  CostPoint point = unmeasured_point(request);
  point.status = "ok";
  point.metrics["step_seconds"] = {1, 1, 1, 1};
  return point;
}

TEST(Sweep, ModelsTakeTurnsAtAscendingLengths) {
  const ScratchDirectory directory;
  CostFile file(directory.path());
  std::vector<std::string> order;
  const auto summary = sweep(two_models(), file,
                             [&](const PointRequest& request) {
                               order.push_back(request.spec + std::to_string(request.length));
                               return measured(request);
                             },
                             {});
  EXPECT_THAT(order, ElementsAre("a256", "b256", "a512", "b512"));
  EXPECT_EQ(summary.measured, 4u);
  EXPECT_EQ(summary.points[1].model, "second");
}

TEST(Sweep, GoesOnWhereItWas) {
  const ScratchDirectory directory;
  std::atomic<bool> stop = false;
  SweepOptions options = two_models();
  options.stop = &stop;
  int calls = 0;
  {
    CostFile file(directory.path());
    const auto first = sweep(options, file,
                             [&](const PointRequest& request) {
                               stop =
                                   ++calls == 3;  // interrupted while the third is measured: it is not kept
                               return measured(request);
                             },
                             {});
    EXPECT_TRUE(first.interrupted);
    EXPECT_EQ(first.points.size(), 2u);
  }
  stop = false;
  CostFile file(directory.path());
  const auto second = sweep(options, file, [&](const PointRequest& r) { return ++calls, measured(r); }, {});
  EXPECT_EQ(second.resumed, 2u);
  EXPECT_EQ(second.measured, 2u);
  EXPECT_EQ(calls, 5);
}

TEST(Sweep, LongerLengthsThanTooLongOnesAreMarked) {
  const ScratchDirectory directory;
  CostFile file(directory.path());
  SweepOptions options = two_models();
  options.lengths = {256, 512, 1024};
  int calls = 0;
  const auto summary = sweep(options, file,
                             [&](const PointRequest& request) {
                               ++calls;
                               CostPoint point = measured(request);
                               if (request.spec == "a" && request.length == 512) {
                                 point.status = "memory";
                                 point.reason = "no room";
                               }
                               return point;
                             },
                             {});
  EXPECT_EQ(calls, 5);  // a's 1024 was not tried
  EXPECT_EQ(summary.marked, 2u);
  const CostPoint& last = summary.points[4];
  EXPECT_EQ(last.length, 1024u);
  EXPECT_EQ(last.status, "memory");
  EXPECT_THAT(last.reason, HasSubstr("512 tokens were too many (no room)"));
}

TEST(PointRequest, ALineGivesItBack) {
  PointRequest request{"random:rwkv7-0.1b", {}, 512, 8, 1024, {}, "a machine"};
  request.options.threads = 3;
  request.goal.noise = 0.07;
  const PointRequest back = request_from_json(to_json_line(request));
  EXPECT_EQ(to_json_line(back), to_json_line(request));
  EXPECT_EQ(point_key(back), point_key(request));
  request.batch = 9;
  EXPECT_NE(point_key(back), point_key(request));
  request.batch = 8;
  request.goal.noise = 0.01;  // how well, not what
  EXPECT_EQ(point_key(back), point_key(request));
}

PointRequest small_point(const std::string& spec, std::size_t length) {
  PointRequest request{spec, {}, length, 2, 64, {}, "test"};
  request.options.device = "cpu";
  request.options.threads = 1;
  request.goal = {.least_runs = 2, .least_seconds = 0, .noise = 10, .limit_seconds = 60};
  return request;
}

TEST(MeasurePoint, MeasuresARealModel) {
  const CostPoint point = measure_point(small_point("random:rwkv7-0.1b,layers=2,vocab=512", 48));
  ASSERT_EQ(point.status, "ok") << point.reason;
  for (const char* name :
       {"prefill_seconds", "prefill_tokens_per_second", "prefill_bytes_per_second", "step_seconds",
        "step_p99_seconds", "generation_seconds", "weights_bytes", "cache_bytes", "workspace_bytes",
        "resident_bytes", "load_seconds", "idle_bytes"}) {
    ASSERT_TRUE(point.metrics.count(name)) << name;
    EXPECT_GT(point.metrics.at(name).value, 0) << name;
  }
  const CostValue& prefill = point.metrics.at("prefill_seconds");
  EXPECT_LE(prefill.low, prefill.value);
  EXPECT_GE(prefill.high, prefill.value);
  EXPECT_NEAR(point.metrics.at("prefill_tokens_per_second").value * prefill.value, 96, 1e-9);
  // Two sequences' states: per layer 2 C + C N floats, C = 768, N = 64.
  EXPECT_EQ(point.metrics.at("cache_bytes").value, 2 * 2 * 4 * (2 * 768 + 768 * 64));
}

// In a process of its own, as in a sweep: what the model accounts for, and what the process held before it
// was opened, is what the system sees.
TEST(MeasurePoint, MemoryAgreesWithTheSystem) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer's own memory is in the system's figure";
#endif
  for (const char* spec : {"random:rwkv7-0.1b", "random:rwkv4-169m"}) {
    const ChildResult child = run_child({DECIBAN_PROGRAM, "bench", "--point"},
                                        to_json_line(small_point(spec, 256)) + "\n", 300, nullptr);
    ASSERT_EQ(child.end, ChildResult::End::done);
    const CostPoint point = cost_from_json(child.output);
    ASSERT_EQ(point.status, "ok") << point.reason;
    const auto bytes = [&](const char* name) { return point.metrics.at(name).value; };
    const double counted =
        bytes("idle_bytes") + bytes("weights_bytes") + bytes("cache_bytes") + bytes("workspace_bytes");
    const double seen = bytes("resident_bytes");
    EXPECT_NEAR(counted, seen, std::max(0.05 * seen, 8.0 * (1 << 20))) << spec;
  }
}

// A recurrent model's memory is the same however much it has read; a transformer's cache is the control. What
// the process holds beside the model is the prompt: 4 bytes a token, and its text.
TEST(MeasurePoint, Rwkv7sMemoryIsFlatAndATransformersIsNot) {
  const auto measured = [](const std::string& spec, std::size_t length) {
    PointRequest request = small_point(spec, length);
    request.batch = 1;
    const ChildResult child =
        run_child({DECIBAN_PROGRAM, "bench", "--point"}, to_json_line(request) + "\n", 300, nullptr);
    EXPECT_EQ(child.end, ChildResult::End::done);
    CostPoint point = cost_from_json(child.output);
    EXPECT_EQ(point.status, "ok") << point.reason;
    return point;
  };
  const auto bytes = [](const CostPoint& point, const char* name) { return point.metrics.at(name).value; };
  constexpr std::size_t kShort = 1024, kLong = 32 * 1024;
  const std::string rwkv = "random:rwkv7-0.1b,layers=2,width=64,vocab=256";
  const CostPoint before = measured(rwkv, kShort), after = measured(rwkv, kLong);
  EXPECT_EQ(bytes(before, "cache_bytes"), bytes(after, "cache_bytes"));
  EXPECT_EQ(bytes(before, "workspace_bytes"), bytes(after, "workspace_bytes"));
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(bytes(after, "resident_bytes") - bytes(before, "resident_bytes"), 2 << 20);
#endif
  // At the end of a model's positions the steps are taken before it.
  EXPECT_EQ(measured("random:pythia-70m,layers=1,vocab=256,context=150", 148).length, 148u);
  const std::string transformer = "random:pythia-70m,layers=1,vocab=256,context=8192";
  EXPECT_GT(bytes(measured(transformer, 4096), "cache_bytes"),
            3 * bytes(measured(transformer, 1024), "cache_bytes"));
}

TEST(MeasurePoint, AFailureIsAPoint) {
  const CostPoint point = measure_point(small_point("nosuch.pth", 48));
  EXPECT_EQ(point.status, "failed");
  EXPECT_THAT(point.reason, HasSubstr("nosuch.pth"));
}

// A model whose context ends.
class Limited : public LanguageModel {
 public:
  Limited() {
    info_.name = "limited";
    info_.device = "cpu";
    info_.vocabulary = 10;
    info_.context_limit = 32;
  }
  const ModelInfo& info() const override { return info_; }
  std::vector<Token> encode(std::string_view) const override { return {}; }
  std::string decode(std::span<const Token> tokens) const override { return std::string(tokens.size(), 'x'); }
  void score(SequenceSource& next, ScoreSink& done) override {
    Sequence sequence;
    for (std::size_t i = 0; next.next(sequence); ++i) {
      const std::vector<TokenScore> scores(sequence.tokens.size() - sequence.first, {-1, -1, 0});
      done.scored(i, scores);
    }
  }

 private:
  ModelInfo info_;
};

TEST(MeasurePoint, ALimitIsMarkedAndAModelMayOnlyScore) {
  const OpenModel open = [](const std::string&, const ModelOptions&) { return std::make_unique<Limited>(); };
  EXPECT_EQ(measure_point(small_point("x", 48), open).status, "limit");
  const CostPoint point = measure_point(small_point("x", 16), open);
  EXPECT_EQ(point.status, "ok") << point.reason;
  EXPECT_TRUE(point.metrics.count("prefill_seconds"));
  EXPECT_FALSE(point.metrics.count("step_seconds"));
  EXPECT_THAT(point.unmet, ::testing::Contains("step: this model only scores"));
  const OpenModel full = [](const std::string&, const ModelOptions&) -> std::unique_ptr<LanguageModel> {
    throw std::bad_alloc();
  };
  EXPECT_EQ(measure_point(small_point("x", 16), full).status, "memory");
}

// score() tells a full device's memory only in words; reading the text again tells it for sure.
class Full final : public Limited {
 public:
  explicit Full(bool memory) : memory_(memory) {}
  void score(SequenceSource& next, ScoreSink& done) override {
    Sequence sequence;
    for (std::size_t i = 0; next.next(sequence); ++i) done.failed(i, "it did not work");
  }
  std::unique_ptr<Batch> start_batch(std::size_t) override {
    if (memory_) throw OutOfDeviceMemory("device 0 has 3 MiB free");
    return nullptr;
  }

 private:
  bool memory_;
};

TEST(MeasurePoint, ADevicesFullMemoryIsMarked) {
  const auto measured = [](bool memory) {
    return measure_point(small_point("x", 16), [memory](const std::string&, const ModelOptions&) {
      return std::make_unique<Full>(memory);
    });
  };
  EXPECT_EQ(measured(true).status, "memory");
  EXPECT_EQ(measured(true).reason, "device 0 has 3 MiB free");
  EXPECT_EQ(measured(false).status, "failed");
  EXPECT_EQ(measured(false).reason, "it did not work");
  const OpenModel refused = [](const std::string&, const ModelOptions&) -> std::unique_ptr<LanguageModel> {
    throw OutOfDeviceMemory("the model needs 90 GiB");
  };
  EXPECT_EQ(measure_point(small_point("x", 16), refused).status, "memory");
}

TEST(Child, SaysHowItEnded) {
  const auto run = [](const std::string& script, double limit = 20) {
    return run_child({"/bin/sh", "-c", script}, "a line\n", limit, nullptr);
  };
  EXPECT_EQ(run("cat").output, "a line\n");
  EXPECT_EQ(run("exit 3").code, 3);
  EXPECT_EQ(run("exit 3").end, ChildResult::End::failed);
  EXPECT_EQ(run("kill -9 $$").end, ChildResult::End::killed);
  EXPECT_EQ(run("kill -9 $$").code, 9);
  EXPECT_EQ(run("sleep 30", 0.3).end, ChildResult::End::timed_out);
  const std::atomic<bool> stop = true;
  EXPECT_EQ(run_child({"/bin/sleep", "30"}, "", 20, &stop).end, ChildResult::End::interrupted);
  EXPECT_THROW(run_child({"/no/such/program"}, "", 1, nullptr), std::runtime_error);
}

TEST(MeasureInChild, AKilledOneHadNoMemory) {
  const PointRequest request = small_point("x", 16);
  const auto measure = [&](const std::string& script) {
    return measure_in_child(request, {"/bin/sh", "-c", script}, 20, nullptr);
  };
  EXPECT_EQ(measure("kill -9 $$").status, "memory");
  EXPECT_EQ(measure("kill -11 $$").status, "failed");
  EXPECT_THAT(measure("kill -11 $$").reason, HasSubstr("signal 11"));
  EXPECT_THAT(measure("echo nonsense").reason, HasSubstr("not JSON"));
  EXPECT_THAT(measure("exit 1").reason, HasSubstr("exit code 1"));
}

}  // namespace
}  // namespace deciban
