// The program's arithmetic coder on a CUDA device: what it writes comes back bit by bit, is as long as the
// log-probabilities claim, and is refused elsewhere.
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/cli/program.h"
#include "tests/cuda/card.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;

class CudaCoding : public ProgramTest {
 protected:
  // $DECIBAN_PROGRAM where the tests were built on another machine.
  static Ended deciban(std::vector<std::string> words) {
    const char* set = std::getenv("DECIBAN_PROGRAM");
    words.insert(words.begin(), set != nullptr ? set : DECIBAN_PROGRAM);
    return Program(words).wait();
  }
  static std::string texts(std::size_t bytes) {
    std::string all;
    for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "datasets/demo/texts"))
      all += read(entry.path().string());
    while (all.size() < bytes) all += all.substr(0, bytes - all.size());
    return all.substr(0, bytes);
  }
  // Compressed and decompressed on the card; the row of compress's table.
  nlohmann::json round_trip(const std::string& content, std::vector<std::string> more) {
    const std::string file = write("file", content), coded = at("coded.dcb"), back = at("back");
    std::vector<std::string> words{"compress", "-m",       demo_model(), file,       "-o",  coded,
                                   "--force",  "--device", "cuda",       "--format", "json"};
    words.insert(words.end(), more.begin(), more.end());
    const Ended made = deciban(words);
    EXPECT_EQ(made.code, 0) << made.err;
    const Ended ended =
        deciban({"decompress", "-m", demo_model(), coded, "-o", back, "--force", "--device", "cuda"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(read(back), content);
    const auto parsed = nlohmann::json::parse(made.out, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << made.out;
    return parsed.is_array() ? parsed.at(0) : parsed.contains("rows") ? parsed["rows"].at(0) : parsed;
  }
};

TEST_F(CudaCoding, TextsComeBackAndTakeWhatTheyClaim) {
  DECIBAN_NEEDS_CARD();
  const auto proven = [&](const std::string& text, const std::string& streams, const std::string& mode) {
    const auto row = round_trip(text, {"--streams", streams, "--mode", mode});
    const double claimed = row.at("claimed"), coded = row.at("compressed"), header = row.at("header_bytes");
    EXPECT_LE(std::abs(coded - header - claimed), 1e-4 * claimed + 8 * std::stod(streams))
        << mode << ", streams: " << streams;
    EXPECT_LT(coded - header, 0.5 * static_cast<double>(text.size()));
    EXPECT_EQ(row.at("streams"), std::stoi(streams));
  };
  for (const std::string& mode : card_modes({"f32", "bf16a", "int4", "fp8"})) proven(texts(1500), "1", mode);
  proven(texts(20'000), "2", "bf16a");
}

TEST_F(CudaCoding, AnyBytesComeBack) {
  DECIBAN_NEEDS_CARD();
  std::mt19937 random(5);
  std::string noise(20'000, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  for (const std::string& content :
       {noise, noise.substr(0, 900), std::string(), std::string("x"), texts(500) + noise.substr(0, 300)}) {
    const auto row = round_trip(content, {"--streams", content.size() > 10'000 ? "2" : "1", "--no-claim"});
    EXPECT_LE(row.at("compressed"), 1.01 * static_cast<double>(content.size()) + 300);
  }
}

TEST_F(CudaCoding, OtherDevicesRefuseItInWords) {
  DECIBAN_NEEDS_CARD();
  const std::string file = write("text", texts(1200)), coded = at("coded.dcb");
  ASSERT_EQ(
      deciban({"compress", "-m", demo_model(), file, "-o", coded, "--device", "cuda", "--mode", "bf16a"})
          .code,
      0);
  const Ended elsewhere =
      deciban({"decompress", "-m", demo_model(), coded, "-o", at("back"), "--device", "cpu"});
  EXPECT_EQ(elsewhere.code, 1);
  EXPECT_THAT(elsewhere.err, HasSubstr("sm_"));
  EXPECT_THAT(elsewhere.err, HasSubstr("--device cuda"));
  EXPECT_FALSE(std::filesystem::exists(at("back")));
  const Ended back =
      deciban({"compress", "-m", demo_model(), file, "-o", coded, "--force", "--device", "cpu"});
  ASSERT_EQ(back.code, 0) << back.err;
  EXPECT_THAT(deciban({"decompress", "-m", demo_model(), coded, "-o", at("back"), "--device", "cuda"}).err,
              HasSubstr("--device cpu"));
}

// Documents coded in lockstep on the card: the sizes are those claimed, or the records would say "failed".
TEST_F(CudaCoding, EvalVerifies) {
  DECIBAN_NEEDS_CARD();
  const Ended ended =
      deciban({"eval", "-m", demo_model(), "-c", (source_dir() / "datasets/demo/texts").string(), "-o",
               at("run"), "--device", "cuda", "--no-compressors", "--verify", "all"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  std::size_t coded = 0;
  for (const auto& entry : std::filesystem::directory_iterator(at("run"))) {
    if (!entry.path().filename().string().starts_with("records.")) continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      const auto record = nlohmann::json::parse(line);
      if (record.at("task") != "coded") continue;
      ++coded;
      EXPECT_EQ(record.at("status"), "ok") << line;
    }
  }
  EXPECT_GE(coded, 10u);
  EXPECT_THAT(read(at("run") + "/run.json"), HasSubstr("deterministic"));
}

}  // namespace
}  // namespace deciban
