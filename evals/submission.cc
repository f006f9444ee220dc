#include "evals/submission.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace deciban {
namespace {

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "2025-03" or "2025-03-15…" with a month and day there are.
bool is_date(std::string_view text) {
  if (text.size() < 7 || !is_digits(text.substr(0, 4)) || text[4] != '-' || !is_digits(text.substr(5, 2)))
    return false;
  const std::string_view month = text.substr(5, 2);
  if (month < "01" || month > "12") return false;
  if (text.size() == 7) return true;
  if (text.size() < 10 || text[7] != '-' || !is_digits(text.substr(8, 2))) return false;
  const std::string_view day = text.substr(8, 2);
  return day >= "01" && day <= "31";
}

// The last day of a cut-off, the first of a publication: a text counts as new only if it must be.
std::string last_day(const std::string& cutoff) { return cutoff.size() == 7 ? cutoff + "-31" : cutoff; }
std::string first_day(std::string_view published) {
  return published.size() < 10 ? std::string(published.substr(0, 7)) + "-01"
                               : std::string(published.substr(0, 10));
}

std::string published_of(const Record& record) {
  const auto found = record.labels.find("published");
  return found != record.labels.end() && is_date(found->second) ? found->second : "";
}

}  // namespace

std::string parse_cutoff(std::string_view word) {
  if (!is_date(word) || (word.size() != 7 && word.size() != 10)) {
    throw std::invalid_argument(
        fmt::format("cut-off '{}': must be a month (2025-03) or a day (2025-03-15)", word));
  }
  return std::string(word);
}

std::string later_cutoff(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return a.empty() ? b : a;
  return last_day(a) < last_day(b) ? b : a;
}

bool is_after(std::string_view published, const std::string& cutoff) {
  return is_date(published) && first_day(published) > last_day(cutoff);
}

std::vector<RecordPart> part_by_cutoff(std::span<const Record> records, const std::string& cutoff) {
  RecordPart after{"after " + cutoff, {}}, until{"until " + cutoff, {}}, undated{"undated", {}};
  for (const Record& record : records) {
    const std::string published = published_of(record);
    (published.empty() ? undated : is_after(published, cutoff) ? after : until).records.push_back(record);
  }
  std::vector<RecordPart> parts;
  for (RecordPart* part : {&after, &until, &undated}) {
    if (!part->records.empty()) parts.push_back(std::move(*part));
  }
  return parts;
}

std::vector<RecordPart> part_by_month(std::span<const Record> records) {
  std::map<std::string, std::vector<Record>, std::greater<>> months;
  for (const Record& record : records) months[published_of(record).substr(0, 7)].push_back(record);
  std::vector<RecordPart> parts;
  for (auto& [month, of_month] : months)
    parts.push_back({month.empty() ? "undated" : month, std::move(of_month)});
  return parts;
}

}  // namespace deciban
