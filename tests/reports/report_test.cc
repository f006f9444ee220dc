#include "reports/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <gumbo.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "reports/page.h"
#include "reports/surprise.h"
#include "reports/table.h"
#include "tests/reports/sample_runs.h"

namespace deciban {
namespace {

using testing::HasSubstr;
using testing::Not;

// Names and texts that try to break out of every format.
std::vector<std::string> hostile_texts() {
  return {"</script><script>alert(1)</script>",
          "\" onmouseover=\"alert(1)\" x=\"",
          "]]><svg onload=alert(1)>",
          "=HYPERLINK(\"http://evil.example\";\"x\")",
          "@SUM(1+1)|cmd",
          "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D \xE2\x80\xAE"
          "evil \xE2\x81\xA6",  // Hebrew, override, isolate
          std::string("nul") + '\0' + " start\x01 bell\x07 esc\x1b[31m tab\t nl\n cr\r",
          "bad \xff\xfe utf-8 \xc0\xaf",
          "| a | b |\n|---|---|\n# heading `code` *bold* [x](javascript:alert(1))",
          std::string(1 << 20, 'x')};
}

std::size_t parse_errors(const std::string& html) {
  GumboOutput* output = gumbo_parse_with_options(&kGumboDefaultOptions, html.data(), html.size());
  const std::size_t errors = output->errors.length;
  gumbo_destroy_output(&kGumboDefaultOptions, output);
  return errors;
}

// Element names and attribute names that a parser finds.
void collect(const GumboNode* node, std::map<std::string, int>& seen) {
  if (node->type != GUMBO_NODE_ELEMENT) return;
  const GumboElement& element = node->v.element;
  const char* name = gumbo_normalized_tagname(element.tag);
  ++seen[*name ? name : "(svg)"];
  for (unsigned i = 0; i < element.attributes.length; ++i)
    ++seen[std::string("@") + static_cast<const GumboAttribute*>(element.attributes.data[i])->name];
  for (unsigned i = 0; i < element.children.length; ++i)
    collect(static_cast<const GumboNode*>(element.children.data[i]), seen);
}

std::map<std::string, int> parts(const std::string& html) {
  GumboOutput* output = gumbo_parse_with_options(&kGumboDefaultOptions, html.data(), html.size());
  std::map<std::string, int> seen;
  collect(output->root, seen);
  gumbo_destroy_output(&kGumboDefaultOptions, output);
  return seen;
}

Collection collection_of(const std::filesystem::path& path) { return read_collection(std::vector{path}); }

TEST(Report, IsWellFormedAndLoadsNothing) {
  const ScratchDirectory scratch;
  write_run(scratch / "a", {{{"one", 1.0}, {"two", 1.001}, {"three", 1.2}, {"cut", 1.1, "tokens:64"}}});
  ReportOptions options;
  options.published = {published_table("rwkv-wiki-1.5b"), published_table("rwkv4-tasks")};
  const std::string html = report_page(collection_of(scratch / "a"), options);
  EXPECT_EQ(parse_errors(html), 0u);
  const auto seen = parts(html);
  for (const char* loads :
       {"script", "link", "img", "iframe", "object", "embed", "@src", "@onload", "@style"})
    EXPECT_FALSE(seen.contains(loads)) << loads;
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  for (const char* section : {"leaderboard", "leaderboard-2", "cost", "sources", "months", "differences",
                              "published", "provenance", "method"})
    EXPECT_THAT(html, HasSubstr(std::string("<section id=\"") + section));
  EXPECT_THAT(html, Not(HasSubstr("id=\"tasks\"")));  // no records, no section
  EXPECT_THAT(html, Not(HasSubstr("id=\"surprise\"")));
  EXPECT_THAT(html, Not(HasSubstr(">nan<")));
}

TEST(Report, HostileNamesStayTexts) {
  const ScratchDirectory scratch;
  SampleRun plain{{{"one", 1.0}, {"two", 1.1}, {"three", 1.2}}};
  plain.documents = 12;
  write_run(scratch / "plain", plain);
  const auto expected = parts(report_page(collection_of(scratch / "plain"), {}));
  int run = 0;
  for (const std::string& text : hostile_texts()) {
    SampleRun hostile = plain;
    hostile.models = {{text, 1.0}, {text + "2", 1.1}, {"three", 1.2}};
    hostile.corpora = {text, "code"};
    hostile.document_prefix = text.substr(0, 5000);
    const auto directory = scratch / fmt::format("run{}", ++run);
    write_run(directory, hostile);
    const Collection collection = collection_of(directory);
    ReportOptions options;
    options.title = text.substr(0, 10000);
    const std::string html = report_page(collection, options);
    EXPECT_EQ(parse_errors(html), 0u) << text.substr(0, 60);
    const auto seen = parts(html);
    for (const auto& [name, count] : seen)
      EXPECT_TRUE(expected.contains(name)) << name << " came of " << text.substr(0, 60);
    EXPECT_LT(html.size(), 2000000u) << text.substr(0, 60);
    for (const char* forbidden : {"\x01", "\x1b", "\xE2\x80\xAE", "\xE2\x81\xA6", "\xff"})
      EXPECT_THAT(html, Not(HasSubstr(forbidden)));

    const std::vector<Board> boards = make_boards(collection);
    for (const Table& table : {leaderboard_table(boards), source_table(boards)}) {
      std::ostringstream csv, json, markdown;
      print(csv, table, TableFormat::csv);
      print(json, table, TableFormat::json);
      print(markdown, table, TableFormat::markdown);
      EXPECT_TRUE(nlohmann::json::accept(json.str()));
      EXPECT_EQ(nlohmann::json::parse(json.str()).size(), table.rows.size());
      // No field begins a formula, and the number of rows is what it was.
      EXPECT_FALSE(std::regex_search(csv.str().substr(0, 100000), std::regex("(^|,|\\n)\"?[=@]")));
      const std::string lines = markdown.str();
      EXPECT_THAT(lines, Not(HasSubstr("<script")));
      EXPECT_THAT(lines, Not(HasSubstr("\x1b")));
      std::istringstream stream(lines);
      std::size_t rows = 0;
      for (std::string line; std::getline(stream, line);) rows += line.starts_with("| ") ? 1 : 0;
      EXPECT_EQ(rows, table.rows.size() + 2);
    }
  }
}

TEST(Report, TextsAreColouredByWhatTheyCost) {
  const std::string text = "héllo wörld, again";
  TokenScores words, bytes;
  for (const std::size_t size : {6, 7, 1, 6}) {
    words.tokens.push_back(1);
    words.bytes.push_back(static_cast<std::uint32_t>(size));
    words.logprob.push_back(-static_cast<float>(size));
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    bytes.tokens.push_back(text[i]);
    bytes.bytes.push_back(1);
    bytes.logprob.push_back(-0.5f);
  }
  const auto pieces = surprise_pieces(text, words, &bytes, 1000);
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(text.substr(pieces[1].begin, pieces[1].end - pieces[1].begin), " wörld");
  EXPECT_NEAR(pieces[1].first, 7 / std::log(2.0), 1e-6);
  EXPECT_NEAR(pieces[1].second, 7 * 0.5 / std::log(2.0), 1e-6);
  EXPECT_EQ(surprise_pieces(text, bytes, nullptr, 1000).size(), 4u);  // bytes are shown as words
  bytes.bytes.back() = 9;
  EXPECT_TRUE(surprise_pieces(text, words, &bytes, 1000).empty());  // another text's tokens
}

TEST(Report, NothingScoredIsAnError) { EXPECT_THROW(report_page(Collection{}, {}), std::runtime_error); }

TEST(Published, AllTablesAreWhole) {
  ASSERT_GE(published_names().size(), 10u);
  for (const std::string& name : published_names()) {
    const PublishedTable table = published_table(name);
    EXPECT_EQ(table.name, name);
    EXPECT_FALSE(table.source.empty()) << name;
    EXPECT_GE(table.rows.size(), 4u) << name;
  }
  EXPECT_THROW(published_table("nothing"), std::invalid_argument);
  EXPECT_THROW(parse_published("[]"), std::runtime_error);
  EXPECT_THROW(
      parse_published(R"({"name":"x","title":"x","source":"x","setting":"x","unit":"x","rows":[{}]})"),
      std::runtime_error);
}

// WCAG 2: relative luminance and contrast of the style's own colours.
double luminance(const std::string& hex) {
  const auto channel = [&](std::size_t at) {
    const double value = std::stoi(hex.substr(at, 2), nullptr, 16) / 255.0;
    return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

double contrast(const std::string& a, const std::string& b) {
  const double x = luminance(a), y = luminance(b);
  return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

TEST(PageStyle, ContrastsHoldInBothSchemes) {
  const std::string style = page_style();
  const std::regex blocks(":root \\{([^}]*)\\}"), colours("--([a-z0-9]+): (#[0-9a-f]{6});");
  std::map<std::string, std::string> colour;
  int schemes = 0;
  for (std::sregex_iterator block(style.begin(), style.end(), blocks), end; block != end; ++block) {
    const std::string body = (*block)[1];
    for (std::sregex_iterator entry(body.begin(), body.end(), colours); entry != end; ++entry)
      colour[(*entry)[1]] = (*entry)[2];
    if (++schemes > 2) break;  // paper is the light scheme on white
    for (const char* text : {"ink", "soft", "accent", "c0", "c1", "c2", "c3", "c4", "c5"})
      EXPECT_GE(contrast(colour[text], colour["paper"]), 4.5) << text << " of scheme " << schemes;
    for (const char* text : {"ink", "soft"}) {
      for (const char* behind : {"raised", "wash", "warn"})
        EXPECT_GE(contrast(colour[text], colour[behind]), 4.5) << text << " on " << behind;
    }
    EXPECT_GE(contrast(colour["plain"], colour["paper"]), 3.0);
    for (const char* behind : {"raised", "h1", "h2", "h3", "h4", "h5", "d1", "d2", "d3"})
      EXPECT_GE(contrast(colour["heat"], colour[behind]), 4.5) << behind << " of scheme " << schemes;
  }
  EXPECT_GE(schemes, 2);
}

}  // namespace
}  // namespace deciban
