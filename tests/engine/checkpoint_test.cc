#include "engine/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/engine/checkpoint_files.h"
#include "tests/engine/error_of.h"

namespace deciban {
namespace {

using namespace testing_files;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

class OpenCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  std::string refusal(const fs::path& path) {
    return error_of([&] { Checkpoint::open(path); });
  }

  const fs::path folder_ = fs::temp_directory_path() / ("deciban_checkpoint_" + std::to_string(::getpid()));
  const WrittenTensor a_ = f32_tensor("a", {2}, {1, 2}), b_ = f32_tensor("b", {1}, {3});
};

TEST_F(OpenCheckpoint, GoesByContentNotByEnding) {
  EXPECT_EQ(Checkpoint::open(write("1.gguf", torch_file({a_}))).format, "pth");
  EXPECT_EQ(Checkpoint::open(write("2.pth", safetensors_file({a_}))).format, "safetensors");
  EXPECT_EQ(Checkpoint::open(write("3.txt", rwkvcpp_file({a_}))).format, "rwkv.cpp");
  EXPECT_EQ(Checkpoint::open(write("4", gguf_file({}, {a_}))).format, "gguf");
}

TEST_F(OpenCheckpoint, KeepsTheFileMappedWhileATensorLives) {
  StoredTensor tensor;
  {
    const auto path = write("a.pth", torch_file({a_}));
    tensor = Checkpoint::open(path).at("a");
    EXPECT_TRUE(tensor.mapped);
    fs::remove(path);
  }
  EXPECT_EQ(tensor.read_all(), (std::vector<float>{1, 2}));
}

TEST_F(OpenCheckpoint, FindsTensorsByName) {
  const Checkpoint checkpoint = Checkpoint::open(write("a.safetensors", safetensors_file({a_, b_})));
  ASSERT_NE(checkpoint.find("b"), nullptr);
  EXPECT_EQ(checkpoint.find("c"), nullptr);
  EXPECT_THAT(error_of([&] { checkpoint.at("c"); }),
              AllOf(HasSubstr("a.safetensors"), HasSubstr("no tensor 'c'")));
}

TEST_F(OpenCheckpoint, TakesTheConfigBesideTheWeights) {
  EXPECT_EQ(Checkpoint::open(write("model.safetensors", safetensors_file({a_}))).config, "");
  write("config.json", "{\"x\": 1}");
  EXPECT_EQ(Checkpoint::open(folder_ / "model.safetensors").config, "{\"x\": 1}");
  EXPECT_EQ(Checkpoint::open(folder_).config, "{\"x\": 1}");
}

TEST_F(OpenCheckpoint, ReadsDirectories) {
  write("README.md", "text");
  write("model.pth", torch_file({a_}));
  EXPECT_EQ(Checkpoint::open(folder_).format, "pth");
  write("training_args.bin", "whatever");
  write("model.safetensors", safetensors_file({b_}));  // has precedence, as elsewhere
  EXPECT_EQ(Checkpoint::open(folder_).format, "safetensors");
  EXPECT_EQ(Checkpoint::open(folder_).files, std::vector{folder_ / "model.safetensors"});
}

TEST_F(OpenCheckpoint, ListsADirectoryItCannotRead) {
  EXPECT_THAT(refusal(folder_),
              AllOf(HasSubstr(folder_.string()), HasSubstr("no weight file"), HasSubstr("nothing")));
  write("README.md", "text");
  EXPECT_THAT(refusal(folder_), AllOf(HasSubstr("no weight file"), HasSubstr("README.md")));
  write("a.pth", torch_file({a_}));
  write("b.gguf", gguf_file({}, {a_}));
  EXPECT_THAT(refusal(folder_),
              AllOf(HasSubstr("several weight files"), HasSubstr("a.pth"), HasSubstr("b.gguf")));
  for (int i = 0; i < 20; ++i) write("file" + std::to_string(i), "x");
  EXPECT_THAT(refusal(folder_), HasSubstr("and 11 more"));
}

TEST_F(OpenCheckpoint, JoinsShards) {
  write("model-00001-of-00002.safetensors", safetensors_file({a_}));
  write("model-00002-of-00002.safetensors", safetensors_file({b_}));
  EXPECT_THAT(refusal(folder_), HasSubstr("without an index"));
  const auto index = write("model.safetensors.index.json",
                           R"({"metadata":{},"weight_map":{"b":"model-00002-of-00002.safetensors",
                               "a":"model-00001-of-00002.safetensors"}})");
  write("config.json", "{}");
  for (const fs::path& path : {folder_, index}) {
    const Checkpoint checkpoint = Checkpoint::open(path);
    EXPECT_EQ(checkpoint.files.size(), 2u);
    EXPECT_EQ(checkpoint.config, "{}");
    EXPECT_EQ(checkpoint.at("a").read_all(), (std::vector<float>{1, 2}));
    EXPECT_EQ(checkpoint.at("b").read_all(), (std::vector<float>{3}));
  }
}

TEST_F(OpenCheckpoint, RefusesBrokenShards) {
  write("1.safetensors", safetensors_file({a_}));
  write("2.safetensors", safetensors_file({a_, b_}));
  write("3.safetensors", torch_file({b_}));
  const auto index = [&](const std::string& text) {
    return refusal(write("model.safetensors.index.json", text));
  };
  EXPECT_THAT(index("{"), HasSubstr("no weight_map"));
  EXPECT_THAT(index(R"({"weight_map":[]})"), HasSubstr("no weight_map"));
  EXPECT_THAT(index(R"({"weight_map":{}})"), HasSubstr("lists no tensors"));
  EXPECT_THAT(index(R"({"weight_map":{"a":1}})"), HasSubstr("tensor 'a' is not mapped"));
  for (const char* path : {"../1.safetensors", "/etc/passwd", "..", "", "x/y"}) {
    EXPECT_THAT(index(std::string(R"({"weight_map":{"a":")") + path + R"("}})"),
                HasSubstr("not a plain file name"));
  }
  EXPECT_THAT(index(R"({"weight_map":{"a":"4.safetensors"}})"), HasSubstr("4.safetensors: cannot open"));
  EXPECT_THAT(index(R"({"weight_map":{"a":"3.safetensors"}})"), HasSubstr("not a safetensors file"));
  EXPECT_THAT(index(R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})"),
              HasSubstr("'a' is in two shards"));
  EXPECT_THAT(index(R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors"}})"),
              HasSubstr("'b' is missing from"));
}

TEST_F(OpenCheckpoint, SaysWhatAFileIsInstead) {
  EXPECT_THAT(refusal(folder_ / "missing"), HasSubstr("missing: no such file or directory"));
  EXPECT_THAT(refusal(write("empty", "")), HasSubstr("empty: is empty"));
  EXPECT_THAT(refusal(write("text", "Hello, world\n")),
              AllOf(HasSubstr("no known checkpoint format"), HasSubstr("48 65 6c")));
  EXPECT_THAT(refusal(write("x", "x")), HasSubstr("no known checkpoint format"));
  EXPECT_THAT(refusal(write("png", "\x89PNG\r\n\x1a\n and more")), HasSubstr("89 50 4e 47"));
  EXPECT_THAT(refusal(write("lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(refusal(write("pickle", "\x80\x04.")), HasSubstr("bare pickle"));
  EXPECT_THAT(refusal(write("ggjt", "tjgg....")), HasSubstr("before GGUF"));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(refusal(folder_ / "pipe"), HasSubstr("not a regular file"));
}

TEST_F(OpenCheckpoint, EscapesStrangeNames) {
  EXPECT_THAT(refusal(write("a", safetensors_raw(R"({"\u001b[31m\n":1})", ""))),
              AllOf(HasSubstr("'\\x1b[31m\\x0a'"), Not(HasSubstr("\x1b"))));
}

}  // namespace
}  // namespace deciban
