#include "evals/codec/token_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "evals/codec/frequencies.h"
#include "evals/codec/range_coder.h"
#include "evals/codec/slot_team.h"

namespace deciban {
namespace {

// One sequence on its way: given the frequencies of its next token it codes that, and says which one it was.
class Encoding {
 public:
  explicit Encoding(std::span<const Token> tokens) : tokens_(tokens) {}
  bool done() const { return at_ == tokens_.size(); }
  Token next(const Frequencies& frequencies) {
    const Token token = tokens_[at_++];
    const auto interval = frequencies.of(token);
    encoder_.encode(interval.start, interval.frequency);
    return token;
  }
  std::string result() { return encoder_.finish(); }

 private:
  std::span<const Token> tokens_;
  std::size_t at_ = 0;
  RangeEncoder encoder_;
};

class Decoding {
 public:
  explicit Decoding(const CodedTokens& coded) : count_(coded.tokens), decoder_(coded.code) {}
  bool done() const { return tokens_.size() == count_; }
  Token next(const Frequencies& frequencies) {
    const auto found = frequencies.at(decoder_.place());
    decoder_.accept(found.interval.start, found.interval.frequency);
    tokens_.push_back(found.symbol);
    return found.symbol;
  }
  std::vector<Token> result() { return std::move(tokens_); }

 private:
  std::size_t count_;
  RangeDecoder decoder_;
  std::vector<Token> tokens_;
};

template <typename Job>
using ResultOf = decltype(std::declval<Job>().result());

// How many threads share a step's frequencies: on the CPU the engine has them all.
std::size_t threads_for(const ModelInfo& info, std::size_t slots) {
  constexpr std::size_t kWorthSharing = std::size_t{1} << 14, kMost = 32;  // frequencies; threads
  if (!info.device.starts_with("cuda") || slots * info.vocabulary < kWorthSharing) return 1;
  return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, std::min(slots, kMost));
}

// Runs a job for each of the inputs given by their place: as many at a time as there are slots, each step of
// the batch a token of every slot.
template <typename Job, typename Input>
void in_lockstep(LanguageModel& model, std::span<const Input> inputs, std::span<const std::size_t> places,
                 std::size_t slots, const CodecOptions& options, std::vector<ResultOf<Job>>& results) {
  const auto batch = model.start_batch(slots);
  if (!batch) {
    throw std::runtime_error(fmt::format(
        "{} only scores whole texts; coding takes a model that can go token by token", model.info().name));
  }
  struct Slot {
    std::optional<Job> job;
    std::size_t input = 0;
  };
  std::vector<Slot> all(slots);
  std::vector<Token> feed(slots, 0);
  SlotTeam team(threads_for(model.info(), slots));
  std::vector<Frequencies> frequencies(team.size());
  const std::size_t vocabulary = model.info().vocabulary;
  std::size_t taken = 0;
  // Gives a slot its next job that needs a step; those without tokens are done at once.
  const auto take = [&](std::size_t s) {
    all[s].job.reset();
    while (taken < places.size()) {
      const std::size_t input = places[taken++];
      Job job(inputs[input]);
      batch->reset(s);
      if (!job.done() && !options.start) {
        frequencies[0].set_uniform(vocabulary);
        feed[s] = job.next(frequencies[0]);
        if (options.progress) options.progress(1);
      } else if (options.start) {
        feed[s] = *options.start;
      }
      if (job.done()) {
        results[input] = job.result();
        continue;
      }
      all[s].job.emplace(std::move(job));
      all[s].input = input;
      return;
    }
    feed[s] = 0;
  };
  for (std::size_t s = 0; s < slots; ++s) take(s);
  while (std::any_of(all.begin(), all.end(), [](const Slot& slot) { return slot.job.has_value(); })) {
    if (options.stop && *options.stop) throw CodingStopped();
    const LogitRows logits = batch->step(feed);
    team.run(slots, [&](std::size_t s, std::size_t thread) {
      if (!all[s].job) return;
      frequencies[thread].set(logits.row(s));
      feed[s] = all[s].job->next(frequencies[thread]);
    });
    std::size_t coded = 0;
    for (std::size_t s = 0; s < slots; ++s) {
      Slot& slot = all[s];
      if (!slot.job) continue;
      ++coded;
      if (!slot.job->done()) continue;
      results[slot.input] = slot.job->result();
      take(s);
    }
    if (options.progress) options.progress(coded);
  }
}

// How many batches run side by side.  The products of a small model's step are too short to be shared between
// threads (the engine computes such a step with one), so each thread takes some of the streams.
std::size_t workers_for(const ModelInfo& info, std::size_t slots) {
  constexpr std::uint64_t kSmall = 32'000'000;  // parameters, as in engine/rwkv_model.cc
  const bool own = info.numerics_version > 0 && info.family.starts_with("rwkv") && info.device == "cpu" &&
                   info.spec.find("plugin:") != 0 && info.spec.find("exec:") != 0;
  if (!own || info.parameters > kSmall) return 1;
  return std::clamp<std::size_t>(slots / 2, 1, static_cast<std::size_t>(std::max(1, info.threads)));
}

template <typename Job, typename Input>
auto run_all(LanguageModel& model, std::span<const Input> inputs, const CodecOptions& options) {
  std::vector<ResultOf<Job>> results(inputs.size());
  const std::size_t slots = std::max<std::size_t>(1, std::min(options.streams, inputs.size()));
  const std::size_t workers = workers_for(model.info(), slots);
  std::vector<std::vector<std::size_t>> places(workers);
  for (std::size_t i = 0; i < inputs.size(); ++i) places[i % workers].push_back(i);
  std::mutex mutex;
  std::exception_ptr failure;
  CodecOptions shared = options;
  if (options.progress) {
    shared.progress = [&](std::size_t tokens) {
      const std::lock_guard lock(mutex);
      options.progress(tokens);
    };
  }
  const auto work = [&](std::size_t w) {
    try {
      in_lockstep<Job>(model, inputs, places[w], (slots + workers - 1 - w) / workers, shared, results);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t w = 1; w < workers; ++w) threads.emplace_back(work, w);
    work(0);
  }
  if (failure) std::rethrow_exception(failure);
  return results;
}

}  // namespace

std::vector<std::string> encode_tokens(LanguageModel& model, std::span<const std::vector<Token>> sequences,
                                       const CodecOptions& options) {
  return run_all<Encoding>(model, sequences, options);
}

std::vector<std::vector<Token>> decode_tokens(LanguageModel& model, std::span<const CodedTokens> coded,
                                              const CodecOptions& options) {
  return run_all<Decoding>(model, coded, options);
}

}  // namespace deciban
