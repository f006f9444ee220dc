#include "evals/codec/coded_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>

#include "datasets/sha256.h"
#include "evals/codec/compress.h"
#include "reports/random.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;

std::string message(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

std::unique_ptr<LanguageModel> demo_model(const std::string& mode = "f32", int threads = 1) {
  ModelOptions options;
  options.device = "cpu";
  options.format = mode;
  options.threads = threads;
  return open_model((source_dir() / "datasets/demo/rwkv7").string(), options);
}

std::string demo_text(std::size_t size) {
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "datasets/demo/texts")) {
    std::ifstream file(entry.path(), std::ios::binary);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  return text.substr(0, size);
}

CodecOptions options_of(const LanguageModel& model, std::size_t streams) {
  return {streams, model.info().start_token, nullptr, {}};
}

std::string there_and_back(LanguageModel& model, const std::string& content, std::size_t streams) {
  const std::string bytes = to_bytes(compress(model, content, options_of(model, streams)));
  return decompress(model, parse_coded_file(bytes), {});
}

TEST(Compress, AnyBytesComeBack) {
  const auto model = demo_model();
  Random random(3);
  std::string noise;
  for (int i = 0; i < 3000; ++i) noise += static_cast<char>(random.next());
  for (const std::string& content :
       {std::string(), std::string("x"), std::string(1, '\0'), std::string("\xFF\xFE invalid \xC3"), noise}) {
    EXPECT_EQ(there_and_back(*model, content, 1), content);
  }
}

TEST(Compress, SegmentsAreCodedInLockstepAndComeBack) {
  const auto model = demo_model();
  const std::string text = demo_text(20'100);
  ASSERT_GT(text.size(), 20'000u);
  const CodedFile file = compress(*model, text, options_of(*model, 100));
  EXPECT_EQ(file.segments.size(), text.size() / kLeastSegment);  // never below 10 kB
  EXPECT_EQ(decompress(*model, file, {}), text);
}

// The coded size is what the log-probabilities claim: within 0.01 % and 8 bytes a stream.
TEST(Compress, TakesWhatTheLogProbabilitiesClaim) {
  const auto model = demo_model();
  const std::string text = demo_text(20'100);
  for (const std::size_t streams : {std::size_t{1}, std::size_t{2}}) {
    const std::string_view part = std::string_view(text).substr(0, streams == 1 ? 4'000 : text.size());
    const CodedFile file = compress(*model, part, options_of(*model, streams));
    std::size_t codes = 0;
    for (const CodedSegment& segment : file.segments) codes += segment.code.size();
    const ClaimedBits claimed = claimed_bits(*model, part, file);
    EXPECT_NEAR(static_cast<double>(codes), claimed.segments / 8,
                1e-4 * claimed.segments / 8 + 8 * static_cast<double>(streams));
    if (streams == 1) {
      EXPECT_EQ(claimed.segments, claimed.whole);
    } else {
      EXPECT_GT(claimed.segments, claimed.whole);
    }
  }
}

TEST(Compress, ThreadsDoNotMatter) {
  const std::string text = demo_text(2'000);
  for (const char* mode : {"f32", "bf16a"}) {
    const auto one = demo_model(mode, 1), two = demo_model(mode, 2);
    const std::string bytes = to_bytes(compress(*one, text, options_of(*one, 1)));
    EXPECT_EQ(to_bytes(compress(*two, text, options_of(*two, 1))), bytes);
    EXPECT_EQ(decompress(*two, parse_coded_file(bytes), {}), text);
  }
}

TEST(Compress, RandomBytesGrowByLessThanAHundredth) {
  const auto model = demo_model();
  Random random(4);
  std::string noise;
  for (int i = 0; i < 15'000; ++i) noise += static_cast<char>(random.next());
  EXPECT_LE(static_cast<double>(to_bytes(compress(*model, noise, options_of(*model, 2))).size()),
            1.01 * 20'000);
}

TEST(Compress, StopsWhenAsked) {
  const auto model = demo_model();
  const std::atomic<bool> stop = true;
  CodecOptions options = options_of(*model, 1);
  options.stop = &stop;
  EXPECT_THROW(compress(*model, "some text", options), CodingStopped);
}

TEST(CodedFile, RefusesOtherModelsInWords) {
  const auto model = demo_model();
  CodedFile file = compress(*model, "a text to compress", options_of(*model, 1));
  const ModelInfo& info = model->info();
  file.check(info);
  const auto why = [&](auto change) {
    ModelInfo other = info;
    change(other);
    return message([&] { file.check(other); });
  };
  EXPECT_THAT(why([](ModelInfo& i) { i.digest = "00ff"; }), HasSubstr("give that model with -m"));
  EXPECT_THAT(why([](ModelInfo& i) { i.format = "int8"; }), HasSubstr("add --mode f32"));
  EXPECT_THAT(why([](ModelInfo& i) { i.kernels = "avx2"; }), HasSubstr("DECIBAN_ISA"));
  EXPECT_THAT(why([](ModelInfo& i) { i.kernels = "sm_90 deterministic"; }), HasSubstr("add --device cpu"));
  EXPECT_THAT(why([](ModelInfo& i) { i.tokenizer_digest = "12"; }), HasSubstr("--tokenizer"));
  EXPECT_THAT(why([](ModelInfo& i) { ++i.numerics_version; }), HasSubstr("version of deciban that made it"));
}

TEST(CodedFile, DamageIsFound) {
  const auto model = demo_model();
  const std::string text = demo_text(400);
  const std::string bytes = to_bytes(compress(*model, text, options_of(*model, 1)));
  EXPECT_THAT(message([] { parse_coded_file("PK\3\4"); }), HasSubstr("no file that deciban compressed"));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(message([&] { parse_coded_file(bytes.substr(0, size)); }), "") << size;
  }
  EXPECT_THAT(message([&] { parse_coded_file(bytes + "x"); }), HasSubstr("1 bytes follow"));
  // Any single byte altered: the header's checksum, or at last the content's.
  for (std::size_t i = 0; i < bytes.size(); i += i < 160 ? 3 : 41) {
    std::string altered = bytes;
    altered[i] = static_cast<char>(altered[i] ^ 0x10);
    EXPECT_NE(message([&] { decompress(*model, parse_coded_file(altered), {}); }), "") << i;
  }
}

TEST(CodedFile, HostileHeadersAreRefusedBeforeAnythingIsMade) {
  CodedFile file;
  file.model_digest = file.tokenizer_digest = file.sha256 = std::string(64, '0');
  file.size = 10;
  const auto why = [](const CodedFile& hostile) {
    return message([&] { parse_coded_file(to_bytes(hostile)); });
  };
  file.segments = {{std::uint64_t{1} << 62, 0, ""}};
  EXPECT_THAT(why(file), HasSubstr("segment 1"));
  file.segments = {{10, std::uint64_t{1} << 60, "abc"}};  // more tokens than bytes
  EXPECT_THAT(why(file), HasSubstr("segment 1"));
  file.segments = {{5, 5, "abc"}};
  EXPECT_THAT(why(file), HasSubstr("not as long as its content"));
}

}  // namespace
}  // namespace deciban
