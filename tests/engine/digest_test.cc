#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/checkpoint.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string hex_of(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

class FileDigest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    ::setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("XDG_CACHE_HOME");
    fs::remove_all(folder_);
  }
  // A file that was last changed an hour ago.
  fs::path write(const std::string& name, const std::string& text) {
    const fs::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    fs::last_write_time(path, hour_ago_);
    return path;
  }
  static std::string digest(const fs::path& path) { return file_digest(std::span(&path, 1)); }
  std::size_t remembered() const {
    const fs::path cache = folder_ / "cache/deciban/digests";
    return fs::exists(cache) ? static_cast<std::size_t>(std::distance(fs::directory_iterator(cache), {})) : 0;
  }

  const fs::path folder_ = fs::temp_directory_path() / ("deciban_digest_" + std::to_string(::getpid()));
  const fs::file_time_type hour_ago_ = fs::file_time_type::clock::now() - std::chrono::hours(1);
};

TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(hex_of("abc"), kAbc);
  EXPECT_EQ(hex_of(""), kEmpty);
}

TEST_F(FileDigest, IsThatOfTheBytes) {
  EXPECT_EQ(digest(write("abc", "abc")), kAbc);
  EXPECT_EQ(digest(write("empty", "")), kEmpty);
  const std::string large(3'000'001, 'x');
  EXPECT_EQ(digest(write("large", large)), hex_of(large));
}

TEST_F(FileDigest, OfSeveralFilesCoversNamesAndOrder) {
  const fs::path a = write("a", "abc"), b = write("b", "");
  const std::string expected = hex_of(std::string(kAbc) + "  a\n" + kEmpty + "  b\n");
  EXPECT_EQ(file_digest(std::vector{a, b}), expected);
  EXPECT_NE(file_digest(std::vector{b, a}), expected);
}

TEST_F(FileDigest, IsRememberedUntilTheFileChanges) {
  const fs::path path = write("abc", "abc");
  EXPECT_EQ(digest(path), kAbc);
  EXPECT_EQ(remembered(), 1u);
  // Other bytes behind the same size and time: the remembered digest shows that the file was not read again.
  write("abc", "abd");
  EXPECT_EQ(digest(path), kAbc);
  fs::last_write_time(path, hour_ago_ + std::chrono::nanoseconds(1));
  EXPECT_EQ(digest(path), hex_of("abd"));
  write("abc", "abcd");
  EXPECT_EQ(digest(path), hex_of("abcd"));
  EXPECT_EQ(remembered(), 1u);
}

TEST_F(FileDigest, OfAFileChangedJustNowIsNotRemembered) {
  const fs::path path = write("abc", "abc");
  fs::last_write_time(path, fs::file_time_type::clock::now());
  EXPECT_EQ(digest(path), kAbc);
  EXPECT_EQ(remembered(), 0u);
}

TEST_F(FileDigest, IgnoresADamagedCache) {
  const fs::path path = write("abc", "abc");
  EXPECT_EQ(digest(path), kAbc);
  const fs::path entry = fs::directory_iterator(folder_ / "cache/deciban/digests")->path();
  for (const char* damage : {"", "xyz", "0 0 0 0", "\n\n\n"}) {
    std::ofstream(entry, std::ios::binary) << damage;
    EXPECT_EQ(digest(path), kAbc) << damage;
  }
}

TEST_F(FileDigest, NeedsNoCache) {
  const fs::path path = write("abc", "abc");
  std::ofstream(folder_ / "file") << "in the way";
  ::setenv("XDG_CACHE_HOME", (folder_ / "file").c_str(), 1);
  EXPECT_EQ(digest(path), kAbc);
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  ::unsetenv("HOME");
  EXPECT_EQ(digest(path), kAbc);
}

TEST_F(FileDigest, NamesWhatItCannotRead) {
  try {
    digest(folder_ / "missing");
    FAIL() << "no error";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("missing: cannot open"), std::string::npos) << error.what();
  }
  EXPECT_THROW(digest(folder_), std::runtime_error);
  EXPECT_THROW(file_digest({}), std::invalid_argument);
}

}  // namespace
}  // namespace deciban
