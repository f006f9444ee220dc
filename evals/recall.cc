#include "evals/recall.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numbers>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string_view>

#include "datasets/sha256.h"
#include "reports/random.h"

namespace deciban {
namespace {

constexpr std::array<std::string_view, 12> kFiller{
    "The road goes on along the river and over the hill. ",
    "In the morning the baker opens the shop and sells bread. ",
    "A boat lies at the shore and waits for the wind. ",
    "The children play in the garden behind the house. ",
    "Snow falls on the mountains in the winter months. ",
    "The train stops at every station on its way north. ",
    "An old clock stands in the corner of the room. ",
    "Farmers bring apples and pears to the market. ",
    "The library is open on all days but Sunday. ",
    "Birds sit on the wires and look at the street. ",
    "After the rain the leaves of the trees shine. ",
    "The lamp on the table gives a warm light. "};

// A name of three syllables, "Tavomi".
std::string new_name(Random& random) {
  constexpr std::string_view kConsonants = "bdfgklmnprstvz", kVowels = "aeiou";
  std::string name;
  for (int i = 0; i < 3; ++i) {
    name += kConsonants[random.below(static_cast<std::uint32_t>(kConsonants.size()))];
    name += kVowels[random.below(static_cast<std::uint32_t>(kVowels.size()))];
  }
  name[0] = static_cast<char>(name[0] - 'a' + 'A');
  return name;
}

std::string new_number(Random& random) { return fmt::format("{}", 10'000 + random.below(90'000)); }

template <typename Make>
std::vector<std::string> distinct(std::size_t count, const Make& make) {
  std::set<std::string> seen;
  std::vector<std::string> all;
  while (all.size() < count) {
    std::string one = make();
    if (seen.insert(one).second) all.push_back(std::move(one));
  }
  return all;
}

Document recall_document(const RecallShape& shape, std::size_t index) {
  Random random(shape.seed * 1'000'003 + index);
  const auto names = distinct(shape.pairs, [&] { return new_name(random); });
  const auto numbers = distinct(std::max(shape.pairs, kRecallChoices), [&] { return new_number(random); });
  const std::size_t asked = random.below(static_cast<std::uint32_t>(shape.pairs));
  const std::string question =
      fmt::format("What is the number of {}? The number of {} is", names[asked], names[asked]);

  std::size_t fixed = question.size();
  std::vector<std::string> told;
  for (std::size_t i = 0; i < shape.pairs; ++i) {
    told.push_back(fmt::format("The number of {} is {}. ", names[i], numbers[i]));
    fixed += told.back().size();
  }
  std::vector<std::string_view> filler;
  for (std::size_t bytes = fixed; bytes < shape.bytes; bytes += filler.back().size())
    filler.push_back(kFiller[random.below(kFiller.size())]);
  // Each pair stands before one of the filler's sentences, or behind the last.
  std::vector<std::size_t> places(shape.pairs);
  for (std::size_t& place : places) place = random.below(static_cast<std::uint32_t>(filler.size() + 1));
  std::sort(places.begin(), places.end());
  std::string context;
  std::size_t next = 0;
  for (std::size_t i = 0; i <= filler.size(); ++i) {
    for (; next < places.size() && places[next] == i; ++next) context += told[next];
    if (i < filler.size()) context += filler[i];
  }
  context += question;

  // The right number first, then others in seeded order.
  std::vector<std::size_t> others(numbers.size());
  std::iota(others.begin(), others.end(), std::size_t{0});
  others.erase(others.begin() + static_cast<std::ptrdiff_t>(asked));
  for (std::size_t i = others.size(); i > 1; --i)
    std::swap(others[i - 1], others[random.below(static_cast<std::uint32_t>(i))]);
  nlohmann::json answers = nlohmann::json::array({" " + numbers[asked]});
  for (std::size_t i = 0; i + 1 < kRecallChoices; ++i) answers.push_back(" " + numbers[others[i]]);

  Document document;
  document.id = fmt::format("{}", index);
  document.text = context + answers[0].get<std::string>();
  document.fields = {{"context", std::move(context)}, {"answers", std::move(answers)}};
  document.digest = Sha256::of(document.fields.dump());
  return document;
}

}  // namespace

Corpus recall_corpus(const RecallShape& shape) {
  if (shape.pairs == 0 || shape.pairs > 4096)
    throw std::invalid_argument(fmt::format("recall of {} pairs: from 1 to 4096 are possible", shape.pairs));
  Corpus corpus;
  corpus.name =
      fmt::format("recall {} {} in {} bytes", shape.pairs, shape.pairs == 1 ? "pair" : "pairs", shape.bytes);
  corpus.path = corpus.name;
  corpus.kind = "synthetic";
  std::string digests;
  for (std::size_t i = 0; i < shape.documents; ++i) {
    corpus.documents.push_back(recall_document(shape, i));
    digests += corpus.documents.back().digest + "\n";
  }
  corpus.digest = Sha256::of(digests);
  return corpus;
}

std::map<std::string, std::string> RecallTask::aggregations() const {
  return {{"bits_per_byte", "sum of bits / sum of bytes of the right answers"},
          {"choice",
           fmt::format("mean over documents: the right answer is the likeliest of {}", kRecallChoices)}};
}

std::vector<Query> RecallTask::queries(const Corpus& corpus, std::size_t document) const {
  const nlohmann::json& fields = corpus.documents.at(document).fields;
  std::vector<Query> queries;
  for (const auto& answer : fields.at("answers")) {
    Query query;
    query.context = fields.at("context").get<std::string>();
    query.continuation = answer.get<std::string>();
    queries.push_back(std::move(query));
  }
  return queries;
}

Measures RecallTask::judge(const Corpus&, std::size_t, std::span<const QueryScore> scores) const {
  const bool chosen = std::all_of(scores.begin() + 1, scores.end(), [&](const QueryScore& other) {
    return scores.front().logprob > other.logprob;
  });
  return {{"bits_per_byte",
           {-scores.front().logprob / std::numbers::ln2, static_cast<double>(scores.front().bytes)}},
          {"choice", {chosen ? 1.0 : 0.0, 1.0}}};
}

}  // namespace deciban
