#include "datasets/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "datasets/sha256.h"

namespace deciban {

std::vector<std::size_t> draw_order(const std::vector<std::string>& ids, std::uint64_t seed) {
  std::vector<std::pair<std::string, std::size_t>> ranks;
  ranks.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    ranks.emplace_back(Sha256::of(fmt::format("{}:{}", seed, ids[i])), i);
  std::sort(ranks.begin(), ranks.end());
  std::vector<std::size_t> order;
  order.reserve(ranks.size());
  for (const auto& [rank, index] : ranks) order.push_back(index);
  return order;
}

StratifiedDraw::StratifiedDraw(std::vector<std::vector<std::size_t>> strata)
    : strata_(std::move(strata)), drawn_(strata_.size()), accepted_(strata_.size()) {}

std::optional<StratifiedDraw::Draw> StratifiedDraw::next() {
  std::optional<std::size_t> best;
  for (std::size_t s = 0; s < strata_.size(); ++s) {
    if (drawn_[s] < strata_[s].size() && (!best || accepted_[s] < accepted_[*best])) best = s;
  }
  if (!best) return {};
  return Draw{*best, strata_[*best][drawn_[*best]++]};
}

}  // namespace deciban
