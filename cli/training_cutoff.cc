#include "cli/training_cutoff.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "evals/submission.h"

namespace deciban {

std::optional<Cutoff> training_cutoff(const std::string& spec, const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code none;
  const fs::path path = spec;
  if (fs::exists(path, none)) {
    const fs::path folder = fs::is_directory(path, none) ? path : path.parent_path();
    for (const char* file : {"config.json", "meta.json"}) {
      std::ifstream in(folder / file);
      const auto json = nlohmann::json::parse(in, nullptr, false);
      if (!json.is_object() || !json.contains("training_cutoff")) continue;
      try {
        return Cutoff{parse_cutoff(json["training_cutoff"].get<std::string>()), file};
      } catch (const std::exception& error) {
        throw std::runtime_error(
            fmt::format("{}: `training_cutoff`: {}", (folder / file).string(), error.what()));
      }
    }
  }
  if (auto known = cutoff_of_name(path.filename().string())) return known;
  return cutoff_of_name(name);
}

}  // namespace deciban
