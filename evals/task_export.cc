#include "evals/task_export.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "datasets/http_cache.h"
#include "datasets/sha256.h"
#include "evals/python_text.h"
#include "evals/task_metrics.h"

namespace deciban {
namespace {

using nlohmann::ordered_json;
using Kind = TaskRules::Kind;

std::string dumped(const ordered_json& value, int indent = -1) {
  return value.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

// The row as the harness shows it: its own keys in their order, and what its transform adds.
ordered_json shown_row(const TemplateTask& task, const Document& row) {
  ordered_json shown = ordered_json::parse(row.text, nullptr, false);
  if (!shown.is_object()) shown = ordered_json(row.fields);
  nlohmann::json fields = row.fields;
  for (const auto& [name, part] : task.rules().fields) fields[name] = part.value(row.fields);
  for (const auto& [name, part] : task.spec().exported) shown[name] = ordered_json(part.value(fields));
  return shown;
}

std::string target_of(const TemplateTask& task, const Question& question) {
  switch (task.rules().kind) {
    case Kind::text:
      return question.text;
    case Kind::word:
      return question.target;
    case Kind::multiple_choice:
      break;
  }
  // A gold index, but where the task says otherwise or the choices are contexts.
  if (!task.rules().target && task.rules().contexts.empty()) return fmt::format("{}", question.gold);
  return question.target;
}

// NaN and infinities as Python writes them are no JSON; null is what readers take.
ordered_json finite_number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

ordered_json metric_list(const TaskRules& rules) {
  ordered_json list = ordered_json::array();
  for (const std::string& metric : rules.metrics) {
    ordered_json entry = {{"metric", metric}};
    if (rules.kind != Kind::text) {
      entry["aggregation"] = metric == "perplexity" ? "perplexity" : "mean";
      entry["higher_is_better"] = higher_is_better(metric);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

ordered_json config_of(const TemplateTask& task) {
  const TaskSpec& spec = task.spec();
  const TaskRules& rules = task.rules();
  ordered_json config = {
      {"task", spec.name}, {"dataset_path", spec.data.dataset}, {"dataset_name", spec.data.config}};
  config[spec.data.test == "validation" ? "validation_split" : "test_split"] = spec.data.test;
  if (!spec.data.shots.empty()) config["fewshot_split"] = spec.data.shots;
  ordered_json choices = nullptr, context = rules.context.source();
  if (rules.choice_list) {
    choices = rules.choice_list->source();
  } else if (!rules.choices.empty()) {
    choices = ordered_json::array();
    for (const Template& choice : rules.choices) choices.push_back(choice.source());
  }
  if (!rules.contexts.empty()) {
    context = ordered_json::array();
    for (const Template& one : rules.contexts) context.push_back(one.source());
  }
  config["doc_to_text"] = context;
  config["doc_to_target"] = rules.gold                 ? rules.gold->source()
                            : rules.kind == Kind::text ? rules.text.source()
                            : rules.target             ? rules.target->source()
                                                       : rules.continuation.source();
  config["doc_to_choice"] = choices;
  config["description"] = rules.description;
  config["target_delimiter"] = rules.delimiter;
  config["fewshot_delimiter"] = rules.shots_delimiter;
  config["fewshot_config"] = {
      {"sampler", rules.sampler == TaskRules::Sampler::first ? "first_n" : "default"}};
  config["num_fewshot"] = task.shots();
  config["metric_list"] = metric_list(rules);
  config["output_type"] = rules.kind == Kind::multiple_choice ? "multiple_choice"
                          : rules.kind == Kind::word          ? "loglikelihood"
                                                              : "loglikelihood_rolling";
  config["repeats"] = 1;
  config["should_decontaminate"] = false;
  config["metadata"] = {{"version", std::strtod(rules.version.c_str(), nullptr)}};
  return config;
}

ordered_json figures_of(const TaskResult& result) {
  ordered_json entry = {{"name", result.name}, {"alias", result.alias}};
  entry[result.group ? "sample_count" : "sample_len"] = result.documents;
  for (const TaskFigure& figure : result.figures) {
    entry[figure.metric + ",none"] = finite_number(figure.value);
    entry[figure.metric + "_stderr,none"] = figure.error ? finite_number(*figure.error) : ordered_json("N/A");
  }
  return entry;
}

ordered_json limit_of(const std::string& word) {
  if (word == "all") return nullptr;
  const double value = std::strtod(word.c_str(), nullptr);
  return word.ends_with('%') ? ordered_json(value / 100) : ordered_json(static_cast<std::int64_t>(value));
}

std::string date_name(double when) {
  const auto seconds = static_cast<std::time_t>(when);
  std::tm local{};
  localtime_r(&seconds, &local);
  char date[40];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H-%M-%S", &local);
  return fmt::format("{}.{:06}", date, static_cast<int>((when - static_cast<double>(seconds)) * 1e6));
}

}  // namespace

std::string sample_line(const TemplateTask& task, const Corpus& corpus, std::size_t document,
                        const Record& record) {
  const Document& row = corpus.documents.at(document);
  const Question question = task.question(row);
  const std::vector<Query> queries = task.queries(corpus, document);
  if (queries.size() != record.queries.size()) {
    throw std::runtime_error(fmt::format("the record of document {} of {} has {} answers to {} requests",
                                         row.id, task.name(), record.queries.size(), queries.size()));
  }
  const ordered_json shown = shown_row(task, row);
  const std::string target = target_of(task, question);
  ordered_json line = {{"doc_id", document}, {"doc", shown}, {"target", target}};
  ordered_json arguments = ordered_json::object(), answers = ordered_json::array(),
               filtered = ordered_json::array();
  for (std::size_t i = 0; i < queries.size(); ++i) {
    ordered_json& own = arguments[fmt::format("gen_args_{}", i)];
    const std::string logprob = python::repr(record.queries[i].logprob);
    if (queries[i].whole_text) {
      own = {{"arg_0", queries[i].continuation}};
      answers.push_back(ordered_json::array({logprob}));
      filtered.push_back(logprob);
    } else {
      own = {{"arg_0", queries[i].context}, {"arg_1", queries[i].continuation}};
      const ordered_json answer = ordered_json::array({logprob, record.queries[i].greedy ? "True" : "False"});
      answers.push_back(ordered_json::array({answer}));
      filtered.push_back(answer);
    }
  }
  line["arguments"] = std::move(arguments);
  line["resps"] = std::move(answers);
  line["filtered_resps"] = std::move(filtered);
  line["filter"] = "none";
  line["metrics"] = task.rules().metrics;
  line["doc_hash"] = Sha256::of(dumped(shown, 2));
  line["prompt_hash"] = Sha256::of(queries[0].whole_text ? queries[0].continuation : queries[0].context);
  line["target_hash"] = Sha256::of(target);
  for (const std::string& metric : task.rules().metrics) {
    const Measure& measure = record.measures.at(metric);
    if (task.rules().kind == Kind::text)
      line[metric] = ordered_json::array({measure.sum, static_cast<std::uint64_t>(measure.weight)});
    else
      line[metric] = measure.sum;
  }
  return dumped(line);
}

std::string samples_hash(const std::vector<std::string>& lines) {
  Sha256 sha;
  for (const std::string& text : lines) {
    const ordered_json line = ordered_json::parse(text);
    for (const char* name : {"doc_hash", "prompt_hash", "target_hash"})
      sha.update(line.at(name).get_ref<const std::string&>());
  }
  return sha.hex();
}

std::string results_json(const ExportRun& run, std::span<const ExportedTask> tasks,
                         std::span<const TaskResult> results,
                         const std::map<std::string, std::string>& hashes) {
  ordered_json groups = ordered_json::object(), subtasks = ordered_json::object(),
               figures = ordered_json::object();
  ordered_json configs = ordered_json::object(), versions = ordered_json::object(),
               shots = ordered_json::object(), better = ordered_json::object(),
               samples = ordered_json::object(), task_hashes = ordered_json::object();
  for (const TaskResult& result : results) {
    // The harness shows groups among the tasks, too.
    figures[result.name] = figures_of(result);
    shots[result.name] = result.shots;
    if (!result.group) continue;
    groups[result.name] = figures_of(result);
    subtasks[result.name] = result.group->groups.empty() ? result.group->tasks : result.group->groups;
    versions[result.name] = 2.0;
    better[result.name] = ordered_json::object();
    for (const TaskFigure& figure : result.figures) better[result.name][figure.metric] = true;
  }
  for (const ExportedTask& exported : tasks) {
    const TemplateTask& task = *exported.task;
    configs[task.name()] = config_of(task);
    versions[task.name()] = std::strtod(task.rules().version.c_str(), nullptr);
    better[task.name()] = ordered_json::object();
    for (const std::string& metric : task.rules().metrics)
      better[task.name()][metric] = higher_is_better(metric);
    samples[task.name()] = {{"original", exported.corpus->documents.size()},
                            {"effective", exported.scored.size()}};
    if (const auto hash = hashes.find(task.name()); hash != hashes.end())
      task_hashes[task.name()] = hash->second;
  }
  const std::string source = run.model.spec.empty() ? run.label : run.model.spec;
  ordered_json all = {{"results", figures}};
  if (!groups.empty()) all["groups"] = groups;
  all["group_subtasks"] = subtasks;
  all["configs"] = configs;
  all["versions"] = versions;
  all["n-shot"] = shots;
  all["higher_is_better"] = better;
  all["n-samples"] = samples;
  all["config"] = {{"model", "deciban"},
                   {"model_args", fmt::format("pretrained={},mode={}", source, run.model.format)},
                   {"model_num_parameters", run.model.parameters},
                   {"model_dtype", run.model.format},
                   {"model_revision", ""},
                   {"model_sha", run.model.digest},
                   {"batch_size", 1},
                   {"batch_sizes", ordered_json::array()},
                   {"device", run.model.device},
                   {"use_cache", nullptr},
                   {"limit", limit_of(run.limit)},
                   {"bootstrap_iters", run.resamples},
                   {"gen_kwargs", nullptr},
                   {"random_seed", 0},
                   {"numpy_seed", 1234},
                   {"torch_seed", 1234},
                   {"fewshot_seed", run.seed}};
  all["git_hash"] = run.commit;
  all["date"] = run.started;
  all["pretty_env_info"] =
      fmt::format("deciban {} ({}), {} on {}", run.version, run.commit, run.model.kernels, run.model.device);
  all["transformers_version"] = nullptr;
  all["lm_eval_version"] = fmt::format("deciban {}", run.version);
  all["upper_git_hash"] = nullptr;
  if (run.model.start_token) all["eot_token_id"] = *run.model.start_token;
  all["max_length"] = run.length > 0 ? ordered_json(run.length) : ordered_json(nullptr);
  all["task_hashes"] = task_hashes;
  all["model_source"] = "deciban";
  all["model_name"] = run.label;
  all["model_name_sanitized"] = sanitised_name(run.label);
  all["system_instruction"] = nullptr;
  all["system_instruction_sha"] = nullptr;
  all["fewshot_as_multiturn"] = false;
  all["chat_template"] = nullptr;
  all["chat_template_sha"] = nullptr;
  all["total_evaluation_time_seconds"] = python::repr(run.seconds);
  return dumped(all, 2);
}

std::string sanitised_name(const std::string& name) {
  std::string result;
  bool within = false;
  for (const char c : name) {
    const bool bad = std::string_view("\"<>:/\\|?*[]").find(c) != std::string_view::npos;
    if (bad && !within) result += "__";
    if (!bad) result += c;
    within = bad;
  }
  return result;
}

std::filesystem::path export_results(const std::filesystem::path& target, const ExportRun& run,
                                     std::span<const ExportedTask> tasks,
                                     std::span<const TaskResult> results) {
  std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : ".", file = target;
  std::string suffix;
  if (target.extension() == ".json") {
    const std::string stem = target.stem().string();
    if (stem.starts_with("results_")) suffix = stem.substr(7);
  } else {
    folder = target / sanitised_name(run.label);
    suffix = "_" + date_name(run.started);
    file = folder / fmt::format("results{}.json", suffix);
  }
  std::map<std::string, std::string> hashes;
  for (const ExportedTask& task : tasks) {
    std::vector<std::string> lines;
    for (const auto& [document, record] : task.scored)
      lines.push_back(sample_line(*task.task, *task.corpus, document, *record));
    hashes[task.task->name()] = samples_hash(lines);
    write_whole_file(folder / fmt::format("samples_{}{}.jsonl", task.task->name(), suffix),
                     fmt::format("{}\n", fmt::join(lines, "\n")));
  }
  write_whole_file(file, results_json(run, tasks, results, hashes));
  return file;
}

}  // namespace deciban
