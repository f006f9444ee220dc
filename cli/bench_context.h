// deciban bench context: what a longer context buys in bits, and what it costs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/sweep.h"
#include "cli/console.h"
#include "cli/eval.h"

namespace deciban {

// The command's options, as words.
struct ContextOptions {
  std::vector<std::string> models, labels, corpora;
  std::string contexts = "0,1k,2k,4k,8k,16k,32k,64k", pairs = "1,4,16", output, limit = "all";
  std::string device = "auto", mode = "auto", tokenizer = "auto";
  std::size_t target = 1024, recall_documents = 50;
  int threads = 0;
  std::uint64_t seed = 1;
  bool recall = false, no_costs = false;
};

// Returns the exit code.  Throws as eval() does.
int bench_context(const ContextOptions& options, const Console& console, const ModelSource& source = {},
                  MeasurePoint measure = {});

}  // namespace deciban
