#include "reports/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "reports/display_text.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr std::size_t kGap = 2;               // spaces between the columns of a terminal table
constexpr std::size_t kLeastFirstColumn = 8;  // narrower, a name says nothing any more

constexpr std::array<std::pair<std::string_view, TableFormat>, 6> kFormats{{
    {"table", TableFormat::table},
    {"md", TableFormat::markdown},
    {"markdown", TableFormat::markdown},
    {"csv", TableFormat::csv},
    {"json", TableFormat::json},
    {"jsonl", TableFormat::jsonl},
}};

using Lines = std::vector<std::vector<std::string>>;

// What people see: the titles, then the rows, of the columns that are not for machines only.
Lines shown(const Table& table, std::vector<const Column*>& columns) {
  Lines lines(1 + table.rows.size());
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    if (table.columns[c].machine_only) continue;
    columns.push_back(&table.columns[c]);
    lines[0].push_back(display_text(table.columns[c].title));
    for (std::size_t r = 0; r < table.rows.size(); ++r) {
      lines[r + 1].push_back(c < table.rows[r].size() ? display_text(table.rows[r][c].text) : "");
    }
  }
  return lines;
}

void print_terminal(std::ostream& out, const Table& table, std::size_t width) {
  std::vector<const Column*> columns;
  Lines lines = shown(table, columns);
  std::vector<std::size_t> widths(columns.size(), 0);
  const auto measure = [&](std::size_t c) {
    widths[c] = 0;
    for (const auto& line : lines) widths[c] = std::max(widths[c], display_width(line[c]));
  };
  std::size_t total = 0;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    measure(c);
    total += widths[c] + (c == 0 ? 0 : kGap);
  }
  if (total > width && !columns.empty()) {
    const std::size_t excess = total - width;
    const std::size_t first = std::max(kLeastFirstColumn, widths[0] > excess ? widths[0] - excess : 0);
    for (auto& line : lines) line[0] = shorten_middle(line[0], first);
    measure(0);
  }
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) text.append(kGap, ' ');
      const std::size_t padding = widths[c] - display_width(line[c]);
      if (columns[c]->right) text.append(padding, ' ');
      text += line[c];
      if (!columns[c]->right) text.append(padding, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out << text << '\n';
  }
  for (const std::string& note : table.notes) out << display_text(note) << '\n';
}

// Every character that could start markup, quoted.  Underscores within words start none and stay readable.
std::string markdown_text(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto word = [&](std::size_t at) {
      return at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_');
    };
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '_':
        if (i == 0 || !word(i - 1) || !word(i + 1)) result += '\\';
        result += c;
        break;
      case '\\':
      case '|':
      case '`':
      case '*':
      case '[':
      case ']':
      case '~':
      case '$':
        result += '\\';
        result += c;
        break;
      default:
        result += c;
    }
  }
  return result;
}

// A note stands as a paragraph: it must not begin a heading, a list or a rule.
std::string markdown_paragraph(const std::string& text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string result = markdown_text(text);
  if (!text.empty() && std::string_view("#+-=").find(text[0]) != std::string_view::npos)
    result.insert(0, 1, '\\');
  if (digits > 0 && digits < text.size() && (text[digits] == '.' || text[digits] == ')'))
    result.insert(digits, 1, '\\');
  return result;
}

void print_markdown(std::ostream& out, const Table& table) {
  std::vector<const Column*> columns;
  const Lines lines = shown(table, columns);
  for (std::size_t l = 0; l < lines.size(); ++l) {
    out << '|';
    for (const std::string& text : lines[l]) out << ' ' << markdown_text(text) << " |";
    out << '\n';
    if (l > 0) continue;
    out << '|';
    for (const Column* column : columns) out << (column->right ? " ---: |" : " :--- |");
    out << '\n';
  }
  for (const std::string& note : table.notes) out << '\n' << markdown_paragraph(display_text(note)) << '\n';
}

// The exact value of a cell.
json exact(const Table& table, std::size_t row, std::size_t column) {
  if (column >= table.rows[row].size()) return nullptr;
  const Cell& cell = table.rows[row][column];
  if (cell.value.empty()) return cell.text;
  json value = json::parse(cell.value, nullptr, false);
  if (value.is_discarded()) {
    throw std::invalid_argument(fmt::format("table: row {}, column {}: the value {} is not JSON", row + 1,
                                            table.columns[column].key, cell.value));
  }
  return value;
}

// The JSON text of a cell as it was given, so that numbers keep their digits.
std::string exact_text(const Table& table, std::size_t row, std::size_t column) {
  const json value = exact(table, row, column);
  if (value.is_number()) return table.rows[row][column].value;
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Spreadsheets take a text that starts with one of these for a formula and compute it.
bool starts_formula(std::string_view text) {
  for (const std::string_view start : {"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"}) {
    if (text.starts_with(start)) return true;
  }
  return false;
}

bool is_number(std::string_view text) { return json::parse(text, nullptr, false).is_number(); }

std::string csv_field(std::string text) {
  if (starts_formula(text) && !is_number(text)) text.insert(0, 1, '\'');
  if (text.find_first_of(",\"\r\n") == std::string::npos && !text.starts_with(' ') && !text.ends_with(' ')) {
    return text;
  }
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

void print_csv(std::ostream& out, const Table& table) {
  const std::size_t columns = table.columns.size();
  for (std::size_t c = 0; c < columns; ++c) out << (c == 0 ? "" : ",") << csv_field(table.columns[c].key);
  out << "\r\n";
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      const json value = exact(table, r, c);
      out << (c == 0 ? "" : ",");
      if (value.is_string()) {
        out << csv_field(value.get<std::string>());
      } else if (!value.is_null()) {
        out << csv_field(exact_text(table, r, c));
      }
    }
    out << "\r\n";
  }
}

std::string object(const Table& table, std::size_t row) {
  std::string text = "{";
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    text += fmt::format("{}{}:{}", c == 0 ? "" : ",",
                        json(table.columns[c].key).dump(-1, ' ', false, json::error_handler_t::replace),
                        exact_text(table, row, c));
  }
  return text + "}";
}

void print_json(std::ostream& out, const Table& table, bool lines) {
  if (!lines) out << '[';
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    if (lines) {
      out << object(table, r) << '\n';
    } else {
      out << (r == 0 ? "\n" : ",\n") << object(table, r);
    }
  }
  if (!lines) out << (table.rows.empty() ? "]\n" : "\n]\n");
}

}  // namespace

TableFormat table_format(const std::string& word) {
  for (const auto& [name, format] : kFormats) {
    if (word == name) return format;
  }
  throw std::invalid_argument(
      fmt::format("unknown table format '{}'; known are table, md, csv, json, jsonl", word));
}

void print(std::ostream& out, const Table& table, TableFormat format, std::size_t width) {
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    if (table.rows[r].size() > table.columns.size()) {
      throw std::invalid_argument(fmt::format("table: row {} has {} cells for {} columns", r + 1,
                                              table.rows[r].size(), table.columns.size()));
    }
  }
  switch (format) {
    case TableFormat::table:
      return print_terminal(out, table, width);
    case TableFormat::markdown:
      return print_markdown(out, table);
    case TableFormat::csv:
      return print_csv(out, table);
    case TableFormat::json:
      return print_json(out, table, false);
    case TableFormat::jsonl:
      return print_json(out, table, true);
  }
}

}  // namespace deciban
