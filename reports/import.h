// Results of other programs as records and cost points: uncheatable_eval's logs, lm-eval's results and
// samples, llama-bench and Google Benchmark.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "reports/cost.h"
#include "reports/record.h"

namespace deciban {

struct Imported {
  std::string kind;  // "uncheatable_eval log", "lm-eval samples", …
  std::vector<Record> records;
  std::vector<CostPoint> costs;
  std::map<std::string, std::map<std::string, std::string>>
      tasks;                       // task → measure → how sums become the figure
  std::vector<std::string> notes;  // what could not be carried over, in sentences
};

// Decides by content what a file is.  `name` is its path, from which lm-eval's task and model are told;
// `model` overrides the model's name where it is not empty.  Throws std::runtime_error saying what was found
// instead.
Imported import_text(std::string_view raw, const std::filesystem::path& name, const std::string& model = "");
// Reads the file.  Throws std::runtime_error naming it.
Imported import_file(const std::filesystem::path& path, const std::string& model = "");

// The readers, each for its own kind; parsed JSON comes in as text.
Imported import_uncheatable(std::string_view text, const std::filesystem::path& name,
                            const std::string& model);
Imported import_lm_eval_results(std::string_view text, const std::filesystem::path& name,
                                const std::string& model);
Imported import_lm_eval_samples(std::string_view text, const std::filesystem::path& name,
                                const std::string& model);
Imported import_llama_bench(std::string_view text, const std::string& model);
Imported import_google_benchmark(std::string_view text);

// A key for what another program computed: equal for equal fields.
std::string import_key(std::initializer_list<std::string_view> fields);

}  // namespace deciban
