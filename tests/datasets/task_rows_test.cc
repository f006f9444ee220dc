#include "datasets/task_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/scratch_directory.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(TaskRows, KeepTheirKeysInOrderAndTheirNumbers) {
  const ScratchDirectory scratch;
  const Corpus rows =
      read_task_rows(scratch.write("x.jsonl", "{\"z\": 1, \"a\": \"\\u00e9\"}\n\n{\"z\": 2}"));
  ASSERT_EQ(rows.documents.size(), 2u);
  EXPECT_EQ(rows.documents[0].text, "{\"z\":1,\"a\":\"é\"}");
  EXPECT_EQ(rows.documents[1].id, "1");
  EXPECT_EQ(rows.documents[1].fields["z"], 2);
}

TEST(TaskRows, MayBeWrappedAsTheDatasetsServerDoes) {
  const ScratchDirectory scratch;
  const Corpus lines =
      read_task_rows(scratch.write("x.jsonl", R"({"row_idx": 5, "row": {"a": 1}, "truncated_cells": []})"));
  EXPECT_EQ(lines.documents[0].fields, json({{"a", 1}}));
  const Corpus page = read_task_rows(scratch.write(
      "p.json",
      R"({"features": [], "rows": [{"row_idx": 0, "row": {"a": 1}}, {"row_idx": 1, "row": {"a": 2}}]})"));
  ASSERT_EQ(page.documents.size(), 2u);
  EXPECT_EQ(page.documents[1].fields["a"], 2);
  const Corpus list = read_task_rows(scratch.write("l.json", R"([{"a": 1}, {"a": 2}])"));
  EXPECT_EQ(list.documents.size(), 2u);
  const Corpus cut = read_task_rows(scratch.write(
      "c.jsonl", "{\"row_idx\": 0, \"row\": {\"a\": 1}, \"truncated_cells\": [\"a\"]}\n{\"a\": 1}"));
  EXPECT_THAT(cut.documents[0].error, HasSubstr("line 1: the datasets server cut"));
}

TEST(TaskRows, ChoicesMayBeAList) {
  const ScratchDirectory scratch;
  const Corpus rows = read_task_rows(
      scratch.write("x.jsonl", R"({"choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]})"));
  EXPECT_EQ(rows.documents[0].fields["choices"], json({{"text", {"x", "y"}}, {"label", {"A", "B"}}}));
}

TEST(TaskRows, BadLinesAreErrorsOfTheirOwn) {
  const ScratchDirectory scratch;
  const Corpus rows = read_task_rows(scratch.write("x.jsonl", "{\"a\": 1}\n{broken\n[1]\n"));
  ASSERT_EQ(rows.documents.size(), 3u);
  EXPECT_THAT(rows.documents[1].error, HasSubstr("line 2: not valid JSON"));
  EXPECT_THAT(rows.documents[2].error, HasSubstr("line 3: a row is of type array"));
  EXPECT_THAT(message_of([&] { read_task_rows(scratch.write("n.jsonl", "text")); }),
              HasSubstr("neither JSON Lines"));
  EXPECT_THAT(message_of([&] { read_task_rows(scratch.write("e.jsonl", " \n")); }), HasSubstr("is empty"));
  EXPECT_THAT(message_of([&] { read_task_rows(scratch.write("b.jsonl", "{x\n")); }), HasSubstr("no row of"));
  EXPECT_THROW(read_task_rows(scratch / "x.jsonl", "nothing"), std::invalid_argument);
}

TEST(TaskRows, OriginalForms) {
  const ScratchDirectory scratch;
  const Corpus boolq = read_task_rows(scratch.write("b.jsonl", R"({"label": true})"
                                                               "\n"
                                                               R"({"answer": false})"),
                                      "boolq");
  EXPECT_EQ(boolq.documents[0].fields["label"], 1);
  EXPECT_EQ(boolq.documents[1].fields["label"], 0);
  EXPECT_EQ(
      read_task_rows(scratch.write("h.jsonl", R"({"label": 2})"), "hellaswag").documents[0].fields["label"],
      "2");
  const Corpus lambada = read_task_rows(scratch.write("l.txt", "one text\r\nanother\n"), "lambada");
  ASSERT_EQ(lambada.documents.size(), 2u);
  EXPECT_EQ(lambada.documents[0].fields["text"], "one text");
  const Corpus headqa = read_task_rows(
      scratch.write("q.json",
                    R"({"exams": {"e": {"name": "E ", "year": "2013", "category": "biology", "data": [
          {"qid": "1", "qtext": " What? ", "ra": "2", "answers": [{"aid": 1, "atext": "a "}, {"aid": "2", "atext": "b"}]}]}}})"),
      "headqa");
  EXPECT_EQ(headqa.documents[0].fields["qtext"], "What?");
  EXPECT_EQ(headqa.documents[0].fields["ra"], 2);
  EXPECT_EQ(headqa.documents[0].fields["answers"][0]["atext"], "a");
}

TEST(TaskRows, PiqasLabelsStandBeside) {
  const ScratchDirectory scratch;
  const auto file = scratch.write("valid.jsonl", "{\"goal\": \"g\"}\n{\"goal\": \"h\"}\n");
  EXPECT_THAT(message_of([&] { read_task_rows(file, "piqa"); }), HasSubstr("there is no"));
  scratch.write("valid-labels.lst", "1\n0\n");
  const Corpus rows = read_task_rows(file, "piqa");
  EXPECT_EQ(rows.documents[0].fields["label"], 1);
  EXPECT_EQ(rows.documents[1].text, R"({"goal":"h","label":0})");
  scratch.write("valid-labels.lst", "1\n");
  EXPECT_THAT(message_of([&] { read_task_rows(file, "piqa"); }), HasSubstr("fewer labels than rows"));
  EXPECT_EQ(find_task_rows(scratch.path(), "validation", "piqa"), file);
  EXPECT_TRUE(find_task_rows(scratch.path(), "train", "piqa").empty());
}

TEST(TaskRows, SuperGluesRecordBecomesTheHubs) {
  DECIBAN_NEEDS_SHARED("data/tasks/record");
  const Corpus hub = read_task_rows(shared("data/tasks/record/train32.jsonl"), "record");
  const Corpus original =
      read_task_rows(shared("data/tasks/record/train32_superglue_original.jsonl"), "record");
  ASSERT_EQ(original.documents.size(), hub.documents.size());
  const auto sorted = [](json list) {
    std::sort(list.begin(), list.end());
    return list;
  };
  for (std::size_t i = 0; i < hub.documents.size(); ++i) {
    const json &a = hub.documents[i].fields, &b = original.documents[i].fields;
    EXPECT_EQ(a["passage"], b["passage"]) << i;
    EXPECT_EQ(a["query"], b["query"]) << i;
    EXPECT_EQ(sorted(a["entities"]), sorted(b["entities"])) << i;
    EXPECT_EQ(sorted(a["answers"]), sorted(b["answers"])) << i;
  }
}

TEST(TaskRows, WikitextsRawFileBecomesPages) {
  DECIBAN_NEEDS_SHARED("data/tasks/wikitext");
  const Corpus pages = read_task_rows(shared("data/tasks/wikitext/test_document_level.jsonl"), "wikitext");
  const Corpus raw = read_task_rows(shared("data/tasks/wikitext/wiki.test.raw"), "wikitext");
  ASSERT_EQ(raw.documents.size(), 62u);
  ASSERT_EQ(pages.documents.size(), 62u);
  for (std::size_t i = 0; i < 62; ++i) EXPECT_EQ(raw.documents[i].fields, pages.documents[i].fields) << i;
}

}  // namespace
}  // namespace deciban
