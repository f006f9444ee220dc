#include "evals/template_task.h"

#include <fmt/format.h>

#include <numeric>
#include <stdexcept>

#include "datasets/sha256.h"
#include "evals/python_random.h"
#include "evals/python_text.h"
#include "evals/task_metrics.h"

namespace deciban {
namespace {

using nlohmann::json;
using Kind = TaskRules::Kind;

std::vector<std::string> texts(const Template& part, const json& row) {
  const json value = part.value(row);
  if (!value.is_array()) throw std::runtime_error(fmt::format("'{}' gives no list", part.source()));
  std::vector<std::string> result;
  for (const json& item : value) result.push_back(template_text(item));
  return result;
}

std::size_t gold_of(const Template& part, const json& row, std::size_t choices) {
  const json value = part.value(row);
  const json number =
      value.is_string() ? json::parse(value.get_ref<const std::string&>(), nullptr, false) : value;
  if (!number.is_number_integer() || number.get<std::int64_t>() < 0 ||
      number.get<std::uint64_t>() >= choices) {
    throw std::runtime_error(
        fmt::format("the right choice is {}, but there are {} choices", value.dump(), choices));
  }
  return number.get<std::size_t>();
}

}  // namespace

TemplateTask::TemplateTask(const TaskSpec& spec, TaskMode mode, FewShot shots)
    : spec_(spec), rules_(spec.rules_of(mode)), mode_(mode), shots_(shots) {
  if (shots_.count == 0) return;
  if (rules_.kind == Kind::text)
    throw std::invalid_argument(fmt::format("task {} scores whole texts: it takes no examples", spec.name));
  if (!shots_.pool) throw std::invalid_argument(fmt::format("task {} has no pool of examples", spec.name));
  const std::size_t wanted = shots_.count + (rules_.shots_drop_own ? 1 : 0);
  if (shots_.pool->documents.size() < wanted) {
    throw std::invalid_argument(fmt::format("task {}: {} examples are wanted of a pool of {} ({})", spec.name,
                                            wanted, shots_.pool->documents.size(), shots_.pool->path));
  }
}

std::map<std::string, std::string> TemplateTask::aggregations() const {
  std::map<std::string, std::string> result;
  for (const std::string& metric : rules_.metrics) result[metric] = aggregation_of(metric);
  return result;
}

void TemplateTask::prepare(const Corpus& all, std::uint64_t seed) {
  if (shots_.count == 0) return;
  auto& drawn = drawn_[all.digest];
  drawn.clear();
  PythonRandom random(seed);
  if (mode_ == TaskMode::paper) {  // the same generator has shuffled the documents before
    std::vector<std::size_t> order(all.documents.size());
    random.shuffle(order);
  }
  const std::size_t pool = shots_.pool->documents.size();
  for (const Document& document : all.documents) {
    std::vector<std::size_t> places;
    if (rules_.sampler == TaskRules::Sampler::first) {
      places.resize(shots_.count);
      std::iota(places.begin(), places.end(), std::size_t{0});
    } else {
      places = random.sample(pool, shots_.count + (rules_.shots_drop_own ? 1 : 0));
      if (rules_.shots_drop_own) {
        std::erase_if(places,
                      [&](std::size_t i) { return shots_.pool->documents[i].fields == document.fields; });
        if (places.size() > shots_.count) places.resize(shots_.count);
      }
    }
    drawn.push_back(std::move(places));
  }
}

const std::vector<std::size_t>& TemplateTask::examples(const Corpus& corpus, std::size_t document) const {
  static const std::vector<std::size_t> kNone;
  if (shots_.count == 0) return kNone;
  const auto drawn = drawn_.find(corpus.digest);
  if (drawn == drawn_.end()) throw std::logic_error(fmt::format("corpus {} was not prepared", corpus.name));
  return drawn->second.at(document);
}

json TemplateTask::with_fields(const Document& row) const {
  json fields = row.fields;
  for (const auto& [name, part] : rules_.fields) fields[name] = part.value(row.fields);
  return fields;
}

Question TemplateTask::question(const Document& row) const {
  const json fields = with_fields(row);
  Question question;
  if (rules_.kind == Kind::text) {
    question.text = rules_.text.text(fields);
    question.counted = rules_.counted.source().empty() ? question.text : rules_.counted.text(fields);
    return question;
  }
  if (rules_.kind == Kind::word) {
    question.contexts = {rules_.context.text(fields)};
    question.continuations = {rules_.continuation.text(fields)};
    question.target = question.continuations[0];
    return question;
  }
  if (rules_.contexts.empty()) {
    question.contexts = {rules_.context.text(fields)};
    if (rules_.choice_list) {
      question.continuations = texts(*rules_.choice_list, fields);
    } else {
      for (const Template& choice : rules_.choices) question.continuations.push_back(choice.text(fields));
    }
    if (question.continuations.empty()) throw std::runtime_error("there are no choices");
  } else {
    for (const Template& context : rules_.contexts) question.contexts.push_back(context.text(fields));
    question.continuations = {rules_.continuation.text(fields)};
  }
  const std::size_t choices = std::max(question.contexts.size(), question.continuations.size());
  if (rules_.labels) question.labels = texts(*rules_.labels, fields);
  if (rules_.answers) {
    question.answers = texts(*rules_.answers, fields);
    if (question.labels.size() != choices)
      throw std::runtime_error(fmt::format("{} labels for {} choices", question.labels.size(), choices));
  }
  if (rules_.gold) question.gold = gold_of(*rules_.gold, fields, choices);
  question.target = rules_.target                       ? rules_.target->text(fields)
                    : question.continuations.size() > 1 ? question.continuations[question.gold]
                                                        : question.continuations[0];
  return question;
}

const std::string& TemplateTask::example(std::size_t in_pool) const {
  const auto known = examples_.find(in_pool);
  if (known != examples_.end()) return known->second;
  const Document& row = shots_.pool->documents[in_pool];
  if (!row.error.empty()) {
    throw std::runtime_error(
        fmt::format("example {} of {} cannot be read: {}", row.id, shots_.pool->path, row.error));
  }
  Question shown;
  try {
    shown = question(row);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("example {} of {}: {}", row.id, shots_.pool->path, error.what()));
  }
  const std::string& context = shown.contexts.size() > 1 ? shown.contexts[shown.gold] : shown.contexts[0];
  return examples_[in_pool] = context + rules_.delimiter + shown.target + rules_.shots_delimiter;
}

std::vector<Query> TemplateTask::queries(const Corpus& corpus, std::size_t document) const {
  const Question asked = question(corpus.documents.at(document));
  std::vector<Query> queries;
  if (rules_.kind == Kind::text) {
    queries.push_back({"", asked.text, {}, true});
    return queries;
  }
  std::string before = rules_.description;
  if (mode_ == TaskMode::paper && !before.empty()) before += "\n\n";
  for (const std::size_t place : examples(corpus, document)) before += example(place);
  const std::string delimiter = rules_.kind == Kind::word ? "" : rules_.delimiter;
  const std::size_t choices = std::max(asked.contexts.size(), asked.continuations.size());
  for (std::size_t i = 0; i < choices; ++i) {
    const std::string& context = asked.contexts[asked.contexts.size() > 1 ? i : 0];
    const std::string& continuation = asked.continuations[asked.continuations.size() > 1 ? i : 0];
    queries.push_back({before + context, delimiter + continuation, {}, false});
  }
  return queries;
}

std::string TemplateTask::digest(const Corpus& corpus, std::size_t document) const {
  Sha256 sha;
  const auto add = [&](const std::string& text) { sha.update(fmt::format("{}:{}", text.size(), text)); };
  try {
    const Question asked = question(corpus.documents.at(document));
    for (const Query& query : queries(corpus, document)) {
      add(query.context);
      add(query.continuation);
    }
    add(fmt::format("{} {}", asked.gold, fmt::join(rules_.metrics, ",")));
    for (const auto& list : {asked.labels, asked.answers}) {
      for (const std::string& text : list) add(text);
    }
    add(asked.counted);
  } catch (const std::runtime_error&) {
    return corpus.documents.at(document).digest;  // queries() will say what is wrong
  }
  return sha.hex();
}

std::map<std::string, std::string> TemplateTask::labels(const Corpus& corpus, std::size_t document) const {
  if (!rules_.cluster) return {};
  try {
    const std::string shared = rules_.cluster->text(with_fields(corpus.documents.at(document)));
    // Questions without a passage share none.
    if (python::strip(shared).empty()) return {};
    return {{"cluster", Sha256::of(shared).substr(0, 16)}};
  } catch (const std::runtime_error&) {
    return {};
  }
}

Measures TemplateTask::judge(const Corpus& corpus, std::size_t document,
                             std::span<const QueryScore> scores) const {
  return judge_question(rules_, question(corpus.documents.at(document)), scores);
}

std::vector<std::size_t> harness_order(TaskMode mode, std::size_t rows, std::uint64_t seed) {
  std::vector<std::size_t> order(rows);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (mode == TaskMode::paper) PythonRandom(seed).shuffle(order);
  return order;
}

std::uint64_t harness_seed(TaskMode mode) { return mode == TaskMode::paper ? 42 : 1234; }

}  // namespace deciban
