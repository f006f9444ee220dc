#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "datasets/corpus_parts.h"
#include "datasets/sha256.h"

namespace deciban {
namespace {

using nlohmann::json;

// Deeper trees would overflow the stack of whoever walks them.
constexpr int kDepth = 256;

void check_depth(int depth) {
  if (depth > kDepth) throw NotThisKind(fmt::format("the JSON is nested deeper than {} levels", kDepth));
}

// What the JSON library says, without its own prefix "[json.exception.parse_error.101] ".
std::string reason(const json::exception& error) {
  const std::string_view text = error.what();
  const std::size_t end = text.find("] ");
  return std::string(end == std::string_view::npos ? text : text.substr(end + 2));
}

std::string little_endian(const std::vector<std::int32_t>& tokens) {
  std::string bytes;
  bytes.reserve(tokens.size() * 4);
  for (const std::int32_t token : tokens) {
    for (int shift = 0; shift < 32; shift += 8) {
      bytes += static_cast<char>(static_cast<std::uint32_t>(token) >> shift & 0xff);
    }
  }
  return bytes;
}

// The ids of an array of non-negative ints.  Otherwise empty, with the reason in `error`.
std::vector<std::int32_t> token_ids(const json& value, std::string& error) {
  std::vector<std::int32_t> tokens;
  if (!value.is_array()) {
    error = fmt::format("`tokens` is of type {}, not an array of token ids", value.type_name());
    return {};
  }
  tokens.reserve(value.size());
  for (const json& item : value) {
    if (!item.is_number_unsigned() ||
        item.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
      error =
          fmt::format("`tokens`[{}] is {}, not a token id (an integer from 0 to 2147483647)", tokens.size(),
                      item.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 40));
      return {};
    }
    tokens.push_back(item.get<std::int32_t>());
  }
  return tokens;
}

// The text's field and its value taken out of the row; empty with the reason in `error` if there is none.
std::string take_text(json& row, std::string& error) {
  for (const char* name : {"text", "content"}) {
    const auto found = row.find(name);
    if (found == row.end()) continue;
    if (found->is_string()) {
      std::string text = std::move(found->get_ref<std::string&>());
      row.erase(found);
      error.clear();
      return text;
    }
    if (error.empty()) error = fmt::format("`{}` is of type {}, not a string", name, found->type_name());
  }
  if (error.empty()) {
    // A paper's parts without its text: they are the text, and stay fields.
    const auto abstract = row.find("abstract"), conclusion = row.find("conclusion");
    if (abstract != row.end() && conclusion != row.end() && abstract->is_string() && conclusion->is_string())
      return abstract->get<std::string>() + "\n\n" + conclusion->get<std::string>();
    error = "the row has neither `text`, `content` nor `tokens`";
  }
  return "";
}

// An ISO date as it stands, the date of an e-mail style "Thu, 22 Dec 2022 16:11:33 GMT", or nothing.
std::string checked_date(std::string_view word) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (word.size() >= 7 && std::all_of(word.begin(), word.begin() + 4, digit) && word[4] == '-' &&
      digit(word[5]) && digit(word[6])) {
    return std::string(word);
  }
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (const std::size_t comma = word.find(", "); comma != std::string_view::npos)
    word.remove_prefix(comma + 2);
  const std::size_t day_digits = std::min(word.find(' '), word.size());
  if (day_digits < 1 || day_digits > 2 || word.size() < day_digits + 9 ||
      !std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(day_digits), digit)) {
    return "";
  }
  const std::string_view month = word.substr(day_digits + 1, 3), year = word.substr(day_digits + 5, 4);
  const std::size_t place = kMonths.find(month);
  if (place == std::string_view::npos || place % 3 != 0 || word[day_digits + 4] != ' ' ||
      !std::all_of(year.begin(), year.end(), digit)) {
    return "";
  }
  return fmt::format("{}-{:02}-{:0>2}", year, place / 3 + 1, word.substr(0, day_digits));
}

// A row's document.  The id stays empty if the row has none.
Document row_document(json row) {
  Document document;
  std::string error;
  std::string text = take_text(row, error);
  if (const auto found = row.find("tokens"); found != row.end()) {
    std::string token_error;
    document.tokens = token_ids(*found, token_error);
    // Beside a text, "tokens" may mean something else (a count, words): then it is a field like any other.
    if (token_error.empty()) {
      row.erase(found);
      if (!document.tokens.empty()) error.clear();
    } else if (!error.empty()) {
      error = token_error;
    }
  }
  if (const auto found = row.find("id"); found != row.end()) {
    if (found->is_string()) document.id = found->get<std::string>();
    if (found->is_number_integer()) document.id = found->dump();
    if (!document.id.empty()) row.erase(found);
  }
  for (const char* name : {"published", "date", "created"}) {
    const auto found = row.find(name);
    if (found == row.end() || !found->is_string()) continue;
    document.published = checked_date(found->get_ref<const std::string&>());
    if (document.published.empty()) continue;
    row.erase(found);
    break;
  }
  document.fields = std::move(row);
  if (!error.empty()) {
    document.error = std::move(error);
    document.digest = Sha256::of(document.fields.dump());
  } else if (document.tokens.empty()) {
    set_text(document, std::move(text));
  } else {
    document.text = std::move(text);
    const std::string digest = Sha256::of(little_endian(document.tokens));
    document.digest = document.text.empty() ? digest : Sha256::of(Sha256::of(document.text) + digest);
  }
  return document;
}

}  // namespace

std::vector<Document> read_json_list(std::string_view text) {
  std::vector<Document> documents;
  // Elements are taken out one by one as they are parsed, so the list never exists a second time as a tree.
  const auto take = [&documents](int depth, json::parse_event_t event, json& parsed) {
    check_depth(depth);
    if (depth == 0 && event == json::parse_event_t::object_start) {
      throw NotThisKind("it is one JSON object, not a list");
    }
    if (depth != 1 || event == json::parse_event_t::object_start || event == json::parse_event_t::key)
      return true;
    const std::size_t index = documents.size();
    if (event == json::parse_event_t::value && parsed.is_string()) {
      Document document;
      document.fields = json::object();
      set_text(document, std::move(parsed.get_ref<std::string&>()));
      documents.push_back(std::move(document));
    } else if (event == json::parse_event_t::object_end) {
      documents.push_back(row_document(std::move(parsed)));
    } else {
      throw NotThisKind(
          fmt::format("item {} of the list is neither a string nor an object with a text", index));
    }
    if (!documents.back().error.empty()) {
      documents.back().error = fmt::format("item {}: {}", index, documents.back().error);
    }
    return false;
  };
  try {
    [[maybe_unused]] const json rest = json::parse(text, take);
  } catch (const json::exception& error) {  // bad syntax, or a number beyond any range
    throw NotThisKind(reason(error));
  }
  return documents;
}

bool is_row(std::string_view line) {
  const json row = json::parse(line, nullptr, false);
  return row.is_object() && (row.contains("text") || row.contains("content") || row.contains("tokens") ||
                             (row.contains("abstract") && row.contains("conclusion")));
}

std::vector<Document> read_json_lines(InputFile& file) {
  std::vector<Document> documents;
  std::string_view line;
  for (std::size_t number = 1; file.next_line(line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Document document;
    try {
      json row = json::parse(line, [](int depth, json::parse_event_t, json&) {
        check_depth(depth);
        return true;
      });
      if (row.is_object()) {
        document = row_document(std::move(row));
      } else {
        document.error = fmt::format("the row is of type {}, not a JSON object", row.type_name());
      }
    } catch (const json::exception& error) {
      document.error = "not valid JSON: " + reason(error);
    } catch (const NotThisKind& error) {
      document.error = error.what();
    }
    if (document.digest.empty()) document.digest = Sha256::of(line);
    if (document.fields.is_null()) document.fields = json::object();
    if (!document.error.empty()) document.error = fmt::format("line {}: {}", number, document.error);
    documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace deciban
