#include "datasets/fetch_source.h"

#include <algorithm>

#include "datasets/sha256.h"

namespace deciban {

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
