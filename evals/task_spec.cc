#include "evals/task_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "evals/builtin_tasks.h"
#include "evals/python_text.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr std::string_view kMetrics[] = {
    "acc", "acc_norm", "f1", "em", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"};

// Reads an object's members by name, and tells of those that nobody asked for.
class Members {
 public:
  Members(const json& object, std::string place) : object_(object), place_(std::move(place)) {
    if (!object.is_object()) fail("must be an object");
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument(fmt::format("{}: {}", place_, what));
  }
  const json* find(const char* name) {
    known_.emplace_back(name);
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  const json& at(const char* name) {
    const json* value = find(name);
    if (!value) fail(fmt::format("`{}` is missing", name));
    return *value;
  }
  std::string text(const json& value, const char* name) const {
    if (!value.is_string()) fail(fmt::format("`{}` must be a text", name));
    return value.get<std::string>();
  }
  std::string text(const char* name) { return text(at(name), name); }
  std::string text_or(const char* name, std::string otherwise) {
    const json* value = find(name);
    return value ? text(*value, name) : otherwise;
  }
  bool truth(const char* name, bool otherwise) {
    const json* value = find(name);
    if (!value) return otherwise;
    if (!value->is_boolean()) fail(fmt::format("`{}` must be true or false", name));
    return value->get<bool>();
  }
  std::vector<std::string> texts(const json& value, const char* name) const {
    if (!value.is_array()) fail(fmt::format("`{}` must be a list of texts", name));
    std::vector<std::string> result;
    for (const json& item : value) result.push_back(text(item, name));
    return result;
  }
  Template parsed(const std::string& source, const char* name) const {
    try {
      return Template(source);
    } catch (const std::invalid_argument& error) {
      fail(fmt::format("`{}`: {}", name, error.what()));
    }
  }
  void template_into(const char* name, Template& target) {
    if (const json* value = find(name)) target = parsed(text(*value, name), name);
  }
  void template_into(const char* name, std::optional<Template>& target) {
    if (const json* value = find(name)) target = parsed(text(*value, name), name);
  }
  // Nothing may be written that has no effect.
  void done() const {
    for (const auto& [name, value] : object_.items()) {
      if (std::find(known_.begin(), known_.end(), name) == known_.end())
        fail(fmt::format("`{}` means nothing here", name));
    }
  }

 private:
  const json& object_;
  std::string place_;
  std::vector<std::string> known_;
};

std::vector<std::pair<std::string, Template>> named_templates(Members& members, const char* name) {
  std::vector<std::pair<std::string, Template>> result;
  const json* object = members.find(name);
  if (!object) return result;
  if (!object->is_object()) members.fail(fmt::format("`{}` must be an object of templates", name));
  for (const auto& [field, value] : object->items())
    result.emplace_back(field, members.parsed(members.text(value, name), name));
  return result;
}

// Takes the rules that stand in an object; what does not stand there stays as it is.
void read_rules(Members& members, TaskRules& rules) {
  if (const json* kind = members.find("kind")) {
    const std::string word = members.text(*kind, "kind");
    if (word == "multiple_choice") {
      rules.kind = TaskRules::Kind::multiple_choice;
    } else if (word == "word") {
      rules.kind = TaskRules::Kind::word;
    } else if (word == "text") {
      rules.kind = TaskRules::Kind::text;
    } else {
      members.fail(fmt::format("`kind` is '{}'; there are multiple_choice, word and text", word));
    }
  }
  rules.version = members.text_or("version", rules.version);
  for (auto& field : named_templates(members, "fields")) rules.fields.push_back(std::move(field));
  if (const json* description = members.find("description")) {
    rules.description =
        members.parsed(members.text(*description, "description"), "description").text(json::object());
  }
  members.template_into("context", rules.context);
  if (const json* list = members.find("contexts")) {
    rules.contexts.clear();
    for (const std::string& source : members.texts(*list, "contexts"))
      rules.contexts.push_back(members.parsed(source, "contexts"));
  }
  if (const json* choices = members.find("choices")) {
    rules.choices.clear();
    rules.choice_list.reset();
    if (choices->is_string()) {
      rules.choice_list = members.parsed(choices->get<std::string>(), "choices");
    } else {
      for (const std::string& source : members.texts(*choices, "choices"))
        rules.choices.push_back(members.parsed(source, "choices"));
    }
  }
  members.template_into("continuation", rules.continuation);
  members.template_into("gold", rules.gold);
  members.template_into("labels", rules.labels);
  members.template_into("answers", rules.answers);
  members.template_into("target", rules.target);
  members.template_into("text", rules.text);
  members.template_into("counted", rules.counted);
  members.template_into("cluster", rules.cluster);
  rules.delimiter = members.text_or("delimiter", rules.delimiter);
  rules.shots_delimiter = members.text_or("shots_delimiter", rules.shots_delimiter);
  if (const json* metrics = members.find("metrics")) {
    rules.metrics = members.texts(*metrics, "metrics");
    for (const std::string& metric : rules.metrics) {
      if (std::find(std::begin(kMetrics), std::end(kMetrics), metric) == std::end(kMetrics))
        members.fail(fmt::format("there is no metric '{}'; there are {}", metric, fmt::join(kMetrics, ", ")));
    }
  }
  const std::string sampler =
      members.text_or("sampler", rules.sampler == TaskRules::Sampler::first ? "first" : "random");
  if (sampler != "first" && sampler != "random")
    members.fail(fmt::format("`sampler` is '{}'; there are random and first", sampler));
  rules.sampler = sampler == "first" ? TaskRules::Sampler::first : TaskRules::Sampler::random;
  const std::string ties = members.text_or("ties", rules.last_wins ? "last" : "first");
  if (ties != "first" && ties != "last") members.fail("`ties` must be first or last");
  rules.last_wins = ties == "last";
  rules.shots_drop_own = members.truth("shots_drop_own", rules.shots_drop_own);
}

void check_rules(const TaskRules& rules, const Members& members) {
  const auto has = [](const Template& part) { return !part.source().empty(); };
  const auto needs = [&](bool there, const char* what) {
    if (!there) members.fail(what);
  };
  const auto only = [&](std::initializer_list<std::string_view> known, const char* kind) {
    for (const std::string& metric : rules.metrics) {
      if (std::find(known.begin(), known.end(), metric) == known.end())
        members.fail(fmt::format("a task of kind {} has no metric {}; it has {}", kind, metric,
                                 fmt::join(known, ", ")));
    }
  };
  needs(!rules.metrics.empty(), "`metrics` is missing");
  switch (rules.kind) {
    case TaskRules::Kind::multiple_choice:
      needs(has(rules.context) != !rules.contexts.empty(), "there must be either `context` or `contexts`");
      if (rules.contexts.empty()) {
        needs(rules.choice_list || !rules.choices.empty(), "`choices` is missing");
      } else {
        needs(has(rules.continuation), "`contexts` need a `continuation`");
      }
      if (rules.answers) {
        needs(rules.labels.has_value(), "`answers` need `labels`, the names of the choices");
        needs(rules.target.has_value(), "`answers` need a `target`, what a few-shot example ends with");
        only({"f1", "em"}, "multiple_choice with `answers`");
      } else {
        needs(rules.gold.has_value(), "`gold` is missing, the index of the right choice");
        if (rules.contexts.empty())
          only({"acc", "acc_norm"}, "multiple_choice");
        else
          only({"acc"}, "multiple_choice with `contexts`");
      }
      break;
    case TaskRules::Kind::word:
      needs(has(rules.continuation), "`continuation` is missing");
      only({"acc", "perplexity"}, "word");
      break;
    case TaskRules::Kind::text:
      needs(has(rules.text), "`text` is missing");
      only({"word_perplexity", "byte_perplexity", "bits_per_byte"}, "text");
      break;
  }
}

// A copy of a value in which "$name" in every text is `by`.
json substituted(const json& value, const std::string& name, const std::string& by) {
  if (value.is_string()) return python::replace(value.get_ref<const std::string&>(), "$" + name, by);
  if (!value.is_structured()) return value;
  json copy = value;
  for (json& item : copy) item = substituted(item, name, by);
  return copy;
}

TaskSpec task_of(const json& object, const std::string& file) {
  TaskSpec task;
  Members members(object, file);
  task.name = members.text("name");
  if (task.name.empty() ||
      task.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != std::string::npos)
    members.fail(fmt::format("`name` is '{}': only letters, digits, '_', '-' and '.'", task.name));
  task.what = members.text_or("what", "");
  task.alias = members.text_or("alias", task.name);
  task.licence = members.text_or("licence", "not given");
  task.source = members.text_or("source", "");
  if (const json* count = members.find("documents")) {
    if (!count->is_number_unsigned()) members.fail("`documents` must be a count");
    task.documents = count->get<std::size_t>();
  }
  Members data(members.at("data"), file + ", data");
  task.data.dataset = data.text_or("dataset", "");
  task.data.config = data.text_or("config", "default");
  task.data.test = data.text_or("test", "test");
  task.data.shots = data.text_or("shots", "");
  task.data.folder = data.text_or("folder", task.name);
  task.data.form = data.text_or("form", "");
  data.done();
  task.rules.version = "1";
  read_rules(members, task.rules);
  task.exported = named_templates(members, "export");
  check_rules(task.rules, members);
  task.paper_rules = task.rules;
  if (const json* paper = members.find("paper")) {
    Members changes(*paper, file + ", paper");
    read_rules(changes, task.paper_rules);
    changes.done();
    check_rules(task.paper_rules, changes);
  }
  members.find("each");
  members.find("groups");
  members.done();
  return task;
}

// The values of the family's parameter, or none.
std::vector<std::string> family(const json& object, const std::string& file, std::string& parameter) {
  const auto each = object.find("each");
  if (each == object.end()) return {};
  if (!each->is_object() || each->size() != 1)
    throw std::invalid_argument(fmt::format("{}: `each` must be {{\"NAME\": [VALUE, …]}}", file));
  parameter = each->begin().key();
  return Members(*each, file + ", each").texts(each->begin().value(), parameter.c_str());
}

void add_groups(TaskCatalogue& catalogue, const json& object, const std::string& file) {
  const auto list = object.find("groups");
  if (list == object.end()) return;
  if (!list->is_array()) throw std::invalid_argument(fmt::format("{}: `groups` must be a list", file));
  // Groups within groups are resolved when all of the file are known.
  std::vector<TaskGroup> read;
  for (const json& item : *list) {
    Members members(item, file + ", groups");
    TaskGroup group;
    group.name = members.text("name");
    group.what = members.text_or("what", "");
    group.alias = members.text_or("alias", group.name);
    if (const json* tasks = members.find("tasks")) group.tasks = members.texts(*tasks, "tasks");
    if (const json* named = members.find("members")) {
      if (!named->is_object() || named->size() != 1)
        members.fail("`members` must be {\"NAME\": [VALUE, …]}, as `each`");
      const std::string& parameter = named->begin().key();
      for (const std::string& value : members.texts(named->begin().value(), "members"))
        group.tasks.push_back(python::replace(object.value("name", ""), "$" + parameter, value));
    }
    if (const json* groups = members.find("groups")) group.groups = members.texts(*groups, "groups");
    const std::string mean = members.text_or("mean", "weighted");
    if (mean != "weighted" && mean != "plain") members.fail("`mean` must be weighted or plain");
    group.weighted = mean == "weighted";
    if (const json* measures = members.find("measures")) {
      Members each(*measures, file + ", measures");
      for (const auto& [task, measure] : measures->items())
        group.measures[task] = each.text(measure, "measures");
    }
    members.done();
    read.push_back(std::move(group));
  }
  for (TaskGroup& group : read) {
    for (const std::string& name : group.groups) {
      const auto inner =
          std::find_if(read.begin(), read.end(), [&](const auto& g) { return g.name == name; });
      if (inner == read.end() || !inner->groups.empty())
        throw std::invalid_argument(
            fmt::format("{}: group {} has a group {}, which is not in this file or has groups itself", file,
                        group.name, name));
      group.tasks.insert(group.tasks.end(), inner->tasks.begin(), inner->tasks.end());
    }
    if (catalogue.find(group.name) || catalogue.find_group(group.name))
      throw std::invalid_argument(fmt::format("{}: the name {} is taken", file, group.name));
    catalogue.groups.push_back(group);
  }
}

}  // namespace

const TaskSpec* TaskCatalogue::find(std::string_view name) const {
  const auto found = std::find_if(tasks.begin(), tasks.end(), [&](const auto& t) { return t.name == name; });
  return found == tasks.end() ? nullptr : &*found;
}

const TaskGroup* TaskCatalogue::find_group(std::string_view name) const {
  const auto found =
      std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.name == name; });
  return found == groups.end() ? nullptr : &*found;
}

std::vector<std::string> TaskCatalogue::names() const {
  std::vector<std::string> result;
  for (const TaskGroup& group : groups) result.push_back(group.name);
  for (const TaskSpec& task : tasks) result.push_back(task.name);
  return result;
}

void add_task_file(TaskCatalogue& catalogue, const std::string& file, std::string_view text) {
  json object;
  try {
    object = json::parse(text);
  } catch (const json::exception& error) {
    throw std::invalid_argument(fmt::format("{}: not valid JSON: {}", file, error.what()));
  }
  if (!object.is_object()) throw std::invalid_argument(fmt::format("{}: must be a JSON object", file));
  const auto add = [&](const json& task) {
    TaskSpec spec = task_of(task, file);
    if (object.contains("each")) spec.family = object.value("name", "");
    if (catalogue.find(spec.name) || catalogue.find_group(spec.name))
      throw std::invalid_argument(fmt::format("{}: the name {} is taken", file, spec.name));
    catalogue.tasks.push_back(std::move(spec));
  };
  std::string parameter;
  const std::vector<std::string> values = family(object, file, parameter);
  for (std::size_t i = 0; i < values.size(); ++i) {
    json task = object;
    task.erase("each");
    task.erase("groups");
    task = substituted(task, parameter, values[i]);
    if (const auto count = task.find("documents"); count != task.end() && count->is_array()) {
      if (count->size() != values.size())
        throw std::invalid_argument(fmt::format("{}: `documents` needs a count for each task", file));
      task["documents"] = json((*count)[i]);
    }
    add(task);
  }
  if (values.empty() && object.contains("name")) add(object);
  if (!object.contains("name") && !object.contains("groups"))
    throw std::invalid_argument(fmt::format("{}: there is neither a `name` nor `groups`", file));
  add_groups(catalogue, object, file);
}

TaskCatalogue task_catalogue(const std::filesystem::path& folder) {
  TaskCatalogue catalogue;
  for (const BuiltinTask& task : builtin_tasks()) add_task_file(catalogue, std::string(task.name), task.text);
  if (folder.empty()) return catalogue;
  if (!std::filesystem::is_directory(folder))
    throw std::invalid_argument(fmt::format("--tasks-dir {}: there is no such folder", folder.string()));
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty())
    throw std::invalid_argument(fmt::format("--tasks-dir {}: there is no *.json in it", folder.string()));
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw std::runtime_error(fmt::format("cannot read {}", file.string()));
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    add_task_file(catalogue, file.string(), text);
  }
  return catalogue;
}

std::string task_mode_name(TaskMode mode) {
  return mode == TaskMode::lm_eval ? "lm-eval" : mode == TaskMode::paper ? "paper" : "rnn";
}

}  // namespace deciban
