// Brings the requests of all connections to the one model: what waits is scored together, and texts are
// continued in lockstep between.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/lm.h"

namespace deciban {

// One of the most probable tokens at a place.
struct Alternative {
  Token token = 0;
  float logprob = 0;
};

// What is known of a token, given all before it.
struct PlaceScore {
  TokenScore score{};
  std::vector<Alternative> top;  // the most probable ones, best first; as many as were asked for
};

// A prompt to be scored and continued greedily.
struct Prompt {
  std::vector<Token> tokens;     // at least one
  std::size_t continuation = 0;  // most tokens to add
  bool score = true;             // scores of tokens[1], … are wanted
  std::size_t top = 0;           // how many of the most probable tokens are wanted for each place
  // Ends the continuation early: called with the tokens added so far.  May be empty.
  std::function<bool(std::span<const Token>)> enough;
};

struct Completion {
  std::vector<Token> added;        // a token that ends texts (the model's start token) included
  std::vector<PlaceScore> scores;  // of tokens[1], …, if asked for, then of the added ones
  bool stopped = false;            // by `enough` or the end of text, not by `continuation`
  std::string error;               // not empty: this prompt failed
};

// The queue is full.
struct Busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Any thread may submit; one thread of its own speaks to the model.  Destroyed, it finishes what is in its
// queue.
class Scheduler {
 public:
  // At most `most_waiting` requests are in it at a time; texts are continued `lanes` at a time.
  Scheduler(LanguageModel& model, std::size_t most_waiting, std::size_t lanes);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Scores and continues the prompts of one request, in their order.  Waits.  Throws Busy if the queue is
  // full.
  std::vector<Completion> complete(std::vector<Prompt> prompts);

  std::size_t waiting() const { return waiting_; }

 private:
  struct Job;
  struct Task {
    Job* job = nullptr;
    std::size_t index = 0;  // of the prompt
  };
  class Exchange;
  class Lanes;

  void work();
  void score_waiting(std::deque<Task>& queue, bool rows);
  void finish(const Task& task);

  LanguageModel& model_;
  const std::size_t most_waiting_, most_lanes_;
  std::atomic<std::size_t> waiting_ = 0;
  std::mutex mutex_;
  std::condition_variable came_, done_;
  // Prompts that want at most one token go through score(), those that want more through a batch.
  std::deque<Task> to_score_, to_score_with_rows_, to_continue_;
  bool ending_ = false;
  std::unique_ptr<Lanes> lanes_;
  std::thread worker_;
};

}  // namespace deciban
