#include "reports/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "reports/display_text.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::HasSubstr;

std::string printed(const Table& table, TableFormat format, std::size_t width = 100) {
  std::ostringstream out;
  print(out, table, format, width);
  return out.str();
}

Table sample() {
  Table table;
  table.columns = {{"model", "model", false},
                   {"bits/byte", "bits_per_byte"},
                   {"95 %", "interval"},
                   {"digest", "digest", false, true},
                   {"state", "state_bytes"}};
  table.rows = {{{"rwkv7-1.5b", ""},
                 {"0.6012", "0.6012345678901234"},
                 {"0.596 … 0.607", "[0.596,0.607]"},
                 {"ab12", ""},
                 {"24 MB", "25165824"}},
                {{"xz -9e", ""}, {"2.041", "2.041"}, {"–", "null"}, {"", "null"}, {"–", "null"}}};
  table.notes = {"500 documents, 1 failed"};
  return table;
}

TEST(Table, FormatsByName) {
  EXPECT_EQ(table_format("table"), TableFormat::table);
  EXPECT_EQ(table_format("md"), TableFormat::markdown);
  EXPECT_EQ(table_format("markdown"), TableFormat::markdown);
  EXPECT_EQ(table_format("csv"), TableFormat::csv);
  EXPECT_EQ(table_format("json"), TableFormat::json);
  EXPECT_EQ(table_format("jsonl"), TableFormat::jsonl);
  EXPECT_THROW(table_format("html"), std::invalid_argument);
  EXPECT_THAT(message_of([] { table_format("html"); }), AllOf(HasSubstr("'html'"), HasSubstr("jsonl")));
}

TEST(Table, Terminal) {
  EXPECT_EQ(printed(sample(), TableFormat::table),
            "model       bits/byte           95 %  state\n"
            "rwkv7-1.5b     0.6012  0.596 … 0.607  24 MB\n"
            "xz -9e          2.041              –      –\n"
            "500 documents, 1 failed\n");
}

TEST(Table, Markdown) {
  EXPECT_EQ(printed(sample(), TableFormat::markdown),
            "| model | bits/byte | 95 % | state |\n"
            "| :--- | ---: | ---: | ---: |\n"
            "| rwkv7-1.5b | 0.6012 | 0.596 … 0.607 | 24 MB |\n"
            "| xz -9e | 2.041 | – | – |\n"
            "\n"
            "500 documents, 1 failed\n");
}

TEST(Table, Csv) {
  EXPECT_EQ(printed(sample(), TableFormat::csv),
            "model,bits_per_byte,interval,digest,state_bytes\r\n"
            "rwkv7-1.5b,0.6012345678901234,\"[0.596,0.607]\",ab12,25165824\r\n"
            "xz -9e,2.041,,,\r\n");
}

TEST(Table, JsonAndJsonLines) {
  const std::string first =
      R"({"model":"rwkv7-1.5b","bits_per_byte":0.6012345678901234,"interval":[0.596,0.607],"digest":"ab12","state_bytes":25165824})";
  const std::string second =
      R"({"model":"xz -9e","bits_per_byte":2.041,"interval":null,"digest":null,"state_bytes":null})";
  EXPECT_EQ(printed(sample(), TableFormat::jsonl), first + "\n" + second + "\n");
  EXPECT_EQ(printed(sample(), TableFormat::json), "[\n" + first + ",\n" + second + "\n]\n");
}

TEST(Table, WithoutRows) {
  Table table = sample();
  table.rows.clear();
  table.notes.clear();
  EXPECT_EQ(printed(table, TableFormat::table), "model  bits/byte  95 %  state\n");
  EXPECT_EQ(printed(table, TableFormat::json), "[]\n");
  EXPECT_EQ(printed(table, TableFormat::jsonl), "");
  EXPECT_EQ(printed(Table{}, TableFormat::table), "\n");
}

TEST(Table, WidthIsMeasuredInColumnsOfTheTerminal) {
  Table table;
  table.columns = {{"name", "name", false}, {"n", "n"}};
  table.rows = {{{"漢字", ""}, {"1", ""}}, {{"e\u0301", ""}, {"12", ""}}, {{"abcdef", ""}, {"123", ""}}};
  EXPECT_EQ(printed(table, TableFormat::table),
            "name      n\n"
            "漢字      1\n"
            "e\u0301        12\n"
            "abcdef  123\n");
}

TEST(Table, OnlyTheFirstColumnIsShortened) {
  Table table = sample();
  table.rows[0][0].text = "a-very-long-model-name-with-its-format-bf16";
  const std::string text = printed(table, TableFormat::table, 60);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), 60u) << line;
  EXPECT_THAT(text, HasSubstr("a-very-long-m…s-format-bf16"));
  EXPECT_THAT(text, HasSubstr("0.596 … 0.607"));
  // Too narrow for the other columns: they stay whole, and of the name something is left.
  EXPECT_THAT(printed(table, TableFormat::table, 10),
              HasSubstr("a-ve…f16     0.6012  0.596 … 0.607  24 MB\n"));
}

TEST(Table, HostileTextsOnATerminal) {
  Table table;
  table.columns = {{"na\x1bme", "name", false}, {"n", "n"}};
  table.rows = {{{"a\nb\x1b]0;title\x07\u202e", ""}, {"1", ""}}};
  table.notes = {"note\nmore\x9b"};
  EXPECT_EQ(printed(table, TableFormat::table),
            "na�me           n\n"
            "a b�]0;title��  1\n"
            "note more�\n");
}

TEST(Table, HostileTextsInMarkdown) {
  Table table;
  table.columns = {{"a|b", "name", false}};
  table.rows = {
      {{"x|y\\|z\n# h", ""}}, {{"<script>&amp;`c` *b* [l](u) ~s~ $m$", ""}}, {{"_a_ file_name_1", ""}}};
  table.notes = {"# heading", "- item", "12. item", "3 documents", "+1", "1_000 of 2"};
  EXPECT_EQ(printed(table, TableFormat::markdown),
            "| a\\|b |\n"
            "| :--- |\n"
            "| x\\|y\\\\\\|z # h |\n"
            "| &lt;script&gt;&amp;amp;\\`c\\` \\*b\\* \\[l\\](u) \\~s\\~ \\$m\\$ |\n"
            "| \\_a\\_ file_name_1 |\n"
            "\n\\# heading\n\n\\- item\n\n12\\. item\n\n3 documents\n\n\\+1\n\n1_000 of 2\n");
}

TEST(Table, HostileTextsInCsv) {
  Table table;
  table.columns = {{"n", "n", false}};
  for (const char* text : {"=1+1", "+1+1", "-a", "@SUM(A1)", "\tx", "a,b", "say \"hi\"", "two\nlines", "-1.5",
                           "+5", "＝1", " pad", "plain"}) {
    table.rows.push_back({{text, ""}});
  }
  table.rows.push_back({{"shown", R"("=cmd|' /C calc'!A0")"}});
  table.rows.push_back({{"shown", "-0.5"}});
  EXPECT_EQ(
      printed(table, TableFormat::csv),
      "n\r\n'=1+1\r\n'+1+1\r\n'-a\r\n'@SUM(A1)\r\n'\tx\r\n\"a,b\"\r\n\"say \"\"hi\"\"\"\r\n\"two\nlines\"\r\n"
      "-1.5\r\n'+5\r\n'＝1\r\n\" pad\"\r\nplain\r\n'=cmd|' /C calc'!A0\r\n-0.5\r\n");
}

TEST(Table, HostileTextsInJson) {
  Table table;
  table.columns = {{"n", "k\"ey", false}};
  table.rows = {{{"a\"b\\\n\x01\xff", ""}}};
  const nlohmann::json read = nlohmann::json::parse(printed(table, TableFormat::json));
  EXPECT_EQ(read[0]["k\"ey"], "a\"b\\\n\x01\xef\xbf\xbd");
}

TEST(Table, NumbersKeepTheirDigits) {
  Table table;
  table.columns = {{"n", "n"}};
  table.rows = {{{"", "0.10000000000000000"}}, {{"", "12345678901234567890123"}}, {{"", "-0.0"}}};
  EXPECT_EQ(printed(table, TableFormat::csv),
            "n\r\n0.10000000000000000\r\n12345678901234567890123\r\n-0.0\r\n");
}

TEST(Table, WrongTablesAreRefused) {
  Table table = sample();
  table.rows[1][1].value = "nan";
  EXPECT_THAT(message_of([&] { printed(table, TableFormat::json); }),
              AllOf(HasSubstr("row 2"), HasSubstr("bits_per_byte"), HasSubstr("nan")));
  EXPECT_THAT(message_of([&] { printed(table, TableFormat::csv); }), HasSubstr("nan"));
  EXPECT_THAT(printed(table, TableFormat::table), HasSubstr("2.041"));
  table.rows[0].resize(6);
  EXPECT_THAT(message_of([&] { printed(table, TableFormat::table); }), HasSubstr("6 cells for 5 columns"));
  table.rows[0].resize(2);  // missing cells are empty
  EXPECT_THAT(printed(table, TableFormat::table), HasSubstr("rwkv7-1.5b     0.6012\n"));
}

}  // namespace
}  // namespace deciban
