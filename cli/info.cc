#include "cli/info.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "cli/machine.h"
#include "deciban_version.h"
#include "engine/cuda_module.h"
#include "evals/task_spec.h"
#include "evals/token_scores.h"
#include "reports/record.h"

namespace deciban {
namespace {

// A table of names and values; the values' JSON is what machines get.
class Facts {
 public:
  Facts() { table_.columns = {{"", "name", false, false}, {"", "value", false, false}}; }
  void add(const std::string& name, const std::string& text, const nlohmann::json& value) {
    table_.rows.push_back(
        {{name, ""}, {text, value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}});
  }
  void add(const std::string& name, const std::string& text) {
    add(name, text.empty() ? "–" : text, nlohmann::json(text));
  }
  void add_digest(const std::string& name, const std::string& digest) {
    constexpr std::size_t kShown = 32;  // people compare the beginning; machines get all of it
    add(name, digest.size() > kShown ? digest.substr(0, kShown) + "…" : digest, nlohmann::json(digest));
  }
  void add_count(const std::string& name, std::uint64_t value) {
    add(name, fmt::format("{}", value), nlohmann::json(value));
  }
  void add_bytes(const std::string& name, std::uint64_t value) {
    add(name, byte_count(static_cast<double>(value)), nlohmann::json(value));
  }
  const Table& table() const { return table_; }

 private:
  Table table_;
};

std::string in_a_row(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "none" : text;
}

// The CUDA devices, or why there is none.
void show_cards(Facts& facts) {
  try {
    const std::vector<CudaDevice> devices = cuda_devices();
    for (std::size_t i = 0; i < devices.size(); ++i) {
      const CudaDevice& d = devices[i];
      facts.add(
          fmt::format("cuda:{}", i),
          fmt::format("{}, {} free of {}, sm_{}{}", d.name, byte_count(static_cast<double>(d.free_bytes)),
                      byte_count(static_cast<double>(d.total_bytes)), d.major, d.minor),
          {{"name", d.name},
           {"compute_capability", fmt::format("{}.{}", d.major, d.minor)},
           {"multiprocessors", d.multiprocessors},
           {"memory_bytes", d.total_bytes},
           {"free_bytes", d.free_bytes}});
    }
  } catch (const std::runtime_error& error) {
    facts.add("cuda", error.what(), {{"error", error.what()}});
  }
}

void show_machine(const Console& console) {
  const Machine machine = this_machine();
  Facts facts;
  facts.add("deciban", fmt::format("{} ({})", DECIBAN_VERSION, DECIBAN_COMMIT));
  facts.add("processor", machine.cpu);
  facts.add_count("processors to use", machine.cpus);
  facts.add("vector instructions", in_a_row(machine.isa), nlohmann::json(machine.isa));
  facts.add_bytes("memory", machine.memory);
  facts.add("system", machine.system);
  show_cards(facts);
  console.show(facts.table());
}

void show_model(const std::string& spec, const ModelOptions& options, const Console& console) {
  const auto model = open_model(spec, options);
  const ModelInfo& info = model->info();
  const MemoryUse memory = model->memory();
  const auto optional = [](const auto& value) {
    return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
  };
  Facts facts;
  facts.add("name", info.name);
  facts.add("family", info.family);
  facts.add_count("parameters", info.parameters);
  facts.add_count("layers", info.layers);
  facts.add_count("width", info.width);
  facts.add_count("vocabulary", info.vocabulary);
  facts.add_digest("digest", info.digest);
  facts.add("tokenizer", info.tokenizer);
  facts.add_digest("tokenizer digest", info.tokenizer_digest);
  facts.add("start token", info.start_token ? fmt::format("{}", *info.start_token) : "none",
            optional(info.start_token));
  facts.add("mode", info.format);
  facts.add("weights", info.weight_format);
  facts.add("activations", info.activation_format);
  facts.add("device", info.device);
  facts.add("kernels", info.kernels);
  facts.add_count("threads", static_cast<std::uint64_t>(info.threads));
  facts.add_bytes(info.constant_state ? "state of a sequence" : "cache for each token", info.state_bytes);
  facts.add("training length",
            info.training_length ? fmt::format("{} tokens", *info.training_length) : "unknown",
            optional(info.training_length));
  facts.add("context limit", info.context_limit ? fmt::format("{} tokens", *info.context_limit) : "none",
            optional(info.context_limit));
  facts.add_bytes("memory of the weights", memory.weights);
  facts.add_bytes("memory at its peak", peak_memory());
  console.show(facts.table());
}

// One line a document: its key and, for each query, the columns.
void print_token_scores(const std::string& path, const Console& console) {
  TokenScoreReader reader(path);
  const auto numbers = [](const std::vector<float>& column) {
    nlohmann::json values = nlohmann::json::array();
    for (const float value : column)
      values.push_back(std::isnan(value) ? nlohmann::json(nullptr) : nlohmann::json(value));
    return values;
  };
  while (const auto document = reader.next()) {
    nlohmann::ordered_json line{{"key", document->key}, {"queries", nlohmann::json::array()}};
    for (const TokenColumns& columns : document->queries) {
      line["queries"].push_back(nlohmann::ordered_json{{"tokens", columns.tokens},
                                                       {"bytes", columns.bytes},
                                                       {"logprob", numbers(columns.logprob)},
                                                       {"best_logprob", numbers(columns.best_logprob)},
                                                       {"best", columns.best}});
    }
    std::cout << line.dump() << '\n';
    if (!std::cout) throw std::runtime_error("standard output cannot be written");
  }
  std::cout << std::flush;
  if (reader.torn()) console.warn(fmt::format("{}: the last document is torn and was left out", path));
}

void show_records(const std::string& path, const Console& console) {
  struct Sum {
    std::uint64_t documents = 0, failed = 0, bytes = 0, tokens = 0;
    double seconds = 0;
  };
  std::map<std::vector<std::string>, Sum> sums;
  for (const Record& record : read_records({path})) {
    Sum& sum = sums[{record.model, record.task, record.windowing, record.corpus}];
    ++(record.status == "ok" ? sum.documents : sum.failed);
    if (record.status != "ok") continue;
    sum.bytes += record.bytes;
    sum.tokens += record.scored_tokens;
    sum.seconds += record.seconds;
  }
  Table table;
  table.columns = {{"model", "model", false, false},   {"corpus", "corpus", false, false},
                   {"task", "task", false, false},     {"window", "window", false, false},
                   {"docs", "documents", true, false}, {"failed", "failed", true, false},
                   {"bytes", "bytes", true, false},    {"tokens", "scored_tokens", true, false},
                   {"seconds", "seconds", true, false}};
  const auto number = [](std::uint64_t value) {
    return Cell{fmt::format("{}", value), fmt::format("{}", value)};
  };
  for (const auto& [names, sum] : sums) {
    table.rows.push_back({{names[0], ""},
                          {names[3], ""},
                          {names[1], ""},
                          {names[2], ""},
                          number(sum.documents),
                          number(sum.failed),
                          number(sum.bytes),
                          number(sum.tokens),
                          {fmt::format("{:.1f}", sum.seconds), fmt::format("{}", sum.seconds)}});
  }
  constexpr std::string_view kLeast[] = {"seconds", "task", "failed"};
  console.show(std::move(table), kLeast);
}

void show_tasks(const Console& console) {
  const TaskCatalogue catalogue = task_catalogue();
  Table table;
  table.columns = {{"task", "task", false, false},       {"what", "what", false, false},
                   {"docs", "documents", true, false},   {"metrics", "metrics", false, false},
                   {"licence", "licence", false, false}, {"data set", "dataset", false, true},
                   {"source", "source", false, true},    {"version", "version", false, true}};
  const auto number = [](std::size_t count) {
    return Cell{count > 0 ? fmt::format("{}", count) : "", fmt::format("{}", count)};
  };
  for (const TaskGroup& group : catalogue.groups) {
    std::size_t documents = 0;
    for (const std::string& name : group.tasks) documents += catalogue.find(name)->documents;
    table.rows.push_back({{group.name, ""},
                          {fmt::format("group: {}", group.what), ""},
                          number(documents),
                          {"mean", ""},
                          {"", ""},
                          {"", ""},
                          {"", ""},
                          {"", ""}});
  }
  // People see families by their groups.
  const bool whole = console.one_table_only();
  for (const TaskSpec& task : catalogue.tasks) {
    if (!whole && !task.family.empty()) continue;
    table.rows.push_back({{task.name, ""},
                          {task.what, ""},
                          number(task.documents),
                          {fmt::format("{}", fmt::join(task.rules.metrics, ", ")), ""},
                          {task.licence, ""},
                          {task.data.dataset, ""},
                          {task.source, ""},
                          {task.rules.version, ""}});
  }
  table.notes.push_back(
      "deciban fetch tasks:NAME,… brings their data; --format csv shows their sources, and the tasks of mmlu "
      "and pile one by one");
  constexpr std::string_view kLeast[] = {"metrics", "licence", "what"};
  console.show(std::move(table), kLeast);
}

bool holds_records(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      const std::string name = entry.path().filename();
      if (name.starts_with("records.") && name.ends_with(".jsonl")) return true;
    }
    return false;
  }
  return path.extension() == ".jsonl";
}

}  // namespace

int info(const std::vector<std::string>& subjects, const ModelOptions& options, const Console& console) {
  if (subjects.empty()) show_machine(console);
  for (const std::string& subject : subjects) {
    if (subject == "tasks") {
      show_tasks(console);
    } else if (std::filesystem::is_regular_file(subject) && TokenScoreReader::recognises(subject)) {
      print_token_scores(subject, console);
    } else if (holds_records(subject)) {
      show_records(subject, console);
    } else {
      show_model(subject, options, console);
    }
  }
  return kDone;
}

}  // namespace deciban
