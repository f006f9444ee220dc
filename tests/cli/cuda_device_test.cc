// Device words on the command line, with a module that stands for CUDA.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace deciban {
namespace {

class CudaDeviceWords : public ProgramTest {
 protected:
  static std::map<std::string, std::string> cards(const std::string& kinds) {
    return {{"DECIBAN_CUDA_MODULE", DECIBAN_FAKE_CUDA}, {"DECIBAN_FAKE_CARDS", kinds}};
  }
  Ended eval(const std::string& output, std::vector<std::string> more, const std::string& kinds = "90,90") {
    std::vector<std::string> words = {"eval",    "-m", demo_model(), "-c",
                                      corpus(6), "-o", at(output),   "--no-compressors"};
    words.insert(words.end(), more.begin(), more.end());
    return deciban_program(words, cards(kinds));
  }
  std::vector<std::string> keys(const std::string& output) const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(at(output))) {
      if (!entry.path().filename().string().starts_with("records.")) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);)
        all.push_back(nlohmann::json::parse(line).at("key").get<std::string>());
    }
    std::sort(all.begin(), all.end());
    return all;
  }
};

TEST_F(CudaDeviceWords, TheCardsIndexIsNotPartOfARecordsKeyButDeterminismIs) {
  ASSERT_EQ(eval("zero", {"--device", "cuda:0"}).code, 0);
  ASSERT_EQ(eval("both", {"--device", "cuda:1,0"}).code, 0);
  ASSERT_EQ(eval("deterministic", {"--device", "cuda:0", "--deterministic"}).code, 0);
  ASSERT_EQ(eval("other", {"--device", "cuda:0"}, "80").code, 0);
  ASSERT_EQ(keys("zero").size(), 6u);
  EXPECT_EQ(keys("zero"), keys("both"));
  EXPECT_NE(keys("zero"), keys("deterministic"));
  EXPECT_NE(keys("zero"), keys("other"));
  const auto run = nlohmann::json::parse(read(at("both/run.json")));
  EXPECT_EQ(run["models"][0]["device"], "cuda:1,0");
  EXPECT_EQ(run["models"][0]["kernels"], "sm_90");
}

TEST_F(CudaDeviceWords, InfoListsCardsOrSaysWhyThereAreNone) {
  const Ended two = deciban_program({"info"}, cards("90,80"));
  EXPECT_EQ(two.code, 0);
  EXPECT_NE(two.out.find("cuda:1"), std::string::npos) << two.out;
  EXPECT_NE(two.out.find("sm_80"), std::string::npos) << two.out;
  const Ended none = deciban_program({"info"}, {{"DECIBAN_CUDA_MODULE", "none"}});
  EXPECT_EQ(none.code, 0);
  EXPECT_NE(none.out.find("switched off"), std::string::npos) << none.out;
}

TEST_F(CudaDeviceWords, BadWordsAreMistakesAndMissingCardsFailures) {
  const Ended word = eval("a", {"--device", "gpu"});
  EXPECT_EQ(word.code, 2);
  EXPECT_NE(word.err.find("known: auto, cpu, cuda"), std::string::npos) << word.err;
  EXPECT_EQ(eval("b", {"--device", "cuda:0,0"}).code, 2);
  const Ended missing = eval("c", {"--device", "cuda:5"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_NE(missing.err.find("there is no device 5"), std::string::npos) << missing.err;
  const Ended mode = eval("d", {"--device", "cuda", "--mode", "int8a"});
  EXPECT_EQ(mode.code, 2);
  EXPECT_NE(mode.err.find("on the CPU alone"), std::string::npos) << mode.err;
}

}  // namespace
}  // namespace deciban
