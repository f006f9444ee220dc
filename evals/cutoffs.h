// Up to when the training texts of known public models reach: what is newer, they cannot have read.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace deciban {

struct KnownCutoff {
  std::string_view name;    // part of a model's name, lower case
  std::string_view cutoff;  // "2023-12"
  // "stated": by its makers, of its training texts.  "released": nobody says, but a model cannot have read
  // what was written after it was published.
  std::string_view basis;
};

// More particular names come first.
std::span<const KnownCutoff> known_cutoffs();

struct Cutoff {
  std::string date, basis;
};
// By a part of its name, else by a date in it ("RWKV-x070-World-1.5B-v3-20250127-ctx4096": no text is newer).
std::optional<Cutoff> cutoff_of_name(std::string_view model);

}  // namespace deciban
