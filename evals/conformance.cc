#include "evals/conformance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "evals/conformance_probe.h"
#include "evals/round_trip.h"

namespace deciban {
namespace {

// f32 sums over a vocabulary, in whatever order, stay within this (nats, or of a sum of probabilities).
constexpr double kRounding = 1e-3;
constexpr std::size_t kEnumerated = 4096;  // vocabularies up to this size are gone through token by token

// Words, figures, code, accents, other scripts, white space.
constexpr std::string_view kSample =
    "The conformance suite reads this: 3.14159 is not 22/7, is it?\n\tint main() { return x[0] != 'a'; }\n"
    "Caf\xc3\xa9s na\xc3\xafves co\xc3\xbbtent 5 \xe2\x82\xac; \xce\x93\xce\xb5\xce\xb9\xce\xac "
    "\xd0\xbc\xd0\xb8\xd1\x80, \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xf0\x9f\x99\x82. ABC  two  spaces, the "
    "end";

std::string utf8(unsigned c) {
  if (c < 0x80) return {static_cast<char>(c)};
  const auto tail = [&](unsigned shift) { return static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

// The larger difference; one that is no number is the worst.
double worse(double a, double b) { return std::isnan(b) ? INFINITY : std::max(a, b); }

struct Skip : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Fail : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Suite {
 public:
  Suite(LanguageModel& model, const ConformanceOptions& options) : model_(model), options_(options) {}

  // Texts that the tokenizer gives back as it says it does.
  void normalisation(ConformanceCheck& check) {
    for (const std::string_view text :
         {kSample, std::string_view("x"), std::string_view("A \n"), std::string_view("")}) {
      const std::string normal = model_.normalise(text);
      const std::string back = model_.decode(model_.encode(text));
      if (back != normal) {
        throw Fail(fmt::format("decode(encode(text)) differs from normalise(text) at byte {} of {}",
                               first_difference(normal, back), normal.size()));
      }
      if (model_.normalise(normal) != normal) throw Fail("normalising a normalised text changes it again");
      if (model_.encode(normal) != model_.encode(text)) throw Fail("a normalised text has other tokens");
    }
    const bool lossless = model_.normalise(kSample) == kSample;
    check.text = lossless ? "lossless" : "normalises, and says so";
  }

  // Every byte that UTF-8 has, in characters.
  void byte_coverage(ConformanceCheck& check) {
    std::vector<unsigned> characters;
    for (unsigned c = 0; c < 0x100; ++c) characters.push_back(c);
    for (unsigned k = 0; k < 30; ++k) characters.push_back(0x80 + k * 0x40);
    for (unsigned lead = 0; lead < 16; ++lead)
      characters.push_back(lead == 0 ? 0x0800 : lead == 13 ? 0xD000 : lead << 12);
    for (unsigned lead = 0; lead < 5; ++lead) characters.push_back(lead == 0 ? 0x10000 : lead << 18);
    std::size_t lost = 0;
    std::string first;
    for (const unsigned c : characters) {
      const std::string text = "a" + utf8(c) + "b";
      if (model_.decode(model_.encode(text)) == model_.normalise(text)) continue;
      ++lost;
      if (first.empty()) first = fmt::format("U+{:04X}", c);
    }
    check.figure = static_cast<double>(lost);
    check.unit = "characters lost";
    std::size_t raw = 0;
    for (int byte = 0x80; byte < 0x100; ++byte) {
      const std::string text = {'a', static_cast<char>(byte), 'b'};
      try {
        raw += model_.decode(model_.encode(text)) == text;
      } catch (const std::exception&) {  // it need not take what is no text
      }
    }
    check.text = lost ? fmt::format("the first: {}", first)
                      : fmt::format("of 128 bytes that are no UTF-8, {} come back too", raw);
  }

  void start_token(ConformanceCheck& check) {
    const auto start = model_.info().start_token;
    if (!model_.encode("").empty()) throw Fail("an empty text has tokens");
    if (!start) throw Skip("the model has none");
    if (*start < 0 || static_cast<std::size_t>(*start) >= model_.info().vocabulary) {
      throw Fail(fmt::format("{} lies outside the {} tokens", *start, model_.info().vocabulary));
    }
    const std::vector<Token> tokens = model_.encode(kSample);
    if (!tokens.empty() && (tokens.front() == *start || tokens.back() == *start)) {
      throw Fail(fmt::format("encode() adds the start token {} by itself", *start));
    }
    check.text = fmt::format("{}, not added by encode()", *start);
  }

  // Σ p = 1 after a short prefix, token by token, or by the rows of logits where there are too many.
  void sum_of_probabilities(ConformanceCheck& check) {
    check.unit = "|Σp − 1|";
    check.limit = kRounding + 2 * bound();
    const std::vector<Token> prefix = sample(4);
    const std::size_t n = model_.info().vocabulary;
    if (n <= kEnumerated) {
      const std::vector<TokenScore> all = every_next(prefix);
      double sum = 0;
      for (const TokenScore& score : all) sum += std::exp(static_cast<double>(score.logprob));
      check.figure = std::abs(sum - 1);
      check.text = fmt::format("over all {} tokens", n);
      return;
    }
    const Probed scored = with_rows(sample(std::min<std::size_t>(options_.tokens, 16)));
    const std::vector<Token> tokens = sample(std::min<std::size_t>(options_.tokens, 16));
    for (std::size_t i = 0; i < scored.scores.size(); ++i) {
      const auto row = std::span(scored.rows).subspan(i * n, n);
      const double logprob = row[static_cast<std::size_t>(tokens[i + 1])] - log_sum_exp(row);
      check.figure = worse(check.figure, std::abs(std::expm1(scored.scores[i].logprob - logprob)));
    }
    check.text = fmt::format("by the logits of {} places", scored.scores.size());
  }

  void best_token(ConformanceCheck& check) {
    check.unit = "nats";
    check.limit = kRounding + 2 * bound();
    const std::vector<Token> prefix = sample(4);
    const std::size_t n = model_.info().vocabulary;
    std::vector<double> logprobs;
    TokenScore said{};
    if (n <= kEnumerated) {
      for (const TokenScore& score : every_next(prefix)) logprobs.push_back(score.logprob), said = score;
    } else {
      const Probed scored = with_rows(prefix);
      said = scored.scores.back();
      const auto row = std::span(scored.rows).last(n);
      const double norm = log_sum_exp(row);
      for (const float logit : row) logprobs.push_back(logit - norm);
    }
    if (said.best < 0 || static_cast<std::size_t>(said.best) >= n) {
      throw Fail(fmt::format("token {} is said to be the best of {}", said.best, n));
    }
    const double most = *std::max_element(logprobs.begin(), logprobs.end());
    check.figure =
        std::max(most - logprobs[static_cast<std::size_t>(said.best)], std::abs(most - said.best_logprob));
    check.text = "the token said to be the best against all others";
  }

  // A score belongs to the token at its place, given those before it and no later one.
  void shift_by_one(ConformanceCheck& check) {
    check.unit = "nats";
    check.limit = kRounding + 2 * bound();
    const std::vector<Token> tokens = sample(options_.tokens);
    if (tokens.size() < 12) throw Skip("the context is too short");
    const std::vector<TokenScore> scores = probe(model_, {{tokens}})[0].scores;
    std::vector<ProbeSequence> changed;
    std::vector<std::size_t> places;
    for (std::size_t i = tokens.size() / 2; i < tokens.size() && places.size() < 8; ++i) {
      places.push_back(i);
      ProbeSequence sequence{tokens};
      sequence.tokens[i] = scores[i - 1].best;  // at this place its score is known
      changed.push_back(sequence);
    }
    const std::vector<Probed> after = probe(model_, changed);
    for (std::size_t k = 0; k < places.size(); ++k) {
      const std::size_t i = places[k];
      const std::span<const TokenScore> now = after[k].scores;
      check.figure =
          std::max(check.figure, largest_difference(std::span(scores).first(i - 1), now.first(i - 1)));
      check.figure =
          worse(check.figure, std::abs(static_cast<double>(now[i - 1].logprob) - scores[i - 1].best_logprob));
    }
    if (check.figure > check.limit) {
      check.text = "a token's score changes with later tokens, or belongs to another place";
      return;
    }
    // Whoever is a place late sees the token before the last, but not the last one.
    if (matters(tokens, 2) && !matters(tokens, 1)) {
      throw Fail("a token's score does not depend on the token before it, but on those before that");
    }
    check.text = "the best token put in its place scores as announced";
  }

  void prefill_is_step(ConformanceCheck& check) {
    check.unit = "nats";
    check.limit = kRounding + bound();
    const auto batch = new_batch(1);
    const std::vector<Token> tokens = sample(options_.lockstep);
    const std::vector<TokenScore> scores = probe(model_, {{tokens}})[0].scores;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const LogitRows rows = batch->step({&tokens[i], 1});
      const auto row = rows.row(0);
      const double norm = log_sum_exp(row);
      const double logprob = row[static_cast<std::size_t>(tokens[i + 1])] - norm;
      const double best = *std::max_element(row.begin(), row.end()) - norm;
      check.figure = std::max(
          {check.figure, std::abs(logprob - scores[i].logprob), std::abs(best - scores[i].best_logprob)});
    }
    const auto again = new_batch(1);
    for (std::size_t i = 0; i + 1 < std::min<std::size_t>(tokens.size(), 8); ++i) {
      TokenScore best{};
      again->step_best({&tokens[i], 1}, {&best, 1});
      check.figure =
          std::max(check.figure, std::abs(static_cast<double>(best.best_logprob) - scores[i].best_logprob));
    }
    check.text = fmt::format("{} tokens at once and one by one", tokens.size());
  }

  // A sequence's scores do not depend on its company, before or beside it.
  void batch_invariance(ConformanceCheck& check) {
    check.unit = "nats";
    check.limit = bound();
    const std::vector<ProbeSequence> all = several();
    std::vector<std::vector<TokenScore>> alone;
    for (const ProbeSequence& sequence : all) alone.push_back(probe(model_, {sequence})[0].scores);
    for (const bool backwards : {false, true}) {
      std::vector<ProbeSequence> given = all;
      if (backwards) std::reverse(given.begin(), given.end());
      const std::vector<Probed> together = probe(model_, given);
      for (std::size_t i = 0; i < all.size(); ++i) {
        const std::size_t at = backwards ? all.size() - 1 - i : i;
        check.figure = worse(check.figure, largest_difference(alone[i], together[at].scores));
      }
    }
    check.text = fmt::format("{} sequences alone and together, both ways round", all.size());
  }

  void shared_beginning(ConformanceCheck& check) {
    check.unit = "nats";
    check.limit = bound();
    const std::vector<Token> tokens = sample(options_.tokens);
    if (tokens.size() < 8) throw Skip("the context is too short");
    std::vector<ProbeSequence> hinted{{tokens, 1, 0}};
    for (const std::size_t shared : {tokens.size() - 2, tokens.size() / 2, std::size_t{3}}) {
      ProbeSequence next{tokens, std::max<std::size_t>(shared - 1, 1), shared};
      std::reverse(next.tokens.begin() + static_cast<std::ptrdiff_t>(shared), next.tokens.end());
      hinted.push_back(next);
      hinted.push_back({tokens, shared, shared});
    }
    std::vector<ProbeSequence> plain = hinted;
    for (ProbeSequence& sequence : plain) sequence.shared = 0;
    const std::vector<Probed> a = probe(model_, hinted), b = probe(model_, plain);
    for (std::size_t i = 0; i < a.size(); ++i) {
      check.figure = worse(check.figure, largest_difference(a[i].scores, b[i].scores));
    }
    check.text = "with and without the hint";
  }

  // Sequences that have almost nothing in them.
  void edge_sequences(ConformanceCheck& check) {
    const std::vector<Token> tokens = sample(8);
    const auto got = probe(model_, {{{tokens[0]}, 1},
                                    {tokens, tokens.size()},
                                    {{tokens[0], tokens[1]}, 1},
                                    {tokens, tokens.size() - 1}});
    const auto whole = probe(model_, {{tokens}});
    check.unit = "nats";
    check.limit = bound();
    check.figure = std::max(largest_difference(std::span(whole[0].scores).first(1), got[2].scores),
                            largest_difference(std::span(whole[0].scores).last(1), got[3].scores));
    check.text = "one token, nothing to score, two tokens, only the last";
  }

  // Sequences of a batch do not know of each other; copying and resetting do what they say.
  void lockstep(ConformanceCheck& check) {
    check.unit = "nats";
    check.limit = bound();
    const auto batch = new_batch(3), single = new_batch(1);
    const std::vector<Token> tokens = sample(std::min<std::size_t>(options_.lockstep, 12));
    const std::size_t n = model_.info().vocabulary;
    const auto row = [&](const LogitRows& rows, std::size_t i) {
      const auto own = rows.row(i);
      const double norm = log_sum_exp(own);
      std::vector<double> logprobs;
      for (std::size_t k = 0; k < n; ++k) logprobs.push_back(own[k] - norm);
      return logprobs;
    };
    const auto compare = [&](const std::vector<double>& a, const std::vector<double>& b) {
      for (std::size_t k = 0; k < n; ++k) {
        if (a[k] != b[k]) check.figure = worse(check.figure, std::abs(a[k] - b[k]));
      }
    };
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const LogitRows one = single->step({&tokens[i], 1});
      const std::vector<double> alone = row(one, 0);
      const std::vector<Token> step{tokens[i], tokens[tokens.size() - 1 - i], tokens[i / 2]};
      compare(alone, row(batch->step(step), 0));
    }
    batch->copy(0, 1);
    batch->reset(2);
    const std::vector<Token> same(3, tokens.back());
    const LogitRows rows = batch->step(same);
    const std::vector<double> first = row(rows, 0), copied = row(rows, 1), fresh = row(rows, 2);
    compare(first, copied);
    const auto anew = new_batch(1);
    compare(row(anew->step({same.data(), 1}), 0), fresh);
    check.text = "three together and alone; after copying and resetting";
  }

  void memory(ConformanceCheck& check) {
    const MemoryUse use = model_.memory();
    const ModelInfo& info = model_.info();
    if (use.device > use.weights + use.cache + use.workspace) {
      throw Fail(fmt::format("{} bytes on a device are more than all {}", use.device,
                             use.weights + use.cache + use.workspace));
    }
    const bool told = use.weights > 0;
    // Half a byte a parameter is the least of any format; padding and tables are small beside 16 bytes and 1
    // GiB.
    if (told && info.parameters > 0 &&
        (2 * use.weights < info.parameters ||
         use.weights / 16 > info.parameters + (std::uint64_t{1} << 26))) {
      throw Fail(fmt::format("{} bytes of weights for {} parameters", use.weights, info.parameters));
    }
    const auto one = model_.start_batch(1);
    if (one) {
      const auto four = model_.start_batch(4);
      const std::vector<Token> tokens = sample(4);
      for (const Token token : tokens) {
        one->step({&token, 1});
        four->step(std::vector<Token>(4, token));
      }
      const std::size_t a = one->state_bytes(), b = four->state_bytes();
      if (b < a || (info.constant_state && b != 4 * a)) {
        throw Fail(fmt::format("the states of 4 sequences take {} bytes, that of one takes {}", b, a));
      }
      const std::uint64_t least = info.constant_state ? info.state_bytes : info.state_bytes * tokens.size();
      if (a < least) {
        throw Fail(fmt::format("a sequence's state takes {} bytes after {} tokens; info promises {}", a,
                               tokens.size(), least));
      }
    }
    if (!told && info.parameters > 0) throw Skip("the model does not say");
    check.text = fmt::format("weights {} bytes, of all {} on a device", use.weights, use.device);
  }

 private:
  double bound() const { return model_.info().batch_bound; }

  // The sample's first tokens after the start token, as many as asked for and as the context holds.
  std::vector<Token> sample(std::size_t count) {
    if (sample_.empty()) {
      if (model_.info().start_token) sample_.push_back(*model_.info().start_token);
      const std::vector<Token> once = model_.encode(kSample);
      if (once.empty()) throw Fail("a text has no tokens");
      while (sample_.size() < options_.tokens) sample_.insert(sample_.end(), once.begin(), once.end());
    }
    count = std::min(count, model_.info().context_limit.value_or(count));
    return {sample_.begin(), sample_.begin() + static_cast<std::ptrdiff_t>(std::min(count, sample_.size()))};
  }

  std::vector<ProbeSequence> several() {
    const std::vector<Token> tokens = sample(options_.tokens);
    std::vector<ProbeSequence> all;
    for (std::size_t i = 0; i < 7; ++i) {
      ProbeSequence sequence;
      const std::size_t begin = i * tokens.size() / 16, end = tokens.size() - i * tokens.size() / 20;
      sequence.tokens.assign(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                             tokens.begin() + static_cast<std::ptrdiff_t>(std::max(end, begin + 2)));
      sequence.first = 1 + (i % 3) * (sequence.tokens.size() / 4);
      all.push_back(std::move(sequence));
    }
    return all;
  }

  // Scores of every token of the vocabulary after a prefix.
  const std::vector<TokenScore>& every_next(const std::vector<Token>& prefix) {
    if (!every_next_.empty()) return every_next_;
    std::vector<ProbeSequence> sequences;
    for (std::size_t token = 0; token < model_.info().vocabulary; ++token) {
      ProbeSequence sequence{prefix, prefix.size()};
      sequence.tokens.push_back(static_cast<Token>(token));
      sequences.push_back(std::move(sequence));
    }
    for (const Probed& probed : probe(model_, sequences)) every_next_.push_back(probed.scores.at(0));
    return every_next_;
  }

  Probed with_rows(const std::vector<Token>& tokens) {
    Probed scored;
    try {
      scored = probe(model_, {{tokens}}, true)[0];
    } catch (const std::exception& error) {
      throw Skip(fmt::format("{} tokens are too many to try each, and there are no logits: {}",
                             model_.info().vocabulary, error.what()));
    }
    if (scored.rows.size() != scored.scores.size() * model_.info().vocabulary) {
      throw Fail(fmt::format("{} logits came for {} places", scored.rows.size(), scored.scores.size()));
    }
    return scored;
  }

  // Whether changing the token `back` places before it ever changes what is expected at a place.
  bool matters(const std::vector<Token>& tokens, std::size_t back) {
    std::vector<ProbeSequence> pairs;
    for (std::size_t i = tokens.size() / 2; i < tokens.size() && pairs.size() < 8; ++i) {
      pairs.push_back({{tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(i) + 1}, i});
      pairs.push_back(pairs.back());
      Token& changed = pairs.back().tokens[i - back];
      changed = static_cast<Token>((static_cast<std::size_t>(changed) + 1) % model_.info().vocabulary);
    }
    const std::vector<Probed> got = probe(model_, pairs);
    double most = 0;
    for (std::size_t k = 0; k + 1 < got.size(); k += 2) {
      most = std::max(most, largest_difference(got[k].scores, got[k + 1].scores));
    }
    return most > 2 * bound();
  }

  std::unique_ptr<Batch> new_batch(std::size_t n) {
    auto batch = model_.start_batch(n);
    if (!batch) throw Skip("the model can only score");
    return batch;
  }

  LanguageModel& model_;
  const ConformanceOptions& options_;
  std::vector<Token> sample_;
  std::vector<TokenScore> every_next_;
};

struct Entry {
  const char* name;
  void (Suite::*run)(ConformanceCheck&);
};
constexpr Entry kChecks[] = {
    {"normalisation", &Suite::normalisation},
    {"byte coverage", &Suite::byte_coverage},
    {"start token", &Suite::start_token},
    {"sum of probabilities", &Suite::sum_of_probabilities},
    {"best token", &Suite::best_token},
    {"shift by one", &Suite::shift_by_one},
    {"edge sequences", &Suite::edge_sequences},
    {"prefill = step", &Suite::prefill_is_step},
    {"batch invariance", &Suite::batch_invariance},
    {"shared beginnings", &Suite::shared_beginning},
    {"copy and reset", &Suite::lockstep},
    {"memory report", &Suite::memory},
};

}  // namespace

std::vector<ConformanceCheck> check_conformance(
    LanguageModel& model, const ConformanceOptions& options,
    const std::function<void(const ConformanceCheck&)>& observer) {
  Suite suite(model, options);
  std::vector<ConformanceCheck> checks;
  for (const Entry& entry : kChecks) {
    ConformanceCheck check;
    check.name = entry.name;
    try {
      (suite.*entry.run)(check);
      check.outcome = check.figure <= check.limit ? CheckOutcome::passed : CheckOutcome::failed;
    } catch (const Skip& skip) {
      check.unit.clear();
      check.text = skip.what();
    } catch (const std::exception& error) {
      check.outcome = CheckOutcome::failed;
      check.unit.clear();
      check.text = error.what();
    }
    if (observer) observer(check);
    checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace deciban
