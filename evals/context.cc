#include "evals/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>
#include <string_view>

namespace deciban {
namespace {

// The first character's start at or after `at`.
std::size_t character_start(std::string_view text, std::size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

}  // namespace

std::string ContextTask::name() const { return fmt::format("context:{}", bytes_); }

std::string ContextTask::version() const { return fmt::format("1:{}:{}", target_, least_); }

std::map<std::string, std::string> ContextTask::aggregations() const {
  return {{"bits_per_byte",
           fmt::format("sum of bits / sum of bytes of the last {} bytes of each document, given the {} bytes "
                       "before them",
                       target_, bytes_)}};
}

std::string ContextTask::exclusion(const Corpus& corpus, std::size_t document) const {
  const std::size_t size = corpus.documents.at(document).text.size();
  return size >= least_ ? "" : fmt::format("it has {} bytes, and {} are needed", size, least_);
}

std::vector<Query> ContextTask::queries(const Corpus& corpus, std::size_t document) const {
  const std::string_view text = corpus.documents.at(document).text;
  const std::size_t target = character_start(text, text.size() - std::min(text.size(), target_));
  const std::size_t context = character_start(text, target - std::min(target, bytes_));
  Query query;
  query.context = text.substr(context, target - context);
  query.continuation = text.substr(target);
  return {std::move(query)};
}

Measures ContextTask::judge(const Corpus&, std::size_t, std::span<const QueryScore> scores) const {
  const QueryScore& score = scores.front();
  return {{"bits_per_byte", {-score.logprob / std::numbers::ln2, static_cast<double>(score.bytes)}}};
}

}  // namespace deciban
