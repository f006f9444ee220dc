#include "evals/codec/token_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "evals/codec/frequencies.h"
#include "evals/codec/range_coder.h"

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

// Runs a job for each input: as many at a time as there are slots, each step of the batch a token of every
// slot.
template <typename Job, typename Input>
auto in_lockstep(LanguageModel& model, std::span<const Input> inputs, const CodecOptions& options) {
  std::vector<decltype(std::declval<Job>().result())> results(inputs.size());
  const std::size_t slots = std::max<std::size_t>(1, std::min(options.streams, inputs.size()));
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
  Frequencies frequencies;
  const std::size_t vocabulary = model.info().vocabulary;
  std::size_t taken = 0;
  // Gives a slot its next job that needs a step; those without tokens are done at once.
  const auto take = [&](std::size_t s) {
    all[s].job.reset();
    while (taken < inputs.size()) {
      const std::size_t input = taken++;
      Job job(inputs[input]);
      batch->reset(s);
      if (!job.done() && !options.start) {
        frequencies.set_uniform(vocabulary);
        feed[s] = job.next(frequencies);
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
    std::size_t coded = 0;
    for (std::size_t s = 0; s < slots; ++s) {
      Slot& slot = all[s];
      if (!slot.job) continue;
      frequencies.set(logits.row(s));
      feed[s] = slot.job->next(frequencies);
      ++coded;
      if (!slot.job->done()) continue;
      results[slot.input] = slot.job->result();
      take(s);
    }
    if (options.progress) options.progress(coded);
  }
  return results;
}

}  // namespace

std::vector<std::string> encode_tokens(LanguageModel& model, std::span<const std::vector<Token>> sequences,
                                       const CodecOptions& options) {
  return in_lockstep<Encoding>(model, sequences, options);
}

std::vector<std::vector<Token>> decode_tokens(LanguageModel& model, std::span<const CodedTokens> coded,
                                              const CodecOptions& options) {
  return in_lockstep<Decoding>(model, coded, options);
}

}  // namespace deciban
