// Times the operation of attention alone on a CUDA device: many tokens at once, and single steps.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace deciban {

struct AttentionBench {
  std::vector<int> lengths, head_sizes;
  std::string mode = "bf16a";
  int width = 2048;    // heads * head size
  int kv_share = 1;    // query heads of a head of keys
  int tokens = 32768;  // of all sequences together: as many sequences as it takes
  int repeats = 3;
  bool deterministic = false;
};

// Prints a line for each length and head size and adds the results.
void time_attention(const AttentionBench& bench, nlohmann::json& results);

}  // namespace deciban
