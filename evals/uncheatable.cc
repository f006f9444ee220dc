#include "evals/uncheatable.h"

#include <fmt/format.h>

#include <numbers>
#include <stdexcept>

#include "datasets/sha256.h"

namespace deciban {

UncheatableTask::UncheatableTask(std::size_t least, std::size_t most) : least_(least), most_(most) {
  if (most_ == 0 || least_ > most_) {
    throw std::invalid_argument(fmt::format(
        "characters {}:{}: the least must not exceed the most, which must not be 0", least, most));
  }
}

std::string UncheatableTask::version() const { return fmt::format("1:{}:{}", least_, most_); }

std::string UncheatableTask::exclusion(const Corpus& corpus, std::size_t document) const {
  const Document& source = corpus.documents.at(document);
  if (source.text.empty()) return "tokens without a text have no characters";
  const std::uint64_t there = characters(source.text);
  return there > least_ ? "" : fmt::format("{} characters; more than {} are asked for", there, least_);
}

std::string UncheatableTask::digest(const Corpus& corpus, std::size_t document) const {
  return Sha256::of(first_characters(corpus.documents.at(document).text, most_));
}

std::vector<Query> UncheatableTask::queries(const Corpus& corpus, std::size_t document) const {
  return {{"", std::string(first_characters(corpus.documents.at(document).text, most_)), {}, true}};
}

Measures UncheatableTask::judge(const Corpus& corpus, std::size_t document,
                                std::span<const QueryScore> scores) const {
  Measures measures = CompressionTask::judge(corpus, document, scores);
  const std::string_view text = first_characters(corpus.documents.at(document).text, most_);
  measures["bits_per_character"] = {-scores.front().logprob / std::numbers::ln2,
                                    static_cast<double>(characters(text))};
  return measures;
}

std::string_view first_characters(std::string_view text, std::size_t count) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) continue;
    if (seen++ == count) return text.substr(0, i);
  }
  return text;
}

}  // namespace deciban
