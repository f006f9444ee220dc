#include "cli/eval_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>

#include "cli/machine.h"
#include "cli/shard_environment.h"

namespace deciban {
namespace {

std::size_t parse_batch(const std::string& word) {
  if (word == "auto") return 0;
  std::size_t tokens = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), tokens);
  if (error != std::errc{} || end != word.data() + word.size() || tokens == 0) {
    throw std::invalid_argument(fmt::format("--batch '{}': must be auto or a number of tokens", word));
  }
  return tokens;
}

}  // namespace

ModelOptions model_options(const EvalOptions& options) {
  ModelOptions result;
  result.device = options.device;
  result.format = options.mode;
  result.tokenizer = options.tokenizer;
  if (options.threads < 0)
    throw std::invalid_argument(fmt::format("--threads {}: must not be negative", options.threads));
  result.threads = options.threads;
  result.chunk_rows = parse_batch(options.batch);
  // What is verified is coded and decoded: both must meet the same probabilities.
  result.deterministic = options.deterministic || !options.verify.empty();
  return result;
}

Shard resolve_shard(const EvalOptions& options, const Console& console) {
  if (options.shard == "off") return {};
  if (options.shard != "auto") return Shard::parse(options.shard);
  const auto launched = shard_from_environment([](const char* name) { return std::getenv(name); });
  if (!launched) return {};
  console.note(fmt::format("shard {} because of {} (--shard off scores everything)", launched->shard.name(),
                           launched->from));
  return launched->shard;
}

void check_model_words(const EvalOptions& options) {
  if (!options.labels.empty() && options.labels.size() != options.models.size()) {
    throw std::invalid_argument(
        fmt::format("{} --label for {} --model: give one for each model, in order, or none",
                    options.labels.size(), options.models.size()));
  }
  if (std::set<std::string>(options.labels.begin(), options.labels.end()).size() != options.labels.size()) {
    throw std::invalid_argument("--label: two models have the same one");
  }
  if (std::set<std::string>(options.models.begin(), options.models.end()).size() != options.models.size()) {
    throw std::invalid_argument("--model: the same model is given twice");
  }
}

std::string model_label(const EvalOptions& options, const std::vector<std::string>& names, std::size_t i,
                        const ModelInfo& info) {
  const bool given = !options.labels.empty() || std::filesystem::exists(options.models[i]);
  return given || info.name.empty() ? names[i] : info.name;
}

std::filesystem::path output_directory(const EvalOptions& options, const std::string& first_model,
                                       const Shard& shard) {
  if (!options.output.empty()) return options.output;
  if (shard.count > 1) {
    throw std::invalid_argument("--output is needed with shards, so that all write to one directory: -o DIR");
  }
  std::string name = std::filesystem::path(first_model).filename().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == ':' || c == '/' || c == ' '; }, '-');
  return std::filesystem::path("runs") / fmt::format("{}-{}", local_date(), name);
}

std::filesystem::path run_info_file(const std::filesystem::path& output, const Shard& shard) {
  const std::string suffix = shard.file_suffix();
  return output / (suffix.empty() ? "run.json" : fmt::format("run.{}.json", suffix));
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::map<std::string, std::string> run_policies(const EvalOptions& options, const RunOptions& run) {
  return {{"start", run.start.name()}, {"limit", run.limit.name()},
          {"shard", run.shard.name()}, {"mode", options.mode},
          {"device", options.device},  {"deterministic", model_options(options).deterministic ? "yes" : "no"},
          {"batch", options.batch},    {"tokenizer", options.tokenizer}};
}

void report_run(const Console& console, const std::string& label, const RunSummary& summary) {
  const RunProgress& progress = summary.progress;
  if (progress.resumed > 0) {
    console.note(fmt::format("{}: {} of {} documents were scored before", label, progress.resumed,
                             progress.documents));
  }
  if (summary.excluded > 0) {
    console.note(
        fmt::format("{}: {} documents left out, since they are none for the task (too short, or "
                    "parts are missing)",
                    label, summary.excluded));
  }
  if (summary.repeated > 0) {
    console.note(fmt::format("{}: {} documents repeat the text of another; they were scored once", label,
                             summary.repeated));
  }
  if (summary.lossy_documents > 0) {
    console.warn(
        fmt::format("{}: its tokenizer normalises {} documents ({} bytes differ); rates count the raw bytes",
                    label, summary.lossy_documents, summary.lossy_bytes));
  }
  if (progress.failed > 0) {
    console.warn(fmt::format("{}: {} of {} documents failed; the first: {}", label, progress.failed,
                             progress.documents, summary.first_failure));
  }
}

}  // namespace deciban
