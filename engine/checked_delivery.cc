#include "engine/checked_delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace deciban {

CheckedDelivery::CheckedDelivery(std::string who, const ModelInfo& info, SequenceSource& source,
                                 ScoreSink& sink, bool is_server)
    : who_(std::move(who)),
      vocabulary_(info.vocabulary),
      context_limit_(info.context_limit),
      is_server_(is_server),
      source_(source),
      sink_(sink) {}

std::string CheckedDelivery::objection(const Sequence& sequence) const {
  if (sequence.first < 1 || sequence.first > sequence.tokens.size()) {
    return fmt::format("a sequence of {} tokens cannot be scored from token {} on", sequence.tokens.size(),
                       sequence.first);
  }
  const std::size_t read = sequence.tokens.size() - (is_server_ ? 0 : 1);
  if (context_limit_ && read > *context_limit_) {
    return fmt::format("{} tokens are more than the {} that {} can read at once", read, *context_limit_,
                       who_);
  }
  for (std::size_t i = 0; i < sequence.tokens.size(); ++i) {
    const Token token = sequence.tokens[i];
    if (token < 0 || static_cast<std::size_t>(token) >= vocabulary_) {
      return fmt::format("token {} is {}, but {} has only tokens 0 to {}", i, token, who_, vocabulary_ - 1);
    }
  }
  return {};
}

std::string CheckedDelivery::objection(const Flight& flight, std::span<const TokenScore> scores) const {
  if (!flight.complaint.empty()) return flight.complaint;
  const std::size_t expected = flight.count - flight.first;
  if (scores.size() != expected) {
    return fmt::format("{} gave {} scores for {} tokens", who_, scores.size(), expected);
  }
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const TokenScore& score = scores[i];
    const auto about = [&](const char* what, float value, std::string_view wrong) {
      return fmt::format("{} gave the {} {} for token {}: {}", who_, what, value, flight.first + i, wrong);
    };
    if (std::isnan(score.logprob)) return about("log-probability", score.logprob, "not a number");
    if (score.logprob > kScoreSlack) return about("log-probability", score.logprob, "a probability above 1");
    if (std::isinf(score.best_logprob) || !(score.best_logprob <= kScoreSlack)) {
      return about("log-probability of the best token", score.best_logprob, "not one of a likely token");
    }
    if (score.best_logprob < score.logprob - kScoreSlack) {
      return about("log-probability of the best token", score.best_logprob,
                   fmt::format("less than the token's own {}", score.logprob));
    }
    const bool unknown = is_server_ && score.best == -1;
    if (!unknown && (score.best < 0 || static_cast<std::size_t>(score.best) >= vocabulary_)) {
      return fmt::format("{} gave the best token {} for token {}, but it has only tokens 0 to {}", who_,
                         score.best, flight.first + i, vocabulary_ - 1);
    }
    if (score.best == flight.sequence.tokens[flight.first + i] &&
        std::abs(score.best_logprob - score.logprob) > kScoreSlack) {
      return about("log-probability of the best token", score.best_logprob,
                   fmt::format("but it is this very token, with {}", score.logprob));
    }
  }
  if (sink_.wants_rows() && flight.row != flight.count) {
    return fmt::format("{} gave rows of logits only up to token {} of {}", who_, flight.row, flight.count);
  }
  return {};
}

bool CheckedDelivery::next(Sequence& out, std::size_t& index) {
  const std::lock_guard lock(source_mutex_);
  while (!ended_) {
    Sequence sequence;
    if (!source_.next(sequence)) {
      ended_ = true;
      break;
    }
    index = next_index_++;
    std::string wrong = objection(sequence);
    if (!wrong.empty()) {
      skipped_ = true;
      const std::lock_guard delivering(sink_mutex_);
      sink_.failed(index, wrong);
      continue;
    }
    sequence.shared = skipped_ || index == 0 ? 0 : std::min(sequence.shared, sequence.tokens.size());
    skipped_ = false;
    out = sequence;
    const std::lock_guard delivering(sink_mutex_);
    flights_[index] = {sequence.tokens.size(), sequence.first, sequence.first, sequence, {}};
    return true;
  }
  return false;
}

CheckedDelivery::Flight CheckedDelivery::take(std::size_t index) {
  const auto found = flights_.find(index);
  if (found == flights_.end()) {
    throw std::runtime_error(fmt::format(
        "{} delivered sequence {}, which it was not given or had delivered before; none of its results can "
        "be trusted",
        who_, index));
  }
  Flight flight = std::move(found->second);
  flights_.erase(found);
  return flight;
}

void CheckedDelivery::scored(std::size_t index, std::span<const TokenScore> scores) {
  const std::lock_guard lock(sink_mutex_);
  const Flight flight = take(index);
  const std::string wrong = objection(flight, scores);
  if (wrong.empty()) {
    sink_.scored(index, scores);
  } else {
    sink_.failed(index, wrong);
  }
}

void CheckedDelivery::failed(std::size_t index, std::string_view reason) {
  const std::lock_guard lock(sink_mutex_);
  take(index);
  sink_.failed(index, reason.empty() ? fmt::format("{} failed without a reason", who_) : std::string(reason));
}

void CheckedDelivery::rows(std::size_t index, std::size_t position, const LogitRows& logits) {
  const std::lock_guard lock(sink_mutex_);
  const auto found = flights_.find(index);
  if (found == flights_.end()) {
    throw std::runtime_error(fmt::format(
        "{} gave rows for sequence {}, which it was not given or had delivered before", who_, index));
  }
  Flight& flight = found->second;
  if (!flight.complaint.empty()) return;
  if (logits.columns != vocabulary_) {
    flight.complaint =
        fmt::format("{} gave rows of {} logits, but it has {} tokens", who_, logits.columns, vocabulary_);
  } else if (position != flight.row || logits.rows > flight.count - flight.row) {
    flight.complaint = fmt::format("{} gave {} rows of logits for token {}, where token {} of {} was next",
                                   who_, logits.rows, position, flight.row, flight.count);
  } else {
    flight.row += logits.rows;
    sink_.rows(index, position, logits);
  }
}

void CheckedDelivery::finish() {
  const std::lock_guard asking(source_mutex_);
  const std::lock_guard lock(sink_mutex_);
  std::vector<std::size_t> left;
  for (const auto& [index, flight] : flights_) left.push_back(index);
  std::sort(left.begin(), left.end());
  flights_.clear();
  for (const std::size_t index : left) {
    sink_.failed(index, fmt::format("{} gave no result for this sequence", who_));
  }
  Sequence one_more;
  if (!ended_ && source_.next(one_more)) {
    throw std::runtime_error(fmt::format("{} stopped asking for sequences before the end", who_));
  }
}

}  // namespace deciban
