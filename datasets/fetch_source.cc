#include "datasets/fetch_source.h"

#include <algorithm>

#include "datasets/sha256.h"

namespace deciban {

std::vector<Dropped> dropped_of(const nlohmann::json& manifest) {
  std::vector<Dropped> result;
  for (const nlohmann::json& one : manifest.value("dropped_documents", nlohmann::json::array()))
    result.push_back({one.value("id", ""), one.value("reason", ""), one.value("detail", "")});
  return result;
}

std::string list_digest(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  Sha256 hash;
  for (const std::string& line : lines) {
    hash.update(line);
    hash.update("\n");
  }
  return hash.hex();
}

}  // namespace deciban
