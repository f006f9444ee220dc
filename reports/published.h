// Figures that others published, to stand beside ours as grey rows: reports/published/*.json, built into the
// program.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

struct PublishedRow {
  std::string model;
  double value = 0;
  double parameters = 0;                                // 0: not stated
  std::vector<std::pair<std::string, double>> sources;  // by corpus, where the table has them
};

struct PublishedTable {
  std::string name, title, source, setting, note;
  std::string unit;  // "compression_rate_percent" or "bits_per_byte", else shown as a table only
  bool lower_is_better = true;
  std::vector<PublishedRow> rows;
  // A row's value in bits per byte; none for other units.
  std::optional<double> bits_per_byte(const PublishedRow& row) const;
};

// Throws std::runtime_error naming the field that is wrong.
PublishedTable parse_published(std::string_view json_text);
// Names of the tables that are built in.
std::vector<std::string> published_names();
// Throws std::invalid_argument for an unknown name.
PublishedTable published_table(const std::string& name);

}  // namespace deciban
