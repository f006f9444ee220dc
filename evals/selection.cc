#include "evals/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace deciban {
namespace {

constexpr std::size_t kBytesPerToken = 4;

template <typename Number>
bool parse_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

Limit Limit::parse(std::string_view word) {
  Limit limit;
  if (word == "all") return limit;
  if (!word.empty() && word.back() == '%') {
    double percent = 0;
    if (parse_number(word.substr(0, word.size() - 1), percent) && percent > 0 && percent <= 100) {
      limit.percent = percent;
      return limit;
    }
  } else {
    std::size_t documents = 0;
    if (parse_number(word, documents) && documents > 0) {
      limit.documents = documents;
      return limit;
    }
  }
  throw std::invalid_argument(
      fmt::format("limit '{}': must be a number of documents (20), a share (10%) or 'all'", word));
}

std::string Limit::name() const {
  if (documents) return fmt::format("{}", *documents);
  if (percent) return fmt::format("{}%", *percent);
  return "all";
}

std::size_t Limit::of(std::size_t documents_there) const {
  if (documents) return std::min(*documents, documents_there);
  if (percent) {
    const double share = std::ceil(static_cast<double>(documents_there) * *percent / 100);
    return std::min(static_cast<std::size_t>(share), documents_there);
  }
  return documents_there;
}

Shard Shard::parse(std::string_view word) {
  const std::size_t slash = word.find('/');
  Shard shard;
  std::size_t number = 0;
  if (slash == std::string_view::npos || !parse_number(word.substr(0, slash), number) ||
      !parse_number(word.substr(slash + 1), shard.count) || number < 1 || number > shard.count) {
    throw std::invalid_argument(fmt::format(
        "shard '{}': must be I/N with 1 <= I <= N, for example 2/8 for the second of eight", word));
  }
  shard.index = number - 1;
  return shard;
}

std::string Shard::name() const { return fmt::format("{}/{}", index + 1, count); }

std::string Shard::file_suffix() const { return count == 1 ? "" : fmt::format("{}-of-{}", index + 1, count); }

std::size_t size_of(const Document& document) {
  return document.text.empty() ? document.tokens.size() * kBytesPerToken : document.text.size();
}

std::vector<Selected> select(std::span<const Corpus* const> corpora, const Limit& limit, const Shard& shard) {
  std::vector<Selected> all;
  for (std::size_t c = 0; c < corpora.size(); ++c) {
    const std::size_t n = limit.of(corpora[c]->documents.size());
    for (std::size_t d = 0; d < n; ++d) all.push_back({c, d});
  }
  if (shard.count == 1) return all;
  const auto size = [&](std::size_t i) {
    return size_of(corpora[all[i].corpus]->documents[all[i].document]);
  };
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return size(a) > size(b); });
  // Empty documents count one byte, so that they too are spread.
  std::vector<std::size_t> load(shard.count, 0);
  std::vector<std::size_t> mine;
  for (const std::size_t i : order) {
    const std::size_t lightest =
        static_cast<std::size_t>(std::min_element(load.begin(), load.end()) - load.begin());
    load[lightest] += std::max<std::size_t>(size(i), 1);
    if (lightest == shard.index) mine.push_back(i);
  }
  std::sort(mine.begin(), mine.end());
  std::vector<Selected> result;
  for (const std::size_t i : mine) result.push_back(all[i]);
  return result;
}

}  // namespace deciban
