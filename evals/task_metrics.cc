#include "evals/task_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <stdexcept>
#include <thread>

#include "evals/python_random.h"
#include "evals/python_text.h"
#include "evals/template_task.h"

namespace deciban {
namespace {

constexpr std::string_view kPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

// A character that `\w` of Python's regular expressions takes for part of a word, near enough for the borders
// of English articles: everything that is neither ASCII punctuation (gone by then) nor white space, quotation
// marks or dashes.
bool ends_word(std::string_view text) {
  if (text.empty()) return true;
  if (python::lstrip(text).size() < text.size()) return true;
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return !(std::isalnum(first) || first == '_');
  // General punctuation U+2010 … U+205E, and the Latin-1 signs that are no letters.
  if (text.starts_with("\xe2\x80") || text.starts_with("\xe2\x81")) return true;
  if (first == 0xC2) {
    const auto second = text.size() > 1 ? static_cast<unsigned char>(text[1]) : 0;
    constexpr unsigned char kWordSigns[] = {0xAA, 0xB2, 0xB3, 0xB5, 0xB9, 0xBA, 0xBC, 0xBD, 0xBE};
    return std::find(std::begin(kWordSigns), std::end(kWordSigns), second) == std::end(kWordSigns);
  }
  return false;
}

bool word_ends_at(std::string_view text, std::size_t place) {
  // The border before `place`: the character that ends there.
  if (place == 0) return true;
  std::size_t from = place - 1;
  while (from > 0 && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) --from;
  return ends_word(text.substr(from, place - from));
}

std::string without_articles(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    bool found = false;
    for (const std::string_view article : {"an", "a", "the"}) {
      if (!text.substr(i).starts_with(article) || !word_ends_at(text, i)) continue;
      if (!ends_word(text.substr(i + article.size()))) continue;
      out += ' ';
      i += article.size();
      found = true;
      break;
    }
    if (!found) out += text[i++];
  }
  return out;
}

std::vector<std::string> squad_tokens(std::string_view text) {
  std::string plain = python::lower(text);
  std::erase_if(plain, [](char c) { return kPunctuation.find(c) != std::string_view::npos; });
  return python::split(without_articles(plain), "");
}

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double deviation(std::span<const double> values) {
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - centre) * (value - centre);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

bool is_mean(std::string_view metric) {
  return metric == "acc" || metric == "acc_norm" || metric == "f1" || metric == "em";
}

// Standard deviation of perplexities of resamples: chunks of at most 1000, chunk i drawn by Random(i).
double bootstrap_error(std::span<const double> logprobs, std::size_t resamples) {
  const std::size_t chunk = std::min<std::size_t>(1000, resamples), chunks = resamples / chunk;
  std::vector<double> replicates(chunks * chunk);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < chunks; i = next++) {
      PythonRandom random(i);
      for (std::size_t r = 0; r < chunk; ++r) {
        double sum = 0;
        for (std::size_t k = 0; k < logprobs.size(); ++k) sum += logprobs[random.choice(logprobs.size())];
        replicates[i * chunk + r] = std::exp(-(sum / static_cast<double>(logprobs.size())));
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    const std::size_t most = std::min<std::size_t>(chunks, std::max(1u, std::thread::hardware_concurrency()));
    for (std::size_t t = 1; t < most; ++t) threads.emplace_back(work);
    work();
  }
  return deviation(replicates);
}

}  // namespace

std::size_t first_best(std::span<const double> values) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) return i;
    if (values[i] > values[best]) best = i;
  }
  return best;
}

bool squad_exact(std::string_view prediction, std::string_view gold) {
  return squad_tokens(prediction) == squad_tokens(gold);
}

double squad_f1(std::string_view prediction, std::string_view gold) {
  const std::vector<std::string> said = squad_tokens(prediction), right = squad_tokens(gold);
  if (said.empty() || right.empty()) return said.empty() && right.empty() ? 1 : 0;
  std::map<std::string, std::size_t> left;
  for (const std::string& token : right) ++left[token];
  std::size_t common = 0;
  for (const std::string& token : said) {
    if (const auto found = left.find(token); found != left.end() && found->second > 0) {
      --found->second;
      ++common;
    }
  }
  if (common == 0) return 0;
  const double precision = static_cast<double>(common) / static_cast<double>(said.size());
  const double recall = static_cast<double>(common) / static_cast<double>(right.size());
  return 2 * precision * recall / (precision + recall);
}

Measures judge_question(const TaskRules& rules, const Question& question,
                        std::span<const QueryScore> scores) {
  std::vector<double> raw, by_length;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    raw.push_back(scores[i].logprob);
    const std::string& choice = question.continuations.empty()
                                    ? question.text
                                    : question.continuations[question.continuations.size() > 1 ? i : 0];
    by_length.push_back(scores[i].logprob / static_cast<double>(python::length(choice)));
  }
  if (raw.empty()) throw std::logic_error("a question without scores");
  const auto best = [&](std::vector<double> values) {
    if (!rules.last_wins) return first_best(values);
    std::reverse(values.begin(), values.end());
    return values.size() - 1 - first_best(values);
  };
  Measures result;
  for (const std::string& metric : rules.metrics) {
    Measure& measure = result[metric];
    measure.weight = 1;
    if (metric == "acc") {
      measure.sum = rules.kind == TaskRules::Kind::word ? scores[0].greedy : best(raw) == question.gold;
    } else if (metric == "acc_norm") {
      measure.sum = best(by_length) == question.gold;
    } else if (metric == "f1" || metric == "em") {
      const std::string& said = question.labels.at(best(raw));
      for (const std::string& answer : question.answers) {
        measure.sum = std::max<double>(measure.sum, metric == "f1"              ? squad_f1(said, answer)
                                                    : squad_exact(said, answer) ? 1
                                                                                : 0);
      }
    } else {
      measure.sum = scores[0].logprob;
      if (metric == "word_perplexity")
        measure.weight = static_cast<double>(python::fields_between_space(question.counted));
      if (metric == "byte_perplexity" || metric == "bits_per_byte")
        measure.weight = static_cast<double>(question.counted.size());
    }
  }
  return result;
}

std::string aggregation_of(std::string_view metric) {
  if (is_mean(metric)) return "mean over documents";
  if (metric == "perplexity") return "exp(-mean of ln p)";
  if (metric == "word_perplexity") return "exp(-sum of ln p / sum of words)";
  if (metric == "byte_perplexity") return "exp(-sum of ln p / sum of bytes)";
  return "-sum of ln p / sum of bytes / ln 2";
}

double figure_of(std::string_view metric, std::span<const Measure> documents) {
  double sum = 0, weight = 0;
  for (const Measure& measure : documents) {
    sum += measure.sum;
    weight += measure.weight;
  }
  const double ratio = sum / weight;
  if (is_mean(metric)) return ratio;
  if (metric == "bits_per_byte") return -ratio / std::numbers::ln2;
  return std::exp(-ratio);
}

std::optional<double> standard_error(std::string_view metric, std::span<const Measure> documents,
                                     std::size_t resamples) {
  if (documents.size() < 2 || resamples == 0) return std::nullopt;
  std::vector<double> values;
  for (const Measure& measure : documents) values.push_back(measure.sum);
  if (is_mean(metric)) return deviation(values) / std::sqrt(static_cast<double>(values.size()));
  if (metric == "perplexity") return bootstrap_error(values, resamples);
  return std::nullopt;
}

bool higher_is_better(std::string_view metric) { return is_mean(metric); }

double group_mean(std::span<const GroupPart> parts, bool weighted) {
  double sum = 0, weight = 0;
  for (const GroupPart& part : parts) {
    const double own = weighted ? static_cast<double>(part.documents) : 1;
    sum += part.value * own;
    weight += own;
  }
  return sum / weight;
}

std::optional<double> group_error(std::span<const GroupPart> parts) {
  double pooled = 0;
  std::size_t documents = 0;
  for (const GroupPart& part : parts) {
    if (!part.error || part.documents == 0) return std::nullopt;
    const auto n = static_cast<double>(part.documents);
    pooled += (n - 1) * *part.error * *part.error * n;
    documents += part.documents;
  }
  if (documents <= parts.size()) return std::nullopt;
  return std::sqrt(pooled / static_cast<double>(documents - parts.size()) / static_cast<double>(documents));
}

}  // namespace deciban
