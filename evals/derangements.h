// Seeded derangements: who gets whose abstract, so that nobody gets his own, and whose is of the same field
// and about as long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace deciban {

// What a derangement must respect.
struct DerangedItem {
  std::string category;    // arXiv's primary category, such as "cs.CL"; may be empty
  std::size_t length = 0;  // of what is exchanged, bytes
};

// How far apart an item and those it is exchanged with may be.
enum class PoolLevel { category, archive, group, any };

struct Derangements {
  // Item → for each derangement the item whose abstract it gets.
  std::vector<std::vector<std::size_t>> others;
  std::vector<PoolLevel> level;  // of each item's pool
};

// An item's pool is its primary category if that has kLeastPool items, else what is left of its archive
// ("cs"), else of its group (physics, mathematics, computer science, others), else of all; fewer than
// kLeastRest that are left in the end join the smallest pool, which then counts as PoolLevel::any.  A pool is
// sorted by length and cut into blocks of about kBlock neighbours, at least kLeastPool where there are as
// many; each derangement is, within each block, a uniformly drawn permutation without fixed point.  The same
// for equal arguments on every platform.  Throws std::invalid_argument for fewer than two items.
Derangements derange(std::span<const DerangedItem> items, std::size_t count, std::uint64_t seed);

inline constexpr std::size_t kLeastPool = 6;
inline constexpr std::size_t kLeastRest = 4;  // four items have nine derangements
inline constexpr std::size_t kBlock = 8;

}  // namespace deciban
