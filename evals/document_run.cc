#include "evals/document_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "evals/compression.h"
#include "evals/request_window.h"
#include "reports/statistics.h"

namespace deciban {
namespace {

// A log-softmax in f32 may come out a little above zero for a certain token; more is an error of the model.
constexpr float kRoundingSlack = 1e-3f;
// A shared beginning of only the start token is not worth a model's attention.
constexpr std::size_t kShortestShared = 2;

void check_tokens(const ModelInfo& model, std::span<const Token> tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && (model.vocabulary == 0 || static_cast<std::size_t>(tokens[i]) < model.vocabulary))
      continue;
    throw std::runtime_error(
        fmt::format("token {} is {}, but {} has only tokens 0 to {}: tokenised for another model?", i,
                    tokens[i], model.name, model.vocabulary - 1));
  }
}

}  // namespace

void set_document(Record& record, const Corpus& corpus, const Document& document) {
  constexpr const char* kFields[] = {"category", "source"};
  record.corpus = corpus.name;
  record.document = document.id;
  record.labels.erase("published");
  if (!document.published.empty()) record.labels["published"] = document.published;
  for (const char* name : kFields) {
    record.labels.erase(name);
    if (!document.fields.is_object()) continue;
    const auto field = document.fields.find(name);
    if (field != document.fields.end() && field->is_string()) record.labels[name] = field->get<std::string>();
  }
}

std::uint32_t TokenBytes::of(Token token) {
  const auto i = static_cast<std::size_t>(token);
  if (i >= known_.size()) known_.resize(i + 1, kUnknown);
  if (known_[i] == kUnknown) known_[i] = static_cast<std::uint32_t>(model_.decode({&token, 1}).size());
  return known_[i];
}

std::size_t shared_tokens(std::span<const Token> a, std::span<const Token> b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

DocumentRun::DocumentRun(const LanguageModel& model, const RunOptions& options, const Task& task,
                         const Corpus& corpus, std::size_t document, Record record)
    : task_(task), corpus_(corpus), document_(document), record_(std::move(record)) {
  const std::optional<Token> start = options.start.resolve(model.info());
  const Document& source = corpus.documents[document];
  const std::vector<Query> queries = task.queries(corpus, document);
  const bool requests = options.windowing.is_request();
  RequestCutter cutter(model, options.windowing, start);
  const std::string_view only_text = queries.size() == 1 ? queries[0].continuation : std::string_view();
  for (const Query& query : queries) {
    QueryScore score;
    if (query.tokens.empty()) {
      queries_.push_back(requests ? cutter.cut(query)
                                  : cut(model, options.windowing, start, query.context, query.continuation));
      score.bytes = query.continuation.size();
    } else {
      check_tokens(model.info(), query.tokens);
      queries_.push_back(cut_tokens(model, options.windowing, start, query.tokens));
      score.bytes = model.decode(query.tokens).size();
    }
    const Windows& windows = queries_.back();
    score.tokens = windows.tokens;
    score.unscored_bytes = windows.unscored_bytes;
    score.lossy_bytes = windows.lossy_bytes;
    scores_.push_back(score);
    sums_.emplace_back(windows.windows.size());
    kept_.emplace_back(options.token_scores ? windows.windows.size() : 0);
    for (std::size_t w = 0; w < windows.windows.size(); ++w) places_.push_back({queries_.size() - 1, w});
  }
  record_.bytes = source.text.empty() && !scores_.empty() ? scores_.front().bytes : source.text.size();
  record_.characters = source.text.empty() ? 0 : characters(source.text);
  if (!only_text.empty()) {  // a task may ask for a part of the text only
    record_.bytes = only_text.size();
    record_.characters = characters(only_text);
  } else if (requests) {  // a row of a data set is no text
    record_.bytes = record_.characters = 0;
    for (const Query& query : queries) {
      record_.bytes += query.continuation.size();
      record_.characters += characters(query.continuation);
    }
  }
}

Sequence DocumentRun::sequence(std::size_t i) const {
  const auto window = [&](std::size_t k) -> const Window& {
    return queries_[places_[k].query].windows[places_[k].window];
  };
  Sequence sequence{window(i).tokens, window(i).first, 0};
  if (i > 0) {
    const std::size_t shared = shared_tokens(window(i - 1).tokens, sequence.tokens);
    sequence.shared = shared < kShortestShared ? 0 : shared;
  }
  return sequence;
}

void DocumentRun::accept(std::size_t i, std::span<const TokenScore> scores) {
  const Place place = places_[i];
  const Window& window = queries_[place.query].windows[place.window];
  const std::size_t expected = window.tokens.size() - window.first;
  if (scores.size() != expected) {
    throw std::runtime_error(fmt::format("the model gave {} scores for {} tokens", scores.size(), expected));
  }
  WindowSum& sum = sums_[place.query][place.window];
  CompensatedSum logprob;
  for (std::size_t k = 0; k < scores.size(); ++k) {
    const float value = scores[k].logprob;
    if (!(value <= kRoundingSlack) || std::isinf(value)) {
      throw std::runtime_error(fmt::format(
          "the model gave the log-probability {} for token {} of sequence {}: {}", value, window.first + k, i,
          std::isnan(value) ? "not a number"
          : value > 0       ? "a probability above 1"
                            : "a probability of 0"));
    }
    logprob.add(value);
    sum.greedy = sum.greedy && scores[k].best == window.tokens[window.first + k];
  }
  sum.logprob = logprob.value();
  if (!kept_[place.query].empty()) kept_[place.query][place.window].assign(scores.begin(), scores.end());
  ++delivered_;
}

Record DocumentRun::finish() {
  CompensatedSum all;
  for (std::size_t q = 0; q < queries_.size(); ++q) {
    QueryScore& score = scores_[q];
    CompensatedSum sum;
    score.greedy = true;
    for (const WindowSum& window : sums_[q]) {
      sum.add(window.logprob);
      score.greedy = score.greedy && window.greedy;
    }
    for (const Window& window : queries_[q].windows)
      score.scored_tokens += window.tokens.size() - window.first;
    score.logprob = sum.value();
    all.add(score.logprob);
    record_.tokens += score.tokens;
    record_.scored_tokens += score.scored_tokens;
    record_.unscored_bytes += score.unscored_bytes;
    record_.lossy_bytes += score.lossy_bytes;
    record_.queries.push_back({score.logprob, score.greedy, score.tokens, score.bytes});
  }
  record_.logprob = all.value();
  record_.measures = task_.judge(corpus_, document_, scores_);
  record_.seconds = seconds;
  return record_;
}

DocumentTokens DocumentRun::tokens(TokenBytes& bytes) const {
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  DocumentTokens result{record_.key, {}};
  for (std::size_t q = 0; q < queries_.size(); ++q) {
    const Windows& windows = queries_[q];
    TokenColumns columns;
    columns.tokens = windows.text_tokens;
    // The windows' scored suffixes, one after the other, are the scored tokens of the text.
    std::size_t window = 0, at = 0;
    for (std::size_t i = 0; i < columns.tokens.size(); ++i) {
      columns.bytes.push_back(bytes.of(columns.tokens[i]));
      TokenScore score{kNone, kNone, -1};
      if (windows.scored[i]) {
        while (at == kept_[q][window].size()) ++window, at = 0;
        score = kept_[q][window][at++];
      }
      columns.logprob.push_back(score.logprob);
      columns.best_logprob.push_back(score.best_logprob);
      columns.best.push_back(score.best);
    }
    result.queries.push_back(std::move(columns));
  }
  return result;
}

}  // namespace deciban
