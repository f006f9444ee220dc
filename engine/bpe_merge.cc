#include "engine/bpe_merge.h"

#include <algorithm>
#include <array>
#include <queue>

namespace deciban {

namespace {
constexpr std::uint32_t kNoRank = ~std::uint32_t{0};
// Up to here scanning all pairs for the lowest rank beats a heap.
constexpr std::size_t kShort = 48;
}  // namespace

MergeTable::MergeTable(std::size_t merges) {
  int bits = 4;
  while ((std::size_t{1} << bits) < 2 * merges) ++bits;
  shift_ = 64 - bits;
  slots_.resize(std::size_t{1} << bits);
}

void MergeTable::add(Token left, Token right, std::uint32_t rank, Token merged) {
  const std::uint64_t pair = pair_of(left, right);
  std::size_t at = slot_of(pair);
  while (slots_[at].pair != kEmpty && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {pair, rank, merged};
}

const MergeTable::Slot* MergeTable::find(Token left, Token right) const {
  const std::uint64_t pair = pair_of(left, right);
  for (std::size_t at = slot_of(pair);; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == pair) return &slots_[at];
    if (slots_[at].pair == kEmpty) return nullptr;
  }
}

void MergeTable::merge(std::vector<Token>& tokens) const {
  if (tokens.size() <= kShort) {
    merge_short(tokens);
  } else {
    merge_long(tokens);
  }
}

void MergeTable::merge_short(std::vector<Token>& tokens) const {
  struct Pair {
    std::uint32_t rank;
    Token merged;
  };
  std::array<Pair, kShort> pairs;  // pairs[i]: of tokens i and i + 1
  const auto look_up = [&](std::size_t i) -> Pair {
    const Slot* slot = find(tokens[i], tokens[i + 1]);
    return slot ? Pair{slot->rank, slot->merged} : Pair{kNoRank, 0};
  };
  std::size_t count = tokens.size();
  for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = look_up(i);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNoRank) break;
    tokens[best] = pairs[best].merged;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(pairs.begin() + best + 1, pairs.begin() + count - 1, pairs.begin() + best);
    --count;
    if (best > 0) pairs[best - 1] = look_up(best - 1);
    if (best + 1 < count) pairs[best] = look_up(best);
  }
}

void MergeTable::merge_long(std::vector<Token>& tokens) const {
  struct Symbol {
    Token token;
    std::int64_t previous, next;  // -1 at the ends
    bool alive = true;
  };
  struct Candidate {
    std::uint32_t rank;
    std::int64_t at;  // of the left token
    Token left, right, merged;
    bool operator<(
        const Candidate& other) const {  // the top of the queue is the lowest rank, then the leftmost
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const auto count = static_cast<std::int64_t>(tokens.size());
  std::vector<Symbol> symbols(tokens.size());
  std::priority_queue<Candidate> candidates;
  const auto consider = [&](std::int64_t at) {
    if (at < 0 || symbols[at].next < 0) return;
    const Token left = symbols[at].token, right = symbols[symbols[at].next].token;
    if (const Slot* slot = find(left, right)) candidates.push({slot->rank, at, left, right, slot->merged});
  };
  for (std::int64_t i = 0; i < count; ++i) symbols[i] = {tokens[i], i - 1, i + 1 < count ? i + 1 : -1};
  for (std::int64_t i = 0; i + 1 < count; ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = symbols[best.at];
    // Stale: one of the two was merged with something else since.
    if (!left.alive || left.token != best.left || left.next < 0 || symbols[left.next].token != best.right)
      continue;
    Symbol& right = symbols[left.next];
    right.alive = false;
    left.token = best.merged;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  std::size_t kept = 0;
  for (std::int64_t i = 0; i >= 0; i = symbols[i].next) tokens[kept++] = symbols[i].token;
  tokens.resize(kept);
}

}  // namespace deciban
