#include "evals/abstract_conclusion.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numbers>
#include <stdexcept>

#include "datasets/sha256.h"
#include "evals/derangements.h"
#include "reports/statistics.h"

namespace deciban {
namespace {

// Conclusions shorter than this are headings or remnants.
constexpr std::size_t kLeastConclusion = 200;
constexpr std::size_t kLeastAbstract = 100;

std::string field(const Document& document, const char* name) {
  if (!document.fields.is_object()) return "";
  const auto found = document.fields.find(name);
  return found != document.fields.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string category_of(const Document& document) {
  std::string category = field(document, "primary_category");
  if (category.empty() && document.fields.is_object()) {
    const auto list = document.fields.find("categories");
    if (list != document.fields.end() && list->is_array() && !list->empty() && list->front().is_string())
      category = list->front().get<std::string>();
  }
  if (category.empty()) category = field(document, "categories");
  if (category.empty()) category = field(document, "category");
  return category.substr(0, category.find(' '));
}

bool usable(const Document& document) {
  return document.error.empty() && field(document, "abstract").size() >= kLeastAbstract &&
         field(document, "conclusion").size() >= kLeastConclusion;
}

double bits(const QueryScore& score) { return -score.logprob / std::numbers::ln2; }

}  // namespace

std::string conclusion_context(std::string_view abstract) {
  return abstract.empty() ? "Conclusion\n\n" : fmt::format("Abstract\n\n{}\n\nConclusion\n\n", abstract);
}

std::string AbstractConclusionTask::version() const { return fmt::format("1:{}", derangements_); }

std::map<std::string, std::string> AbstractConclusionTask::aggregations() const {
  const std::string per_byte = "sum of bits / sum of the conclusions' bytes";
  return {{"bits_given_own", per_byte + ", after \"Abstract\\n\\n{its abstract}\\n\\nConclusion\\n\\n\""},
          {"bits_given_other",
           fmt::format("{}, after the same with another paper's abstract: mean over {} seeded derangements "
                       "within the category and matched in length",
                       per_byte, derangements_)},
          {"bits_given_nothing", per_byte + ", after \"Conclusion\\n\\n\""},
          {"bits_told_by_abstract", "bits_given_other - bits_given_own: sum of bits / sum of bytes"},
          {"control_level",
           "mean over documents: controls of the same category 0, archive 1, group of archives 2, any 3"}};
}

void AbstractConclusionTask::prepare(const Corpus& all, std::uint64_t seed) {
  std::vector<std::size_t> papers;
  std::vector<DerangedItem> items;
  for (std::size_t i = 0; i < all.documents.size(); ++i) {
    if (!usable(all.documents[i])) continue;
    papers.push_back(i);
    items.push_back({category_of(all.documents[i]), field(all.documents[i], "abstract").size()});
  }
  auto& prepared = prepared_[all.digest];
  prepared.clear();
  if (items.size() < 2) {
    throw std::invalid_argument(fmt::format(
        "corpus {}: task abstract-conclusion needs at least two papers with `abstract` and "
        "`conclusion` (of {} and {} bytes or more); there {} {}",
        all.name, kLeastAbstract, kLeastConclusion, items.size() == 1 ? "is" : "are", items.size()));
  }
  const Derangements drawn = derange(items, derangements_, seed);
  for (std::size_t i = 0; i < papers.size(); ++i) {
    std::map<std::size_t, std::size_t> times;
    for (const std::size_t other : drawn.others[i]) ++times[papers[other]];
    Controls& controls = prepared[papers[i]];
    controls.level = static_cast<int>(drawn.level[i]);
    for (const auto& [document, count] : times) controls.others.push_back({document, count});
  }
}

const AbstractConclusionTask::Controls& AbstractConclusionTask::controls(const Corpus& corpus,
                                                                         std::size_t document) const {
  const auto prepared = prepared_.find(corpus.digest);
  if (prepared == prepared_.end())
    throw std::logic_error(fmt::format("corpus {} was not prepared", corpus.name));
  return prepared->second.at(document);
}

std::string AbstractConclusionTask::exclusion(const Corpus& corpus, std::size_t document) const {
  const Document& paper = corpus.documents.at(document);
  if (field(paper, "conclusion").size() < kLeastConclusion) return "no conclusion";
  if (field(paper, "abstract").size() < kLeastAbstract) return "no abstract";
  return "";
}

std::string AbstractConclusionTask::digest(const Corpus& corpus, std::size_t document) const {
  Sha256 sha;
  const auto add = [&](const std::string& text) { sha.update(fmt::format("{}:{}", text.size(), text)); };
  add(field(corpus.documents[document], "abstract"));
  add(field(corpus.documents[document], "conclusion"));
  const Controls& drawn = controls(corpus, document);
  add(std::to_string(drawn.level));
  for (const Control& control : drawn.others) {
    add(field(corpus.documents[control.document], "abstract"));
    add(std::to_string(control.times));
  }
  return sha.hex();
}

std::vector<Query> AbstractConclusionTask::queries(const Corpus& corpus, std::size_t document) const {
  const std::string conclusion = field(corpus.documents.at(document), "conclusion");
  std::vector<Query> queries;
  const auto ask = [&](std::string_view abstract) {
    queries.push_back({conclusion_context(abstract), conclusion, {}});
  };
  ask(field(corpus.documents[document], "abstract"));
  ask("");
  for (const Control& control : controls(corpus, document).others)
    ask(field(corpus.documents[control.document], "abstract"));
  return queries;
}

Measures AbstractConclusionTask::judge(const Corpus& corpus, std::size_t document,
                                       std::span<const QueryScore> scores) const {
  const Controls& drawn = controls(corpus, document);
  if (scores.size() != drawn.others.size() + 2)
    throw std::logic_error(fmt::format("{} scores for {} queries", scores.size(), drawn.others.size() + 2));
  CompensatedSum others;
  std::size_t times = 0;
  for (std::size_t i = 0; i < drawn.others.size(); ++i) {
    others.add(bits(scores[i + 2]) * static_cast<double>(drawn.others[i].times));
    times += drawn.others[i].times;
  }
  const double other = others.value() / static_cast<double>(times);
  const double own = bits(scores[0]);
  const auto bytes = static_cast<double>(scores[0].bytes);
  return {{"bits_given_own", {own, bytes}},
          {"bits_given_other", {other, bytes}},
          {"bits_given_nothing", {bits(scores[1]), bytes}},
          {"bits_told_by_abstract", {other - own, bytes}},
          {"control_level", {static_cast<double>(drawn.level), 1}}};
}

}  // namespace deciban
