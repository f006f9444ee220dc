// What the evaluation of texts and that of tasks have in common: options' words to values, names of models,
// where records go, and what is said about a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/eval.h"
#include "engine/lm.h"
#include "evals/run.h"

namespace deciban {

// Of all that is drawn at random, unless --seed says otherwise.
inline constexpr std::uint64_t kSeed = 1;

// The next two throw std::invalid_argument for words that make no sense.
ModelOptions model_options(const EvalOptions& options);
void check_model_words(const EvalOptions& options);
// Asks the environment where --shard says auto, and says so.
Shard resolve_shard(const EvalOptions& options, const Console& console);

// The name of model i: the one given, or of its file, else its own (`names` are those of the words).
std::string model_label(const EvalOptions& options, const std::vector<std::string>& names, std::size_t i,
                        const ModelInfo& info);
// --output, or runs/DATE-MODEL.  Throws std::invalid_argument for shards without one.
std::filesystem::path output_directory(const EvalOptions& options, const std::string& first_model,
                                       const Shard& shard);
std::filesystem::path run_info_file(const std::filesystem::path& output, const Shard& shard);
// A file's text; empty if there is none.
std::string read_text(const std::filesystem::path& path);
// What run.json says of the options that all evaluations have.
std::map<std::string, std::string> run_policies(const EvalOptions& options, const RunOptions& run);
// Says what was resumed, left out, repeated, and what failed.
void report_run(const Console& console, const std::string& label, const RunSummary& summary);

}  // namespace deciban
