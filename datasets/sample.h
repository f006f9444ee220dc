// Drawing documents at random so that everybody with the same seed draws the same: by SHA-256, which is the
// same on every machine, and independent of the order and number of what else may be drawn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

// The order in which candidates are drawn: indices of `ids`, by SHA-256("SEED:ID").
std::vector<std::size_t> draw_order(const std::vector<std::string>& ids, std::uint64_t seed);

// Deals from several strata in equal shares.  Where a stratum runs out, the others give more.
class StratifiedDraw {
 public:
  struct Draw {
    std::size_t stratum, candidate;
  };
  // `strata`: candidates in the order in which they are to be drawn.
  explicit StratifiedDraw(std::vector<std::vector<std::size_t>> strata);
  // Of the strata that have candidates left the one with the fewest accepted, the first among equals.
  std::optional<Draw> next();
  void accept(std::size_t stratum) { ++accepted_[stratum]; }
  const std::vector<std::size_t>& accepted() const { return accepted_; }

 private:
  std::vector<std::vector<std::size_t>> strata_;
  std::vector<std::size_t> drawn_, accepted_;
};

}  // namespace deciban
