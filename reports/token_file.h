// Reads the per-token columns that `eval --token-scores` keeps (docs/formats.md has the layout).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "reports/collection.h"

namespace deciban {

// The scored text of one document, as columns of equal length; several queries stand one after the other.
struct TokenScores {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint32_t> bytes;  // of the text, that each token stands for
  std::vector<float> logprob;        // nats; NaN: not scored
  std::vector<float> best_logprob;   // of the most probable token; NaN likewise
  std::vector<std::int32_t> best;    // −1 likewise
};

// The token files of a run's directory, by name; none if it is a file.
std::vector<std::filesystem::path> token_files(const std::filesystem::path& run);

// Calls `take` for every document of the file that `wanted` asks for, memory for one document at a time.  A
// torn last block is the end.  Throws std::runtime_error naming file and byte for a damaged one.
void read_token_file(const std::filesystem::path& path, const std::function<bool(const ScoreKey&)>& wanted,
                     const std::function<void(const ScoreKey&, TokenScores&&)>& take);

}  // namespace deciban
