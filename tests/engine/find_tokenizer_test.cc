#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>

#include "engine/tokenizer.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kWorldFile = "rwkv_vocab_v20230424.txt";

// A home of its own, so that the developer's files are not found.
class FindTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("deciban-find-tokenizer-{}", ::getpid());
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "models");
    model_ = folder_ / "models/model.pth";
    set("HOME", folder_ / "home");
    for (const char* name : {"XDG_DATA_HOME", "VIRTUAL_ENV", "CONDA_PREFIX"}) set(name, {});
  }
  void TearDown() override {
    for (const auto& [name, value] : saved_) value ? setenv(name, value->c_str(), 1) : unsetenv(name);
    fs::remove_all(folder_);
  }
  void set(const char* name, const fs::path& value) {
    const char* old = std::getenv(name);
    saved_.try_emplace(name, old ? std::optional<std::string>(old) : std::nullopt);
    value.empty() ? unsetenv(name) : setenv(name, value.c_str(), 1);
  }
  // Full-size World vocabulary of our own: all bytes, then words of no meaning.
  static std::string world_text(std::size_t last_id = 65529) {
    std::string text;
    for (std::size_t id = 1; id <= last_id; ++id) {
      text +=
          id <= 256 ? fmt::format("{} b'\\x{:02x}' 1\n", id, id - 1) : fmt::format("{} 'w{:07}' 8\n", id, id);
    }
    return text;
  }
  static void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  std::string error_of(std::size_t rows, const std::string& spec = "auto") {
    try {
      find_tokenizer(model_, rows, spec);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }
  static fs::path family(const char* name) {
    return golden(std::string("tokenizers/families/") + name + ".json");
  }

  fs::path folder_, model_;
  std::map<const char*, std::optional<std::string>> saved_;
};

TEST_F(FindTokenizerTest, SmallVocabulariesAreBytes) {
  EXPECT_EQ(find_tokenizer(model_, 256, "auto")->name(), "bytes");
  EXPECT_EQ(find_tokenizer(model_, 257, "")->name(), "bytes");
  EXPECT_THAT(error_of(100), HasSubstr("has 100 embedding rows, but the tokenizer 'bytes' has 256 tokens"));
}

TEST_F(FindTokenizerTest, AnExplicitChoiceGoesFirst) {
  write(folder_ / "v.txt", world_text());
  EXPECT_EQ(find_tokenizer(model_, 65536, (folder_ / "v.txt").string())->name(), "world");
  EXPECT_EQ(find_tokenizer(model_, 256, "bytes")->name(), "bytes");
  const auto bpe = find_tokenizer(model_, 768, family("neox"));
  EXPECT_EQ(bpe->name(), "bpe:neox.json");
  EXPECT_THAT(
      error_of(65536, "bytes"),
      HasSubstr("the model has 65536 embedding rows, but the tokenizer 'bytes' has 256 tokens: they do not"));
  EXPECT_THAT(error_of(50277, (folder_ / "v.txt").string()),
              HasSubstr("has 50277 embedding rows, but the tokenizer 'world' has 65530 tokens"));
  EXPECT_THAT(error_of(65536, "no/such/file"), HasSubstr("no/such/file: there is no such tokenizer file"));
}

TEST_F(FindTokenizerTest, FilesBesideTheModel) {
  fs::copy_file(family("gpt2"), folder_ / "models/tokenizer.json");
  EXPECT_EQ(find_tokenizer(model_, 704, "auto")->name(), "bpe:tokenizer.json");
  EXPECT_EQ(find_tokenizer(folder_ / "models", 704, "auto")->name(),
            "bpe:tokenizer.json");  // a folder as model
  // One that does not fit is passed over, and named if nothing else is there.
  EXPECT_THAT(error_of(65536), HasSubstr("tokenizer.json has 700 tokens, which does not fit"));
  write(folder_ / "models" / kWorldFile, world_text());
  EXPECT_EQ(find_tokenizer(model_, 65536, "auto")->name(), "world");
  EXPECT_EQ(find_tokenizer(model_, 65530, "auto")->name(), "world");
}

TEST_F(FindTokenizerTest, TheWorldVocabularyInTheUsersData) {
  write(folder_ / "home/.local/share/deciban" / kWorldFile, world_text());
  EXPECT_EQ(find_tokenizer(model_, 65536, "auto")->name(), "world");
  set("XDG_DATA_HOME", folder_ / "data");
  EXPECT_THAT(error_of(65536), HasSubstr((folder_ / "data/deciban").string()));
  write(folder_ / "data/deciban" / kWorldFile, world_text());
  EXPECT_EQ(find_tokenizer(model_, 65536, "auto")->name(), "world");
}

TEST_F(FindTokenizerTest, TheWorldVocabularyInPythonPackages) {
  for (const char* place : {"home/.local/lib/python3.11/site-packages",
                            "home/.pyenv/versions/3.12.1/lib/python3.12/site-packages",
                            "venv/lib/python3.9/site-packages", "conda/lib/python3.13/site-packages"}) {
    set("VIRTUAL_ENV", folder_ / "venv");
    set("CONDA_PREFIX", folder_ / "conda");
    EXPECT_THROW(find_tokenizer(model_, 65536, "auto"), std::runtime_error) << place;
    write(folder_ / place / "rwkv" / kWorldFile, world_text());
    EXPECT_EQ(find_tokenizer(model_, 65536, "auto")->name(), "world") << place;
    fs::remove_all(folder_ / place);
  }
}

TEST_F(FindTokenizerTest, TheVocabularyInsideAGguf) {
  std::vector<std::string> tokens{"<s>"};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(fmt::format("\\x{:02x}", byte));
  for (int id = 257; id < 65530; ++id) tokens.push_back(fmt::format("w{:07}", id));
  for (int id = 65530; id < 65536; ++id) tokens.push_back(fmt::format("[PAD{}]", id));
  const auto found = find_tokenizer(model_, 65536, "auto", tokens);
  EXPECT_EQ(found->name(), "world");
  EXPECT_EQ(found->size(), 65530u);
  EXPECT_EQ(found->encode("w0000300"), std::vector<Token>{300});
}

TEST_F(FindTokenizerTest, SaysHowToGetOne) {
  EXPECT_THAT(error_of(65536),
              testing::AllOf(HasSubstr("no tokenizer was found for its 65536 embedding rows"),
                             HasSubstr(kWorldFile), HasSubstr("`deciban fetch`"),
                             HasSubstr((folder_ / "models").string()), HasSubstr("--tokenizer FILE")));
  for (const std::size_t rows : {50277, 50304}) EXPECT_THAT(error_of(rows), HasSubstr("20B_tokenizer.json"));
  EXPECT_THAT(error_of(32000), HasSubstr("put its tokenizer.json into"));
}

TEST_F(FindTokenizerTest, ABrokenFileIsAnErrorNotPassedOver) {
  write(folder_ / "models/tokenizer.json", "{");
  EXPECT_THAT(error_of(65536), HasSubstr("tokenizer.json: not valid JSON"));
}

TEST_F(FindTokenizerTest, OpenDecidesByTheEnding) {
  EXPECT_EQ(open_tokenizer("bytes")->name(), "bytes");
  EXPECT_EQ(open_tokenizer(family("gpt2"))->name(), "bpe:gpt2.json");
  write(folder_ / "v.txt", world_text(300));
  EXPECT_EQ(open_tokenizer(folder_ / "v.txt")->name(), "world");
}

}  // namespace
}  // namespace deciban
