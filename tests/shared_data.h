// Where tests find data: what the project carries (tests/golden, datasets/demo), and the developers' shared
// folder with third-party texts, which may be absent.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace deciban {

// $DECIBAN_SOURCE_DIR where the tests were built on another machine, else where they were built.
inline std::filesystem::path source_dir() {
  const char* set = std::getenv("DECIBAN_SOURCE_DIR");
  return set ? set : DECIBAN_SOURCE_DIR;
}

// Data of the project's own.
inline std::filesystem::path golden(const std::string& path) { return source_dir() / "tests/golden" / path; }

// The developers' data: $DECIBAN_SHARED, else ../shared beside the project.
inline std::filesystem::path shared(const std::string& path) {
  const char* set = std::getenv("DECIBAN_SHARED");
  return (set ? std::filesystem::path(set) : source_dir().parent_path() / "shared") / path;
}

}  // namespace deciban

// Skips the test, saying so, where the developers' data is absent.
#define DECIBAN_NEEDS_SHARED(path)                       \
  if (!std::filesystem::exists(::deciban::shared(path))) \
  GTEST_SKIP() << "needs " << ::deciban::shared(path) << " (set DECIBAN_SHARED to the shared data)"
