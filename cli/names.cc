#include "cli/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

namespace deciban {
namespace {

constexpr const char* kSayNothing[] = {"model",      "pytorch_model", "consolidated", "weights",
                                       "checkpoint", "rwkv",          "data"};

// "rwkv7.pth" → "rwkv7", but "rwkv7-0.1b" as it is: an ending begins with a letter.
std::string without_ending(const std::string& name) {
  const std::filesystem::path path = name;
  const std::string ending = path.extension();
  const bool is_ending = ending.size() > 1 && std::isalpha(static_cast<unsigned char>(ending[1]));
  return is_ending ? path.stem().string() : name;
}

// The last `count` parts of a path without its ending: "datasets/demo/rwkv7/model.pth" → "rwkv7/model" for 2.
std::string last_parts(const std::filesystem::path& path, std::size_t count) {
  std::vector<std::string> parts;
  const std::filesystem::path whole = path.lexically_normal();
  for (const auto& part : whole) {
    if (!part.empty() && part != "/" && part != ".") parts.push_back(part.string());
  }
  if (parts.empty()) return path.string();
  if (!std::filesystem::is_directory(path)) parts.back() = without_ending(parts.back());
  const std::size_t from = parts.size() > count ? parts.size() - count : 0;
  std::string result = parts[from];
  for (std::size_t i = from + 1; i < parts.size(); ++i) result += "/" + parts[i];
  return result;
}

std::string short_name(const std::string& path) {
  std::string name = last_parts(path, 1);
  const bool says_nothing =
      std::find(std::begin(kSayNothing), std::end(kSayNothing), name) != std::end(kSayNothing);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path().filename();
  return says_nothing && !folder.empty() && folder != "." && folder != ".." ? folder.string() : name;
}

}  // namespace

std::vector<std::string> short_names(std::span<const std::string> paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) names.push_back(short_name(path));
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::vector<std::size_t> same;
    for (std::size_t j = i; j < names.size(); ++j) {
      if (names[j] == names[i]) same.push_back(j);
    }
    if (same.size() == 1) continue;
    constexpr std::size_t kDeepest = 16;
    for (std::size_t parts = 2; parts <= kDeepest; ++parts) {
      std::set<std::string> distinct;
      for (const std::size_t j : same) distinct.insert(names[j] = last_parts(paths[j], parts));
      if (distinct.size() == same.size()) break;
    }
  }
  std::set<std::string> taken;
  for (std::string& name : names) {
    const std::string first = name;
    for (int n = 2; !taken.insert(name).second; ++n) name = fmt::format("{}#{}", first, n);
  }
  return names;
}

}  // namespace deciban
