#include "datasets/task_rows.h"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

#include "datasets/input_file.h"
#include "datasets/sha256.h"
#include "datasets/task_row_forms.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

// [{"text", "label"}, …] → {"text": […], "label": […]}, as the hub has it.
void turn_choices(TaskRow& row) {
  const auto choices = row.find("choices");
  if (choices == row.end() || !choices->is_array() || choices->empty() || !choices->front().is_object())
    return;
  TaskRow turned;
  turned["text"] = TaskRow::array();
  turned["label"] = TaskRow::array();
  for (const TaskRow& choice : *choices) {
    if (!choice.is_object() || !choice.contains("text") || !choice.contains("label")) return;
    turned["text"].push_back(choice["text"]);
    turned["label"].push_back(choice["label"]);
  }
  *choices = std::move(turned);
}

class Reader {
 public:
  Reader(Corpus& corpus, const TaskForm& form) : corpus_(corpus), form_(form) {}

  // One JSON value: a row, a wrapped row, a page of rows, or what the form takes apart.
  void take(TaskRow value, const std::string& place) {
    try {
      if (!value.is_object()) throw std::runtime_error(fmt::format("a row is of type {}", value.type_name()));
      if (value.contains("row") && value["row"].is_object() && value.contains("row_idx")) {
        if (value.contains("truncated_cells") && !value["truncated_cells"].empty())
          throw std::runtime_error("the datasets server cut cells of this row: fetch it again");
        value = TaskRow(value["row"]);
      } else if (value.contains("rows") && value["rows"].is_array() && value.contains("features")) {
        for (const TaskRow& row : value["rows"]) take(row, place);
        return;
      }
      if (!form_.from_json) {
        add(std::move(value));
        return;
      }
      for (TaskRow& row : form_.from_json(std::move(value))) add(std::move(row));
    } catch (const std::runtime_error& error) {
      bad(fmt::format("{}: {}", place, error.what()));
    } catch (const nlohmann::json::exception& error) {
      bad(fmt::format("{}: {}", place, error.what()));
    }
  }

  void add(TaskRow row) {
    turn_choices(row);
    Document document;
    document.text = row.dump();
    document.digest = Sha256::of(document.text);
    document.fields = row;
    push(std::move(document));
  }

  void bad(std::string reason) {
    Document document;
    document.fields = nlohmann::json::object();
    document.digest = Sha256::of(reason);
    document.error = std::move(reason);
    push(std::move(document));
  }

 private:
  void push(Document document) {
    document.id = fmt::format("{}", corpus_.documents.size());
    corpus_.documents.push_back(std::move(document));
  }
  Corpus& corpus_;
  const TaskForm& form_;
};

TaskRow parsed(std::string_view text, const std::string& place) {
  try {
    return TaskRow::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(fmt::format("{}: not valid JSON: {}", place, error.what()));
  }
}

void read_lines(std::string_view text, Reader& reader) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string place = fmt::format("line {}", number);
    try {
      reader.take(parsed(line, place), place);
    } catch (const std::runtime_error& error) {
      reader.bad(error.what());
    }
  }
}

// PIQA's labels stand in a file of their own.
void join_labels(Corpus& corpus, const fs::path& path) {
  const auto lacks = [](const Document& row) { return row.error.empty() && !row.fields.contains("label"); };
  if (corpus.documents.empty() || !lacks(corpus.documents.front())) return;
  const fs::path file = path.parent_path() / (path.stem().string() + "-labels.lst");
  std::ifstream in(file);
  if (!in)
    throw std::runtime_error(
        fmt::format("{} has no labels, and there is no {}", path.string(), file.string()));
  for (Document& row : corpus.documents) {
    int label = 0;
    if (!(in >> label))
      throw std::runtime_error(
          fmt::format("{}: there are fewer labels than rows in {}", file.string(), path.string()));
    row.fields["label"] = label;
    TaskRow whole = TaskRow::parse(row.text, nullptr, false);
    if (!whole.is_object()) continue;
    whole["label"] = label;
    row.text = whole.dump();
    row.digest = Sha256::of(row.text);
  }
  int more = 0;
  if (in >> more)
    throw std::runtime_error(
        fmt::format("{}: there are more labels than rows in {}", file.string(), path.string()));
}

}  // namespace

Corpus read_task_rows(const fs::path& path, std::string_view form_name) {
  const TaskForm* form = find_task_form(form_name);
  if (!form) throw std::invalid_argument(fmt::format("there is no form of task data '{}'", form_name));
  Corpus corpus;
  corpus.path = path.string();
  corpus.name = path.stem().string();
  corpus.kind = "rows";
  InputFile file(path);
  const std::string whole = file.take_rest();
  corpus.digest = file.digest();
  std::string_view text = whole;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) throw std::runtime_error(fmt::format("{} is empty", corpus.path));
  Reader reader(corpus, *form);
  const bool json_name = path.extension() == ".json" || path.extension() == ".jsonl";
  if (form->from_text && !json_name) {
    for (TaskRow& row : form->from_text(text)) reader.add(std::move(row));
  } else if (text[start] == '[' || path.extension() == ".json") {
    TaskRow value = parsed(text, corpus.path);
    if (value.is_array()) {
      for (std::size_t i = 0; i < value.size(); ++i) reader.take(value[i], fmt::format("item {}", i));
    } else {
      reader.take(std::move(value), "the file");
    }
  } else if (text[start] == '{') {
    read_lines(text, reader);
  } else {
    throw std::runtime_error(fmt::format("{}: neither JSON Lines nor a JSON list of rows", corpus.path));
  }
  if (form->name == "piqa") join_labels(corpus, path);
  if (corpus.documents.empty()) throw std::runtime_error(fmt::format("{} holds no rows", corpus.path));
  const auto& first = corpus.documents.front();
  bool any = false;
  for (const Document& document : corpus.documents) any = any || document.error.empty();
  if (!any)
    throw std::runtime_error(
        fmt::format("no row of {} can be read; the first: {}", corpus.path, first.error));
  return corpus;
}

fs::path find_task_rows(const fs::path& folder, std::string_view split, std::string_view form_name) {
  std::vector<std::string> names{fmt::format("{}.jsonl", split), fmt::format("{}.json", split)};
  if (const TaskForm* form = find_task_form(form_name)) {
    for (const std::string_view name : form->file_names(split)) names.emplace_back(name);
  }
  for (const std::string& name : names) {
    if (fs::is_regular_file(folder / name)) return folder / name;
  }
  return {};
}

}  // namespace deciban
