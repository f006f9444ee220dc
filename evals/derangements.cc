#include "evals/derangements.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "reports/random.h"

namespace deciban {
namespace {

using Pool = std::vector<std::size_t>;  // items

std::string archive_of(const std::string& category) { return category.substr(0, category.find('.')); }

std::string group_of(const std::string& category) {
  const std::string archive = archive_of(category);
  if (archive == "cs" || archive == "math") return archive;
  for (const char* physics : {"astro-ph", "cond-mat", "gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th",
                              "math-ph", "nlin", "nucl-ex", "nucl-th", "physics", "quant-ph"}) {
    if (archive == physics) return "physics";
  }
  return "other";
}

std::string pool_name(const std::string& category, PoolLevel level) {
  switch (level) {
    case PoolLevel::category:
      return category;
    case PoolLevel::archive:
      return archive_of(category);
    case PoolLevel::group:
      return group_of(category);
    case PoolLevel::any:
      return "";
  }
  return "";
}

// Disjoint pools of all items.
std::vector<std::pair<PoolLevel, Pool>> pools_of(std::span<const DerangedItem> items) {
  std::vector<std::pair<PoolLevel, Pool>> pools;
  Pool left(items.size());
  std::iota(left.begin(), left.end(), 0);
  for (const PoolLevel level : {PoolLevel::category, PoolLevel::archive, PoolLevel::group}) {
    std::map<std::string, Pool> by_name;
    for (const std::size_t item : left) by_name[pool_name(items[item].category, level)].push_back(item);
    left.clear();
    for (auto& [name, pool] : by_name) {
      if (pool.size() >= kLeastPool) {
        pools.emplace_back(level, std::move(pool));
      } else {
        left.insert(left.end(), pool.begin(), pool.end());
      }
    }
    std::sort(left.begin(), left.end());
  }
  if (left.empty()) return pools;
  if (left.size() < kLeastRest && !pools.empty()) {
    // Too few to be among themselves: the smallest pool takes them in.
    const auto smallest = std::min_element(pools.begin(), pools.end(), [](const auto& a, const auto& b) {
      return a.second.size() < b.second.size();
    });
    smallest->first = PoolLevel::any;
    smallest->second.insert(smallest->second.end(), left.begin(), left.end());
    return pools;
  }
  pools.emplace_back(PoolLevel::any, std::move(left));
  return pools;
}

// A permutation of 0 … n-1 without fixed point, uniformly drawn: shuffles are drawn until one has none (about
// one in e).
std::vector<std::size_t> derangement(std::size_t n, Random& random) {
  std::vector<std::size_t> order(n);
  for (;;) {
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = n - 1; i > 0; --i)
      std::swap(order[i], order[random.below(static_cast<std::uint32_t>(i + 1))]);
    bool fixed = false;
    for (std::size_t i = 0; i < n; ++i) fixed = fixed || order[i] == i;
    if (!fixed) return order;
  }
}

}  // namespace

Derangements derange(std::span<const DerangedItem> items, std::size_t count, std::uint64_t seed) {
  if (items.size() < 2)
    throw std::invalid_argument(
        "fewer than two papers with abstract and conclusion: nothing can be exchanged");
  Derangements result;
  result.others.resize(items.size());
  result.level.resize(items.size());
  Random random(seed);
  for (auto& [level, pool] : pools_of(items)) {
    std::stable_sort(pool.begin(), pool.end(),
                     [&](std::size_t a, std::size_t b) { return items[a].length < items[b].length; });
    const std::size_t blocks = std::max<std::size_t>(1, pool.size() / kBlock);
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::size_t from = pool.size() * b / blocks, to = pool.size() * (b + 1) / blocks;
      for (std::size_t i = from; i < to; ++i) result.level[pool[i]] = level;
      for (std::size_t k = 0; k < count; ++k) {
        const std::vector<std::size_t> order = derangement(to - from, random);
        for (std::size_t i = from; i < to; ++i)
          result.others[pool[i]].push_back(pool[from + order[i - from]]);
      }
    }
  }
  return result;
}

}  // namespace deciban
