#include "evals/matched.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace deciban {

Windowing own_best(const ModelInfo& model) {
  if (!model.context_limit) return {};
  return {Windowing::Kind::tokens, *model.context_limit, *model.context_limit / 2};
}

MatchedWindow::MatchedWindow(std::span<const Corpus* const> corpora, const Limit& limit,
                             const StartPolicy& start)
    : start_(start) {
  for (const Selected& place :
       select(corpora, limit, Shard{})) {  // all shards: they must agree on the window
    const Document& document = corpora[place.corpus]->documents[place.document];
    if (!document.error.empty()) continue;
    documents_.push_back(&document);
    units_ = std::max(units_, (size_of(document) + kMatchedGranularity - 1) / kMatchedGranularity);
  }
  // Long documents first: they break a window that is too large soonest.
  std::stable_sort(documents_.begin(), documents_.end(),
                   [](const Document* a, const Document* b) { return size_of(*a) > size_of(*b); });
}

bool MatchedWindow::fits(const LanguageModel& model, std::size_t limit, const Windowing& policy) const {
  const std::optional<Token> start = start_.resolve(model.info());
  for (const Document* document : documents_) {
    // Pieces are counted one by one as cut() makes them, without its own check of the limit getting in the
    // way.
    if (policy.kind == Windowing::Kind::whole) {
      const std::size_t tokens =
          document->text.empty() ? document->tokens.size() : model.encode(document->text).size();
      if (tokens + (start ? 1 : 0) > limit) return false;
      continue;
    }
    try {
      if (document->text.empty()) {
        cut_tokens(model, policy, start, document->tokens);
      } else {
        cut(model, policy, start, {}, document->text);
      }
    } catch (const std::invalid_argument&) {
      return false;
    } catch (const std::runtime_error&) {
      continue;  // this document fails for another reason, which the run will name
    }
  }
  return true;
}

bool MatchedWindow::fit(const LanguageModel& model) {
  const auto limit = model.info().context_limit;
  if (!limit || documents_.empty()) return true;
  if (whole_ && fits(model, *limit, {})) return true;
  const bool was_whole = std::exchange(whole_, false);
  const auto policy = [](std::size_t units) {
    return Windowing{Windowing::Kind::bytes, units * kMatchedGranularity, 0};
  };
  if (fits(model, *limit, policy(units_))) return !was_whole;
  std::size_t good = 0, bad = units_;
  while (bad - good > 1) {
    const std::size_t middle = good + (bad - good) / 2;
    (fits(model, *limit, policy(middle)) ? good : bad) = middle;
  }
  if (good == 0) {
    throw std::invalid_argument(
        fmt::format("{}: its limit of {} tokens cannot hold {} bytes of every document", model.info().name,
                    *limit, kMatchedGranularity));
  }
  units_ = good;
  return false;
}

Windowing MatchedWindow::windowing() const {
  if (whole_ || documents_.empty()) return {};
  return {Windowing::Kind::bytes, units_ * kMatchedGranularity, 0};
}

}  // namespace deciban
