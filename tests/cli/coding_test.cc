// deciban compress, decompress and convert as a user runs them: what is killed in mid-write leaves nothing
// under the name that was asked for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <thread>

#include "tests/cli/program.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;

class CodingProgram : public ProgramTest {
 protected:
  static std::string model() { return (source_dir() / "datasets/demo/rwkv7/model.pth").string(); }
  // Bytes that nothing compresses, so that they are stored as they are.
  static std::string noise(std::size_t bytes) {
    std::string text(bytes, '\0');
    std::uint64_t state = 88172645463325252u;
    for (char& c : text) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      c = static_cast<char>(state >> 32);
    }
    return text;
  }
  // The program, ended by the system when it writes more than `blocks` of 512 bytes into one file.
  static Ended cut_off(int blocks, std::vector<std::string> words) {
    std::vector<std::string> all{"sh", "-c", fmt::format("ulimit -c 0; ulimit -f {}; exec \"$@\"", blocks),
                                 "sh", DECIBAN_PROGRAM};
    all.insert(all.end(), words.begin(), words.end());
    return Program(all).wait();
  }
};

TEST_F(CodingProgram, WhatIsEndedInMidWriteLeavesNoHalfFile) {
  const std::string file = write("noise", noise(60'000));
  const Ended half = cut_off(40, {"compress", "-m", model(), file, "--mode", "f32", "--no-claim"});
  EXPECT_EQ(half.code, 128 + SIGXFSZ) << half.err;
  EXPECT_FALSE(std::filesystem::exists(file + ".dcb"));
  const Ended whole = deciban_program({"compress", "-m", model(), file, "--mode", "f32", "--no-claim"});
  ASSERT_EQ(whole.code, 0) << whole.err;
  EXPECT_LE(std::filesystem::file_size(file + ".dcb"), 60'600u);  // at most 1 % more
  const Ended cut = cut_off(40, {"decompress", "-m", model(), file + ".dcb", "-o", at("back")});
  EXPECT_EQ(cut.code, 128 + SIGXFSZ) << cut.err;
  EXPECT_FALSE(std::filesystem::exists(at("back")));
  ASSERT_EQ(deciban_program({"decompress", "-m", model(), file + ".dcb", "-o", at("back")}).code, 0);
  EXPECT_EQ(read(at("back")), read(file));
}

TEST_F(CodingProgram, KilledAtAnyMomentItHasWrittenAllOrNothing) {
  const std::string text = read((source_dir() / "datasets/demo/texts/short_story.txt").string());
  const std::string file = write("text", text), coded = file + ".dcb";
  for (const int wait : {1, 5, 20, 60, 120, 200}) {
    {
      const std::vector<std::string> words{DECIBAN_PROGRAM, "compress",   "-m",     model(), file,
                                           "--force",       "--no-claim", "--mode", "f32"};
      Program program(words);
      std::this_thread::sleep_for(std::chrono::milliseconds(wait));
      program.signal(SIGKILL);
      program.wait();
    }
    if (!std::filesystem::exists(coded)) continue;
    std::filesystem::remove(at("back"));
    const Ended back = deciban_program({"decompress", "-m", model(), coded, "-o", at("back")});
    ASSERT_EQ(back.code, 0) << back.err;
    EXPECT_EQ(read(at("back")), text);
  }
}

TEST_F(CodingProgram, TheSameBitsOnAnyThreadCount) {
  const auto texts = source_dir() / "datasets/demo/texts";
  std::string text;
  for (const char* name : {"news.txt", "manual.txt", "cpp_source.txt", "letter.txt", "recipe.txt"}) {
    text += read((texts / name).string());
  }
  while (text.size() < 31'000) text += text.substr(0, 4000);  // three streams
  const std::string file = write("text", text);
  std::string first;
  for (const char* mode : {"f32", "int4"}) {
    first.clear();
    for (const char* threads : {"1", "2", "3"}) {
      const Ended ended =
          deciban_program({"compress", "-m", model(), file, "-o", at("t.dcb"), "--force", "--no-claim",
                           "--streams", "3", "--threads", threads, "--mode", mode});
      ASSERT_EQ(ended.code, 0) << ended.err;
      if (first.empty()) first = read(at("t.dcb"));
      EXPECT_EQ(read(at("t.dcb")), first) << mode << ", threads: " << threads;
    }
    std::filesystem::remove(at("back"));
    const Ended back = deciban_program({"decompress", "-m", model(), at("t.dcb"), "-o", at("back")});
    ASSERT_EQ(back.code, 0) << back.err;
    EXPECT_EQ(read(at("back")), text) << mode;
  }
}

TEST_F(CodingProgram, ConvertsAndVerifies) {
  const std::string out = at("int4.safetensors");
  const Ended ended =
      deciban_program({"convert", model(), out, "--format", "int4", "--verify",
                       (source_dir() / "datasets/demo/texts").string(), "--limit", "2", "--threads", "1"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("rwkv7 with"));
  EXPECT_THAT(ended.out, HasSubstr("KL mean"));
  EXPECT_THAT(ended.out, HasSubstr("other - reference"));
  EXPECT_LT(std::filesystem::file_size(out), std::filesystem::file_size(model()) / 2);
  EXPECT_THAT(deciban_program({"convert", model(), out, "--format", "int4"}).err, HasSubstr("--force"));
  EXPECT_THAT(deciban_program({"convert", model(), at("x"), "--format", "int5"}).err,
              HasSubstr("unknown format 'int5'; known: bf16"));
  EXPECT_THAT(deciban_program({"convert", model(), model(), "--format", "int8", "--force"}).err,
              HasSubstr("is the model itself"));
  EXPECT_THAT(deciban_program({"convert", at("none.pth"), at("x"), "--format", "int8"}).err,
              HasSubstr("no such file"));
  EXPECT_FALSE(std::filesystem::exists(at("x")));
  const Ended half = cut_off(100, {"convert", model(), at("half"), "--format", "bf16"});
  EXPECT_EQ(half.code, 128 + SIGXFSZ) << half.err;
  EXPECT_FALSE(std::filesystem::exists(at("half")));
}

}  // namespace
}  // namespace deciban
