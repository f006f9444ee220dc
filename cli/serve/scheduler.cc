#include "cli/serve/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace deciban {
namespace {

constexpr std::size_t kSliceSteps = 32;  // of continuing, before those who wait for scores get their turn

// log-probability = logit − this.
double normaliser(std::span<const float> logits) {
  const double best = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float value : logits) total += std::exp(value - best);
  return best + std::log(total);
}

std::vector<Alternative> most_probable(std::span<const float> logits, std::size_t count) {
  std::vector<Token> ids(logits.size());
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<Token>(i);
  count = std::min(count, ids.size());
  const auto logit = [&](Token id) { return logits[static_cast<std::size_t>(id)]; };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(),
                    [&](Token a, Token b) { return logit(a) != logit(b) ? logit(a) > logit(b) : a < b; });
  const double norm = normaliser(logits);
  std::vector<Alternative> top;
  for (std::size_t i = 0; i < count; ++i) top.push_back({ids[i], static_cast<float>(logit(ids[i]) - norm)});
  return top;
}

// One token has one log-probability, wherever it stands.
void agree(PlaceScore& place, Token token) {
  for (Alternative& entry : place.top) {
    if (entry.token == token) entry.logprob = place.score.logprob;
    if (entry.token == place.score.best) entry.logprob = place.score.best_logprob;
  }
}

}  // namespace

struct Scheduler::Job {
  std::vector<Prompt> prompts;
  std::vector<Completion> completions;
  std::size_t left = 0;
};

// One call of score(): gives the model whatever waits, also what comes while it computes.
class Scheduler::Exchange final : public SequenceSource, public ScoreSink {
 public:
  Exchange(Scheduler& scheduler, std::deque<Task>& queue, bool rows)
      : scheduler_(scheduler), queue_(queue), rows_(rows) {}

  bool next(Sequence& out) override {
    const std::lock_guard lock(scheduler_.mutex_);
    if (queue_.empty()) return false;
    Flight flight{queue_.front(), {}, {}};
    queue_.pop_front();
    const Prompt& prompt = flight.task.job->prompts[flight.task.index];
    flight.tokens = prompt.tokens;
    // The most probable token after the prompt is the best one at one more place, whatever stands there.
    if (prompt.continuation > 0) flight.tokens.push_back(0);
    const std::size_t index = next_++;
    const Flight& kept = flights_[index] = std::move(flight);
    const std::vector<Token>& before = last_;
    const auto differ = std::mismatch(before.begin(), before.end(), kept.tokens.begin(), kept.tokens.end());
    const auto shared = static_cast<std::size_t>(differ.first - before.begin());
    out = {kept.tokens, prompt.score ? 1 : prompt.tokens.size(), shared < 2 ? 0 : shared};
    last_ = kept.tokens;
    return true;
  }

  void scored(std::size_t index, std::span<const TokenScore> scores) override {
    Flight flight = take(index);
    const Prompt& prompt = flight.task.job->prompts[flight.task.index];
    Completion& completion = flight.task.job->completions[flight.task.index];
    flight.top.resize(scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      completion.scores.push_back({scores[i], std::move(flight.top[i])});
    }
    if (prompt.continuation > 0) {
      TokenScore& last = completion.scores.back().score;
      last.logprob = last.best_logprob;
      completion.added.push_back(last.best);
      flight.tokens.back() = last.best;
      completion.stopped = last.best == scheduler_.model_.info().start_token ||
                           (prompt.enough && prompt.enough(completion.added));
    }
    const std::size_t first = flight.tokens.size() - scores.size();
    for (std::size_t i = 0; i < scores.size(); ++i) {
      PlaceScore& place = completion.scores[i];
      if (prompt.top == 1) place.top = {{place.score.best, place.score.best_logprob}};
      agree(place, flight.tokens[first + i]);
    }
    scheduler_.finish(flight.task);
  }

  void failed(std::size_t index, const std::string& reason) override {
    const Flight flight = take(index);
    flight.task.job->completions[flight.task.index].error = reason;
    scheduler_.finish(flight.task);
  }

  bool wants_rows() const override { return rows_; }
  void rows(std::size_t index, std::size_t /*position*/, const LogitRows& logits) override {
    std::unique_lock lock(scheduler_.mutex_);
    Flight& flight = flights_.at(index);
    lock.unlock();
    const std::size_t top = flight.task.job->prompts[flight.task.index].top;
    for (std::size_t r = 0; r < logits.rows; ++r) {
      flight.top.push_back(most_probable(logits.row(r), top));
    }
  }

  // What was given out and not delivered, because the model was lost.
  void fail_rest(const std::string& reason) {
    while (!flights_.empty()) failed(flights_.begin()->first, reason);
  }

 private:
  struct Flight {
    Task task;
    std::vector<Token> tokens;
    std::vector<std::vector<Alternative>> top;  // of each scored place
  };
  Flight take(std::size_t index) {
    const std::lock_guard lock(scheduler_.mutex_);
    auto node = flights_.extract(index);
    if (node.empty()) throw std::logic_error(fmt::format("sequence {} was delivered twice", index));
    return std::move(node.mapped());
  }

  Scheduler& scheduler_;
  std::deque<Task>& queue_;
  const bool rows_;
  std::size_t next_ = 0;
  std::vector<Token> last_;
  std::unordered_map<std::size_t, Flight> flights_;
};

// Texts that are continued: each has a lane of one batch, and a free lane takes the next text.
class Scheduler::Lanes {
 public:
  Lanes(Scheduler& scheduler, std::unique_ptr<Batch> batch, std::size_t n)
      : scheduler_(scheduler), batch_(std::move(batch)), lanes_(n) {}

  bool busy() const {
    return std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.task.job; });
  }

  void step() {
    take_waiting();
    if (!busy()) return;
    std::vector<Token> tokens;
    for (const Lane& lane : lanes_) tokens.push_back(lane.task.job ? lane.token_at(lane.read) : 0);
    const LogitRows logits = batch_->step(tokens);
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      if (lanes_[i].task.job) advance(lanes_[i], logits.row(i));
    }
  }

  void fail_all(const std::string& reason) {
    for (Lane& lane : lanes_) {
      if (lane.task.job) fail(lane, reason);
    }
  }

 private:
  struct Lane {
    Task task;
    std::size_t read = 0;  // tokens already fed
    const Prompt& prompt() const { return task.job->prompts[task.index]; }
    Completion& completion() const { return task.job->completions[task.index]; }
    Token token_at(std::size_t i) const {
      const std::vector<Token>& own = prompt().tokens;
      return i < own.size() ? own[i] : completion().added[i - own.size()];
    }
  };

  void take_waiting() {
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      if (lanes_[i].task.job) continue;
      {
        const std::lock_guard lock(scheduler_.mutex_);
        if (scheduler_.to_continue_.empty()) return;
        lanes_[i] = {scheduler_.to_continue_.front(), 0};
        scheduler_.to_continue_.pop_front();
      }
      batch_->reset(i);
    }
  }

  // The logits after lane.token_at(lane.read).
  void advance(Lane& lane, std::span<const float> logits) {
    const Prompt& prompt = lane.prompt();
    Completion& completion = lane.completion();
    ++lane.read;
    const bool in_prompt = lane.read < prompt.tokens.size();
    if (in_prompt && !prompt.score) return;
    PlaceScore place;
    place.score = best_of(logits);
    if (!std::isfinite(place.score.best_logprob))
      return fail(lane, "the model gave logits that are no numbers");
    const Token token = in_prompt ? lane.token_at(lane.read) : place.score.best;
    if (token != place.score.best) {
      place.score.logprob = static_cast<float>(logits[static_cast<std::size_t>(token)] - normaliser(logits));
    }
    if (prompt.top > 0) place.top = most_probable(logits, prompt.top);
    agree(place, token);
    completion.scores.push_back(std::move(place));
    if (in_prompt) return;
    completion.added.push_back(token);
    const ModelInfo& info = scheduler_.model_.info();
    completion.stopped = token == info.start_token || (prompt.enough && prompt.enough(completion.added));
    const bool full = info.context_limit && lane.read + 1 >= *info.context_limit;
    if (completion.stopped || full || completion.added.size() == prompt.continuation) {
      const Task task = std::exchange(lane.task, {});
      scheduler_.finish(task);
    }
  }

  void fail(Lane& lane, const std::string& reason) {
    lane.completion().error = reason;
    scheduler_.finish(std::exchange(lane.task, {}));
  }

  Scheduler& scheduler_;
  std::unique_ptr<Batch> batch_;
  std::vector<Lane> lanes_;
};

Scheduler::Scheduler(LanguageModel& model, std::size_t most_waiting, std::size_t lanes)
    : model_(model), most_waiting_(most_waiting), most_lanes_(lanes), worker_([this] { work(); }) {}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  came_.notify_all();
  worker_.join();
}

std::vector<Completion> Scheduler::complete(std::vector<Prompt> prompts) {
  if (prompts.empty()) return {};
  Job job;
  job.prompts = std::move(prompts);
  job.completions.resize(job.prompts.size());
  job.left = job.prompts.size();
  std::unique_lock lock(mutex_);
  if (waiting_ >= most_waiting_) throw Busy(fmt::format("{} requests are waiting already", most_waiting_));
  ++waiting_;
  for (std::size_t i = 0; i < job.prompts.size(); ++i) {
    const Prompt& prompt = job.prompts[i];
    if (prompt.continuation == 0 && (prompt.tokens.size() < 2 || !prompt.score)) {
      --job.left;  // there is nothing to ask
      continue;
    }
    auto& queue = prompt.continuation > 1 ? to_continue_ : prompt.top > 1 ? to_score_with_rows_ : to_score_;
    queue.push_back({&job, i});
  }
  came_.notify_all();
  done_.wait(lock, [&] { return job.left == 0; });
  --waiting_;
  return std::move(job.completions);
}

void Scheduler::finish(const Task& task) {
  const std::lock_guard lock(mutex_);
  if (--task.job->left == 0) done_.notify_all();
}

void Scheduler::score_waiting(std::deque<Task>& queue, bool rows) {
  {
    const std::lock_guard lock(mutex_);
    if (queue.empty()) return;
  }
  Exchange exchange(*this, queue, rows);
  try {
    model_.score(exchange, exchange);
    exchange.fail_rest("the model gave no result");
  } catch (const std::exception& error) {
    exchange.fail_rest(error.what());
  }
}

void Scheduler::work() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const auto waits = [&] {
        return !to_score_.empty() || !to_score_with_rows_.empty() || !to_continue_.empty();
      };
      if (!lanes_ || !lanes_->busy()) {
        if (!waits()) lanes_.reset();  // its states' memory is for others
        came_.wait(lock, [&] { return waits() || ending_; });
        if (!waits()) return;
      }
    }
    score_waiting(to_score_, false);
    score_waiting(to_score_with_rows_, true);
    try {
      bool continues = lanes_ && lanes_->busy();
      if (!continues) {
        const std::lock_guard lock(mutex_);
        continues = !to_continue_.empty();
      }
      if (!continues) continue;
      if (!lanes_) {
        std::unique_ptr<Batch> batch = model_.start_batch(most_lanes_);
        if (!batch) throw std::runtime_error(fmt::format("{} can only score texts", model_.info().name));
        lanes_ = std::make_unique<Lanes>(*this, std::move(batch), most_lanes_);
      }
      for (std::size_t i = 0; i < kSliceSteps; ++i) lanes_->step();
    } catch (const std::exception& error) {
      if (lanes_) lanes_->fail_all(error.what());
      lanes_.reset();
      std::deque<Task> waiting;
      {
        const std::lock_guard lock(mutex_);
        waiting.swap(to_continue_);
      }
      for (const Task& task : waiting) {
        task.job->completions[task.index].error = error.what();
        finish(task);
      }
    }
  }
}

}  // namespace deciban
