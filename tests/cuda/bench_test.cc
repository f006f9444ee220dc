// `deciban bench` on a CUDA device: memory as the driver and as the model see it, and points that do not fit.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "tests/cli/program.h"
#include "tests/cuda/card.h"

namespace deciban {
namespace {

class CudaBench : public ProgramTest {
 protected:
  // The points of a sweep, in order.
  std::vector<nlohmann::json> points(const std::vector<std::string>& words) {
    // $DECIBAN_PROGRAM where the tests were built on another machine.
    const char* set = std::getenv("DECIBAN_PROGRAM");
    std::vector<std::string> command{set != nullptr ? set : DECIBAN_PROGRAM,
                                     "bench",
                                     "--device",
                                     "cuda",
                                     "-o",
                                     at("out"),
                                     "--min-runs",
                                     "1",
                                     "--min-time",
                                     "0",
                                     "--noise",
                                     "1000"};
    command.insert(command.end(), words.begin(), words.end());
    const Ended ended = Program(command).wait();
    EXPECT_EQ(ended.code, 0) << ended.err;
    std::vector<nlohmann::json> all;
    std::ifstream file(at("out") + "/costs.jsonl");
    for (std::string line; std::getline(file, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }
};

// With one sequence, what is taken beside the account (the code of kernels, presumably) is as much at every
// length.
TEST_F(CudaBench, MemoryAgreesWithTheDriver) {
  DECIBAN_NEEDS_CARD();
  const auto all = points({"-m", "random:rwkv7-0.1b", "-m", "random:rwkv4-169m", "-m",
                           "random:pythia-160m,context=16384", "-p", "256,1900,16000"});
  ASSERT_EQ(all.size(), 9u);
  std::map<std::string, double> code;
  for (const nlohmann::json& point : all) {  // lengths ascend
    ASSERT_EQ(point["status"], "ok") << point;
    const double taken = point["metrics"].value("device_taken_bytes", 0.0),
                 counted = point["metrics"].value("device_accounted_bytes", 0.0),
                 seen = point["metrics"].value("device_bytes", 0.0);
    const auto own = code.try_emplace(point["model"], taken - counted).first;
    EXPECT_GT(own->second, 0);
    EXPECT_LT(own->second, 128 << 20) << point["model"];
    EXPECT_NEAR(counted + own->second, taken, std::max(0.05 * taken, 8.0 * (1 << 20)))
        << point["model"] << " at " << point["length"];
    EXPECT_GE(seen, taken);
  }
}

TEST_F(CudaBench, WhatDoesNotFitIsMarkedAndTheSweepGoesOn) {
  DECIBAN_NEEDS_CARD();
  // 16384 states of 10.8 MB each.
  const auto all = points({"-m", "random:rwkv7-2.9b,layers=16", "-m", "random:rwkv7-0.1b,layers=2", "-p",
                           "1,2", "--batch", "1,16k", "--time-limit", "20"});
  ASSERT_EQ(all.size(), 8u);
  for (const nlohmann::json& point : all) {
    const bool large = point["model"].get<std::string>().starts_with("rwkv7-2.9b") && point["batch"] != 1;
    EXPECT_EQ(point["status"], large ? "memory" : "ok") << point;
  }
}

}  // namespace
}  // namespace deciban
