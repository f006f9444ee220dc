// The program on a CUDA device: what a killed run has scored is kept, and the next goes on from there.
#include <algorithm>
#include <cstdlib>

#include "tests/cli/program.h"
#include "tests/cuda/card.h"

namespace deciban {
namespace {

// $DECIBAN_PROGRAM where the tests were built on another machine.
std::string program() {
  const char* set = std::getenv("DECIBAN_PROGRAM");
  return set != nullptr ? set : DECIBAN_PROGRAM;
}

class CudaRun : public ProgramTest {
 protected:
  std::vector<std::string> words(const std::string& output) const {
    return {program(),
            "eval",
            "-m",
            demo_model(),
            "-c",
            texts_,
            "-o",
            at(output),
            "--device",
            "cuda",
            "--deterministic",
            "--no-compressors",
            "--batch",
            "256"};
  }
  std::vector<std::string> records(const std::string& output) const {
    std::vector<std::string> lines;
    for (const auto& entry : std::filesystem::directory_iterator(at(output))) {
      if (!entry.path().filename().string().starts_with("records.")) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        nlohmann::json record = nlohmann::json::parse(line, nullptr, false);
        if (record.is_discarded()) continue;  // torn by the kill
        record.erase("seconds");
        lines.push_back(record.dump());
      }
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  std::string texts_;
};

TEST_F(CudaRun, AKilledRunGoesOn) {
  DECIBAN_NEEDS_CARD();
  texts_ = corpus(400, 3000);
  const Ended whole = Program(words("whole")).wait();
  ASSERT_EQ(whole.code, 0) << whole.err;
  ASSERT_EQ(records("whole").size(), 400u);
  {
    const Program killed(words("killed"));  // its destructor kills it
    for (int i = 0; i < 1000; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      if (std::filesystem::exists(at("killed")) && records("killed").size() >= 5) break;
    }
  }
  const std::size_t kept = records("killed").size();
  EXPECT_GE(kept, 5u);
  const Ended rest = Program(words("killed")).wait();
  EXPECT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(records("killed"), records("whole"));
  const auto run = read_json(at("killed") + "/run.json");
  EXPECT_EQ(run["models"][0]["device"], "cuda:0");
  EXPECT_NE(run["models"][0]["kernels"].get<std::string>().find("deterministic"), std::string::npos);
}

TEST_F(CudaRun, ADeviceThatIsNotThereIsNamed) {
  DECIBAN_NEEDS_CARD();
  const Ended ended = Program({program(), "eval", "-m", demo_model(), "-c", corpus(2), "-o", at("run"),
                               "--device", "cuda:63"})
                          .wait();
  EXPECT_EQ(ended.code, 1);
  EXPECT_NE(ended.err.find("there is no device 63"), std::string::npos) << ended.err;
}

}  // namespace
}  // namespace deciban
