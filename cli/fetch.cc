#include "cli/fetch.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "cli/suggest.h"
#include "datasets/vocabulary.h"

namespace deciban {
namespace {

constexpr const char* kWorldVocabulary = "vocab:world";

}  // namespace

int fetch(const std::string& source, const std::string& output, const Console& console) {
  const std::vector<std::string> known{kWorldVocabulary};
  if (source != kWorldVocabulary) {
    throw std::invalid_argument(source.empty() ? fmt::format("fetch what? Known is {}", kWorldVocabulary)
                                               : fmt::format("unknown source '{}'{}; known is {}", source,
                                                             did_you_mean(source, known), kWorldVocabulary));
  }
  const std::filesystem::path target =
      output.empty() ? world_vocabulary_target() : std::filesystem::path(output);
  // Mirrors, and the tests' own server.
  const char* mirror = std::getenv("DECIBAN_VOCABULARY_URL");
  const Fetched fetched = fetch_world_vocabulary(mirror && *mirror ? mirror : kWorldVocabularyUrl, target);
  console.note(fmt::format(
      "{} {}", target.string(),
      fetched == Fetched::downloaded ? "is there now, checked by its SHA-256" : "was there already"));
  return kDone;
}

}  // namespace deciban
