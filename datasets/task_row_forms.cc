#include "datasets/task_row_forms.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace deciban {
namespace {

const TaskRow& at(const TaskRow& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  if (!object.is_object() || found == object.end())
    throw std::runtime_error(fmt::format("`{}` is missing", name));
  return *found;
}

std::string text_at(const TaskRow& object, const char* name) {
  const TaskRow& value = at(object, name);
  if (!value.is_string()) throw std::runtime_error(fmt::format("`{}` is no text", name));
  return value.get<std::string>();
}

std::int64_t integer(const TaskRow& value, const char* name) {
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_string()) {
    const auto& word = value.get_ref<const std::string&>();
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error == std::errc{} && end == word.data() + word.size() && !word.empty()) return number;
  }
  throw std::runtime_error(fmt::format("`{}` is no integer", name));
}

// White space of ASCII at both ends, which is all that the exams have.
std::string stripped(std::string text) {
  constexpr std::string_view kBlank = " \t\n\r\f\v";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlank) + 1 - first);
}

std::vector<TaskRow> boolq_rows(TaskRow row) {
  if (!row.contains("label") && row.contains("answer")) row["label"] = row["answer"];
  if (row.contains("label") && row["label"].is_boolean()) row["label"] = row["label"].get<bool>() ? 1 : 0;
  return {std::move(row)};
}

std::vector<TaskRow> hellaswag_rows(TaskRow row) {
  if (row.contains("label") && row["label"].is_number_integer()) row["label"] = row["label"].dump();
  return {std::move(row)};
}

// {"exams": {NAME: {"name", "year", "category", "data": [question, …]}}}
std::vector<TaskRow> headqa_rows(TaskRow value) {
  if (!value.contains("exams")) return {std::move(value)};
  std::vector<TaskRow> rows;
  for (const TaskRow& exam : at(value, "exams")) {
    for (const TaskRow& question : at(exam, "data")) {
      TaskRow row;
      row["name"] = stripped(text_at(exam, "name"));
      row["year"] = exam.contains("year") && exam["year"].is_number() ? exam["year"].dump()
                                                                      : stripped(text_at(exam, "year"));
      row["category"] = stripped(text_at(exam, "category"));
      row["qid"] = integer(at(question, "qid"), "qid");
      row["qtext"] = stripped(text_at(question, "qtext"));
      row["ra"] = integer(at(question, "ra"), "ra");
      row["answers"] = TaskRow::array();
      for (const TaskRow& answer : at(question, "answers")) {
        row["answers"].push_back(
            {{"aid", integer(at(answer, "aid"), "aid")}, {"atext", stripped(text_at(answer, "atext"))}});
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::vector<TaskRow> lambada_lines(std::string_view text) {
  std::vector<TaskRow> rows;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) rows.push_back({{"text", std::string(line)}});
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return rows;
}

// Code points [from, to] of a text.
std::string characters_between(std::string_view text, std::size_t from, std::size_t to) {
  std::string result;
  std::size_t place = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
    if (begins && i > 0) ++place;
    if (place > to) break;
    if (place >= from) result += text[i];
  }
  return result;
}

void add_once(TaskRow& list, std::string text) {
  if (std::find(list.begin(), list.end(), TaskRow(text)) == list.end()) list.push_back(std::move(text));
}

// {"passage": {"text", "entities": [{"start", "end"}]}, "qas": [{"query", "answers": [{"text"}], "idx"}],
// "idx"}
std::vector<TaskRow> record_rows(TaskRow value) {
  if (!value.contains("qas")) return {std::move(value)};
  const TaskRow& passage = at(value, "passage");
  const std::string text = text_at(passage, "text");
  TaskRow entities = TaskRow::array();
  for (const TaskRow& entity : at(passage, "entities")) {
    const auto start = integer(at(entity, "start"), "start"), end = integer(at(entity, "end"), "end");
    if (start < 0 || end < start) throw std::runtime_error("an entity's offsets are wrong");
    add_once(entities,
             characters_between(text, static_cast<std::size_t>(start), static_cast<std::size_t>(end)));
  }
  std::vector<TaskRow> rows;
  for (const TaskRow& question : at(value, "qas")) {
    TaskRow answers = TaskRow::array();
    for (const TaskRow& answer : at(question, "answers")) add_once(answers, text_at(answer, "text"));
    rows.push_back({{"passage", text},
                    {"query", text_at(question, "query")},
                    {"entities", entities},
                    {"answers", std::move(answers)},
                    {"idx",
                     {{"passage", value.value("idx", TaskRow(nullptr))},
                      {"query", question.value("idx", TaskRow(nullptr))}}}});
  }
  return rows;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

// " = Title = " opens a page; " = = Section = = " does not.
bool opens_page(std::string_view line) {
  const std::string heading = stripped(replaced(replaced(std::string(line), "= = =", "==="), "= =", "=="));
  return heading.starts_with("= ") && heading.ends_with(" =");
}

std::vector<TaskRow> wikitext_pages(std::string_view text) {
  std::vector<TaskRow> rows;
  std::string page;
  bool begun = false;
  const auto emit = [&] {
    if (!stripped(page).empty()) rows.push_back({{"page", page}});
    page.clear();
    begun = false;
  };
  for (;;) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (opens_page(line)) emit();
    if (begun) page += '\n';
    page += line;
    begun = true;
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  emit();
  return rows;
}

using Names = std::vector<std::string_view>;
Names no_names(std::string_view) { return {}; }

constexpr TaskForm kForms[] = {
    {"boolq", nullptr, boolq_rows,
     [](std::string_view split) -> Names {
       return split == "validation" ? Names{"val.jsonl", "dev.jsonl"} : Names{};
     }},
    {"headqa", nullptr, headqa_rows,
     [](std::string_view split) -> Names {
       return split == "test"    ? Names{"test_HEAD_EN.json"}
              : split == "train" ? Names{"train_HEAD_EN.json"}
                                 : Names{"dev_HEAD_EN.json"};
     }},
    {"hellaswag", nullptr, hellaswag_rows,
     [](std::string_view split) -> Names {
       return split == "train" ? Names{"hellaswag_train.jsonl"} : Names{"hellaswag_val.jsonl"};
     }},
    {"lambada", lambada_lines, nullptr,
     [](std::string_view split) -> Names {
       return split == "test" ? Names{"lambada_test.jsonl", "lambada_test_plain_text.txt"}
                              : Names{"lambada_development_plain_text.txt"};
     }},
    {"piqa", nullptr, nullptr,
     [](std::string_view split) -> Names { return split == "validation" ? Names{"valid.jsonl"} : Names{}; }},
    {"record", nullptr, record_rows,
     [](std::string_view split) -> Names { return split == "validation" ? Names{"val.jsonl"} : Names{}; }},
    {"wikitext", wikitext_pages, nullptr,
     [](std::string_view split) -> Names { return split == "test" ? Names{"wiki.test.raw"} : Names{}; }},
    {"", nullptr, nullptr, no_names},
};

}  // namespace

const TaskForm* find_task_form(std::string_view name) {
  const auto* found = std::find_if(std::begin(kForms), std::end(kForms),
                                   [&](const TaskForm& form) { return form.name == name; });
  return found == std::end(kForms) ? nullptr : found;
}

}  // namespace deciban
