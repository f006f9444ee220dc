#include "bench/gate_divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace deciban {
namespace {

// log Σ exp of a row.
double log_total(std::span<const float> row) {
  const double top = *std::max_element(row.begin(), row.end());
  double total = 0;
  for (const float v : row) total += std::exp(v - top);
  return top + std::log(total);
}

// Where the two scorings meet: the reference lays a tile down and waits until the other has passed it.
class Meeting {
 public:
  // The reference's tile; returns when all of its rows were read, or throws if the other will not read them.
  void offer(std::size_t position, const LogitRows& tile) {
    std::unique_lock lock(mutex_);
    tile_ = tile;
    position_ = position;
    changed_.notify_all();
    changed_.wait(lock, [&] { return tile_.rows == 0 || ended_; });
    if (tile_.rows != 0) throw std::runtime_error("the other model's scoring ended before the reference's");
  }
  // The reference's row for `position`; valid until passed() or the next call.  Throws if there will be none.
  std::span<const float> row(std::size_t position) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tile_.rows > 0 || ended_; });
    if (tile_.rows == 0) throw std::runtime_error("the reference's scoring ended before the other model's");
    if (position < position_ || position >= position_ + tile_.rows)
      throw std::runtime_error(fmt::format("a row for token {}, where the reference has {} … {}", position,
                                           position_, position_ + tile_.rows - 1));
    return tile_.row(position - position_);
  }
  // The other model has used the row.
  void passed(std::size_t position) {
    const std::lock_guard lock(mutex_);
    if (position + 1 < position_ + tile_.rows) return;
    tile_ = {};
    changed_.notify_all();
  }
  // One side is done or has failed: nobody waits for it any more.
  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  LogitRows tile_;
  std::size_t position_ = 0;
  bool ended_ = false;
};

// One sequence in, its rows handed on.
class OneSequence final : public SequenceSource, public ScoreSink {
 public:
  OneSequence(const Sequence& sequence, std::function<void(std::size_t position, const LogitRows&)> take)
      : sequence_(sequence), take_(std::move(take)) {}
  bool next(Sequence& out) override {
    if (given_) return false;
    given_ = true;
    out = sequence_;
    return true;
  }
  void scored(std::size_t, std::span<const TokenScore> scores) override {
    for (const TokenScore& s : scores) nats -= s.logprob;
  }
  void failed(std::size_t, const std::string& reason) override { throw std::runtime_error(reason); }
  bool wants_rows() const override { return true; }
  void rows(std::size_t, std::size_t position, const LogitRows& tile) override { take_(position, tile); }

  double nats = 0;

 private:
  const Sequence sequence_;
  std::function<void(std::size_t, const LogitRows&)> take_;
  bool given_ = false;
};

void add_row(Divergence& result, std::span<const float> p, std::span<const float> q) {
  if (p.size() != q.size())
    throw std::invalid_argument(
        fmt::format("the vocabularies have {} and {} tokens: KL needs the same", p.size(), q.size()));
  const auto best_p = std::max_element(p.begin(), p.end()) - p.begin(),
             best_q = std::max_element(q.begin(), q.end()) - q.begin();
  result.agreements += best_p == best_q;
  result.largest_regret = std::max(result.largest_regret, static_cast<double>(p[best_p]) - p[best_q]);
  result.kl.push_back(static_cast<float>(divergence_of(p, q)));
}

}  // namespace

double divergence_of(std::span<const float> reference, std::span<const float> other) {
  const double a = log_total(reference), b = log_total(other);
  double kl = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double log_p = reference[i] - a;
    if (std::isinf(reference[i]) && reference[i] < 0) continue;  // 0 log 0
    kl += std::exp(log_p) * (log_p - (other[i] - b));
  }
  return kl < 0 ? 0 : kl;  // rounding alone makes it negative; NaN stays
}

Divergence compare_rows(LanguageModel& reference, LanguageModel& other, const Sequence& sequence) {
  if (reference.info().vocabulary != other.info().vocabulary)
    throw std::invalid_argument(fmt::format("the vocabularies have {} and {} tokens: KL needs the same",
                                            reference.info().vocabulary, other.info().vocabulary));
  Divergence result;
  Meeting meeting;
  OneSequence first(sequence,
                    [&](std::size_t position, const LogitRows& tile) { meeting.offer(position, tile); });
  OneSequence second(sequence, [&](std::size_t position, const LogitRows& tile) {
    for (std::size_t i = 0; i < tile.rows; ++i) {
      add_row(result, meeting.row(position + i), tile.row(i));
      meeting.passed(position + i);
    }
  });
  // What ended first is the cause; the other side's complaint follows from it.
  std::mutex mutex;
  std::exception_ptr cause;
  const auto score = [&](LanguageModel& model, OneSequence& one) {
    try {
      model.score(one, one);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!cause) cause = std::current_exception();
    }
    meeting.end();
  };
  {
    std::jthread thread([&] { score(reference, first); });
    score(other, second);
  }
  if (cause) std::rethrow_exception(cause);
  if (const std::size_t wanted = sequence.tokens.size() - sequence.first; result.kl.size() != wanted)
    throw std::runtime_error(fmt::format("{} rows of logits for {} tokens", result.kl.size(), wanted));
  result.reference_nats = first.nats;
  result.other_nats = second.nats;
  return result;
}

}  // namespace deciban
