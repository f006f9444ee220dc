// "Did you mean": the known word nearest to an unknown one.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace deciban {

// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other (bytes;
// restricted Damerau-Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of `known`, if it is near enough to be a typo: at most a third of the longer word, at least one
// letter.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> known);

// "; did you mean 'hellaswag'?", or nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace deciban
