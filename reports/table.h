// Tables for a terminal, Markdown, CSV, JSON and JSON Lines from one description.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace deciban {

enum class TableFormat { table, markdown, csv, json, jsonl };
// Throws std::invalid_argument naming the word and the known ones.
TableFormat table_format(const std::string& word);

struct Column {
  std::string title;          // for people; the key of the JSON formats is `key`
  std::string key;            // snake_case
  bool right = true;          // numbers are right-aligned
  bool machine_only = false;  // left out of table and markdown
};

// A cell: `text` for people; `value` is the JSON text of the exact value for csv/json/jsonl (empty: the text,
// as string).
struct Cell {
  std::string text;
  std::string value;
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
  std::vector<std::string> notes;  // printed below in table and markdown
};

// Terminal tables use spaces only, fit `width` by wrapping nothing but the first column's text (middle
// ellipsis), and count Unicode display width.  CSV cells that could start a formula are quoted with a leading
// apostrophe.
void print(std::ostream& out, const Table& table, TableFormat format, std::size_t width = 100);

}  // namespace deciban
