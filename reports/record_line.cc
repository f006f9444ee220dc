#include "reports/record_line.h"

#include <charconv>
#include <cstdint>
#include <string>

namespace deciban {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

// Reads from the front of a line; the first thing that is not as expected makes it fail for good.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool failed() const { return failed_; }
  bool finished() const { return !failed_ && at_ == end_; }

  // Whether the text comes next; if so it is taken.
  bool take(std::string_view text) {
    if (failed_ || static_cast<std::size_t>(end_ - at_) < text.size() ||
        std::string_view(at_, text.size()) != text)
      return false;
    at_ += text.size();
    return true;
  }
  void expect(std::string_view text) { failed_ = failed_ || !take(text); }

  std::string string() {
    expect("\"");
    const char* begin = at_;
    // Escapes, control characters and what must be checked to be UTF-8 are left to the other reader.
    while (at_ < end_ && *at_ != '"' && *at_ != '\\' && *at_ >= 0x20 && *at_ < 0x7f) ++at_;
    std::string text(begin, at_);
    expect("\"");
    return text;
  }

  std::uint64_t count() {
    const char* begin = at_;
    skip_whole();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(begin, at_, value);
    if (error != std::errc{} || end != at_) failed_ = true;
    return value;
  }

  double number() {
    const char* begin = at_;
    const bool negative = take("-");
    skip_whole();
    bool whole = true;
    if (take(".")) whole = false, skip_digits();
    if (take("e") || take("E")) {
      whole = false;
      if (!take("-")) (void)take("+");
      skip_digits();
    }
    double value = 0;
    const auto [end, error] = std::from_chars(begin, at_, value);
    // A whole -0 has no sign in JSON's numbers as they are read here: the other reader's business.
    if (error != std::errc{} || end != at_ || (whole && negative)) failed_ = true;
    return value;
  }

  bool truth() {
    if (take("true")) return true;
    expect("false");
    return false;
  }

  void field(std::string_view quoted, std::string& value) { expect(quoted), value = string(); }
  void field(std::string_view quoted, std::uint64_t& value) { expect(quoted), value = count(); }
  void field(std::string_view quoted, double& value) { expect(quoted), value = number(); }

 private:
  void skip_digits() {
    const char* begin = at_;
    while (at_ < end_ && digit(*at_)) ++at_;
    failed_ = failed_ || at_ == begin;
  }
  // A whole number as JSON has it: no zero before other digits.
  void skip_whole() {
    const char* begin = at_;
    skip_digits();
    failed_ = failed_ || (*begin == '0' && at_ - begin > 1);
  }

  const char *at_, *end_;
  bool failed_ = false;
};

}  // namespace

std::optional<Record> plain_record(std::string_view line) {
  Cursor cursor(line);
  Record record;
  cursor.field(R"({"key":)", record.key);
  cursor.field(R"(,"model":)", record.model);
  cursor.field(R"(,"task":)", record.task);
  cursor.field(R"(,"windowing":)", record.windowing);
  cursor.field(R"(,"corpus":)", record.corpus);
  cursor.field(R"(,"document":)", record.document);
  cursor.field(R"(,"status":)", record.status);
  if (record.status != "ok" && record.status != "failed") return std::nullopt;
  if (cursor.take(R"(,"reason":)")) record.reason = cursor.string();
  cursor.field(R"(,"tokens":)", record.tokens);
  cursor.field(R"(,"scored_tokens":)", record.scored_tokens);
  cursor.field(R"(,"bytes":)", record.bytes);
  cursor.field(R"(,"characters":)", record.characters);
  cursor.field(R"(,"unscored_bytes":)", record.unscored_bytes);
  cursor.field(R"(,"lossy_bytes":)", record.lossy_bytes);
  cursor.field(R"(,"logprob":)", record.logprob);
  cursor.field(R"(,"seconds":)", record.seconds);
  if (cursor.take(R"(,"labels":{)") && !cursor.take("}")) {
    do {
      const std::string name = cursor.string();
      cursor.expect(":");
      record.labels.insert_or_assign(name, cursor.string());
    } while (cursor.take(","));
    cursor.expect("}");
  }
  if (cursor.take(R"(,"queries":[)") && !cursor.take("]")) {
    do {
      QueryResult& query = record.queries.emplace_back();
      cursor.field(R"({"logprob":)", query.logprob);
      cursor.expect(R"(,"greedy":)");
      query.greedy = cursor.truth();
      cursor.field(R"(,"tokens":)", query.tokens);
      cursor.field(R"(,"bytes":)", query.bytes);
      cursor.expect("}");
    } while (cursor.take(","));
    cursor.expect("]");
  }
  if (cursor.take(R"(,"measures":{)") && !cursor.take("}")) {
    do {
      const std::string name = cursor.string();
      Measure measure;
      cursor.field(R"(:{"sum":)", measure.sum);
      cursor.field(R"(,"weight":)", measure.weight);
      cursor.expect("}");
      record.measures.insert_or_assign(name, measure);
    } while (cursor.take(","));
    cursor.expect("}");
  }
  cursor.expect("}");
  if (!cursor.finished()) return std::nullopt;
  return record;
}

}  // namespace deciban
