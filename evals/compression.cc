#include "evals/compression.h"

#include <algorithm>
#include <numbers>
#include <stdexcept>

namespace deciban {

std::map<std::string, std::string> CompressionTask::aggregations() const {
  return {{"bits_per_byte", "sum of bits / sum of raw bytes"},
          {"bits_per_character", "sum of bits / sum of characters"},
          {"nats_per_token", "sum of nats / sum of scored tokens"},
          {"bits_per_byte_charged", "(sum of bits + 8 for each unscored byte) / sum of raw bytes"}};
}

std::vector<Query> CompressionTask::queries(const Corpus& corpus, std::size_t document) const {
  const Document& text = corpus.documents.at(document);
  Query query;
  if (text.text.empty()) {
    query.tokens.assign(text.tokens.begin(), text.tokens.end());
  } else {
    query.continuation = text.text;
  }
  if (query.continuation.empty() && query.tokens.empty()) {
    throw std::runtime_error("the document is empty: there is nothing to score");
  }
  query.whole_text = true;
  return {std::move(query)};
}

Measures CompressionTask::judge(const Corpus& corpus, std::size_t document,
                                std::span<const QueryScore> scores) const {
  const QueryScore& score = scores.front();
  const Document& source = corpus.documents.at(document);
  const double nats = -score.logprob;
  const double bits = nats / std::numbers::ln2;
  const double bytes = static_cast<double>(score.bytes);
  Measures measures{
      {"bits_per_byte", {bits, bytes}},
      {"nats_per_token", {nats, static_cast<double>(score.scored_tokens)}},
      {"bits_per_byte_charged", {bits + 8.0 * static_cast<double>(score.unscored_bytes), bytes}}};
  if (!source.text.empty()) {
    measures["bits_per_character"] = {bits, static_cast<double>(characters(source.text))};
  }
  return measures;
}

std::uint64_t characters(std::string_view text) {
  return static_cast<std::uint64_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace deciban
