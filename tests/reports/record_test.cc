#include "reports/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "reports/random.h"
#include "tests/reports/record_samples.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Record, JsonHasOneFixedForm) {
  Record record;
  record.key = "00ff";
  record.model = "rwkv7-0.1b";
  record.task = "compression";
  record.windowing = "whole";
  record.corpus = "arxiv";
  record.document = "a \"b\"\n\\";
  record.tokens = 5;
  record.scored_tokens = 4;
  record.bytes = 18446744073709551615u;
  record.logprob = -97505.41100000001;
  record.seconds = 2;
  EXPECT_EQ(
      to_json_line(record),
      R"({"key":"00ff","model":"rwkv7-0.1b","task":"compression","windowing":"whole","corpus":"arxiv",)"
      R"("document":"a \"b\"\n\\","status":"ok","tokens":5,"scored_tokens":4,"bytes":18446744073709551615,)"
      R"("characters":0,"unscored_bytes":0,"lossy_bytes":0,"logprob":-97505.41100000001,"seconds":2.0})");
  record.status = "failed";
  record.reason = "bad";
  record.labels = {{"published", "2026-04-01"}, {"category", "cs.CL"}};
  record.queries = {{-1.5, true, 2, 7}, {0, false, 0, 0}};
  record.measures = {{"accuracy", {1, 2}}, {"bits", {0.1, 1e300}}};
  EXPECT_THAT(to_json_line(record),
              testing::EndsWith(R"("seconds":2.0,"labels":{"category":"cs.CL","published":"2026-04-01"},)"
                                R"("queries":[{"logprob":-1.5,"greedy":true,"tokens":2,"bytes":7},)"
                                R"({"logprob":0.0,"greedy":false,"tokens":0,"bytes":0}],)"
                                R"("measures":{"accuracy":{"sum":1.0,"weight":2.0},)"
                                R"("bits":{"sum":0.1,"weight":1e+300}}})"));
  EXPECT_THAT(to_json_line(record), HasSubstr(R"("status":"failed","reason":"bad","tokens":5)"));
}

TEST(Record, WhatIsWrittenIsRead) {
  Random random(11);
  for (int i = 0; i < 3000; ++i) {
    const Record record = random_record(random);
    const std::string line = to_json_line(record);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const Record read = record_from_json(line);
    EXPECT_EQ(to_json_line(read), line);
    expect_same(read, record);
  }
}

TEST(Record, DoublesKeepTheirBits) {
  Random random(12);
  std::vector<double> values{0.0,
                             -0.0,
                             0.1,
                             1.0 / 3,
                             5e-324,
                             std::numeric_limits<double>::max(),
                             1e23,
                             -1e15,
                             9007199254740993.0,
                             123456789012345680.0};
  while (values.size() < 20000) {
    const double value = std::bit_cast<double>(random.next());
    if (std::isfinite(value)) values.push_back(value);
  }
  for (const double value : values) {
    Record record;
    record.logprob = value;
    record.measures["m"] = {value, -value};
    const Record read = record_from_json(to_json_line(record));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(read.logprob), std::bit_cast<std::uint64_t>(value));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(read.measures.at("m").weight),
              std::bit_cast<std::uint64_t>(-value));
  }
}

TEST(Record, NumbersThatAreNotFiniteAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinite = std::numeric_limits<double>::infinity();
  Record record;
  record.document = "paper 7";
  record.logprob = -infinite;
  EXPECT_THAT(message_of([&] { to_json_line(record); }),
              AllOf(HasSubstr("paper 7"), HasSubstr("logprob"), HasSubstr("-inf")));
  record.logprob = 0;
  record.seconds = nan;
  EXPECT_THAT(message_of([&] { to_json_line(record); }), HasSubstr("seconds is nan"));
  record.seconds = 0;
  record.queries = {{infinite, true, 1, 1}};
  EXPECT_THAT(message_of([&] { to_json_line(record); }), HasSubstr("queries.logprob is inf"));
  record.queries.clear();
  record.measures["acc"] = {0, nan};
  EXPECT_THAT(message_of([&] { to_json_line(record); }), HasSubstr("measures.acc is nan"));
}

TEST(Record, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  Record record;
  record.reason = "cannot read caf\xe9";
  EXPECT_EQ(record_from_json(to_json_line(record)).reason, "cannot read caf\xef\xbf\xbd");
}

TEST(Record, UnknownKeysAreLeftAlone) {
  std::string line = to_json_line(Record{});
  line.insert(1, R"("later":{"x":[1]},)");
  EXPECT_EQ(to_json_line(record_from_json(line)), to_json_line(Record{}));
}

TEST(Record, WrongFieldsAreNamed) {
  Record record;
  record.reason = "r";
  record.labels = {{"a", "b"}};
  record.queries = {{0, true, 1, 1}};
  record.measures = {{"m", {1, 1}}};
  const std::string good = to_json_line(record);
  const auto error = [&](const std::string& from, const std::string& to) {
    std::string line = good;
    const std::size_t place = line.find(from);
    EXPECT_NE(place, std::string::npos) << from;
    line.replace(place, from.size(), to);
    return message_of([&] { record_from_json(line); });
  };
  EXPECT_THAT(error(R"("model":"")", R"("modell":"")"), HasSubstr("`model` is missing"));
  EXPECT_THAT(error(R"("model":"")", R"("model":3)"), HasSubstr("`model` is 3, not a string"));
  EXPECT_THAT(error(R"("status":"ok")", R"("status":"done")"), HasSubstr("`status` is \"done\""));
  EXPECT_THAT(error(R"("tokens":0)", R"("tokens":-1)"), HasSubstr("`tokens` is -1, not a count"));
  EXPECT_THAT(error(R"("tokens":0)", R"("tokens":1.5)"), HasSubstr("`tokens` is 1.5, not a count"));
  EXPECT_THAT(error(R"("logprob":0.0)", R"("logprob":null)"), HasSubstr("`logprob` is null, not a number"));
  EXPECT_THAT(error(R"("logprob":0.0)", R"("logprob":1e999)"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error(R"("reason":"r")", R"("reason":[])"), HasSubstr("`reason`"));
  EXPECT_THAT(error(R"({"a":"b"})", R"({"a":1})"), HasSubstr("`labels.a` is 1"));
  EXPECT_THAT(error(R"({"a":"b"})", R"([])"), HasSubstr("`labels` is []"));
  EXPECT_THAT(error(R"("greedy":true)", R"("greedy":1)"), HasSubstr("`greedy` is 1, not true or false"));
  EXPECT_THAT(error(R"([{"logprob")", R"([1,{"logprob")"), HasSubstr("`queries` is 1, not an object"));
  EXPECT_THAT(error(R"({"sum":1.0,)", R"({)"), HasSubstr("`sum` is missing"));
  EXPECT_THAT(error(R"({"m":{"sum":1.0,"weight":1.0}})", R"({"m":2})"), HasSubstr("`measures.m` is 2"));
  EXPECT_THAT(message_of([] { record_from_json("[]"); }), HasSubstr("array, not an object"));
  EXPECT_THAT(message_of([] { record_from_json(""); }), HasSubstr("not valid JSON"));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_THROW(record_from_json(std::string_view(good).substr(0, size)), std::runtime_error) << size;
  }
}

TEST(Record, KeyDependsOnEveryFieldAndItsBorders) {
  const RunIdentity base{"model", "tokenizer", "f32", "f32", "avx2", 1, "compression", "1", "whole", "bos"};
  std::set<std::string> keys{record_key(base, "document")};
  const auto with = [&](auto change) {
    RunIdentity other = base;
    change(other);
    return record_key(other, "document");
  };
  keys.insert(with([](RunIdentity& i) { i.model_digest = "x"; }));
  keys.insert(with([](RunIdentity& i) { i.tokenizer_digest = "x"; }));
  keys.insert(with([](RunIdentity& i) { i.weight_format = "x"; }));
  keys.insert(with([](RunIdentity& i) { i.activation_format = "x"; }));
  keys.insert(with([](RunIdentity& i) { i.kernels = "x"; }));
  keys.insert(with([](RunIdentity& i) { i.numerics_version = 2; }));
  keys.insert(with([](RunIdentity& i) { i.task = "x"; }));
  keys.insert(with([](RunIdentity& i) { i.task_version = "x"; }));
  keys.insert(with([](RunIdentity& i) { i.windowing = "x"; }));
  keys.insert(with([](RunIdentity& i) { i.start_token = "x"; }));
  keys.insert(record_key(base, "other"));
  // The same characters, cut elsewhere; and a field that imitates the borders.
  keys.insert(with([](RunIdentity& i) { i.model_digest = "modelt", i.tokenizer_digest = "okenizer"; }));
  keys.insert(with([](RunIdentity& i) { i.model_digest = "model9:tokenizer", i.tokenizer_digest = ""; }));
  keys.insert(with([](RunIdentity& i) { i.numerics_version = 11, i.task = "ompression"; }));
  EXPECT_EQ(keys.size(), 15u);
  for (const std::string& key : keys) {
    EXPECT_EQ(key.size(), 32u);
    EXPECT_EQ(key.find_first_not_of("0123456789abcdef"), std::string::npos);
  }
}

TEST(Record, KeyIsTheSameForEver) {
  const RunIdentity identity{"m",  "t", "bf16", "f32", "avx2", 3, "compression", "1", "tokens:2048:1024",
                             "bos"};
  // printf '16:deciban record 11:m1:t4:bf163:f324:avx21:311:compression1:116:tokens:2048:10243:bos1:d' |
  // sha256sum
  EXPECT_EQ(record_key(identity, "d"), "a7e78366a57fc1d2c2212b190867309c");
}

TEST(ReadRecords, FilesDirectoriesAndRepeats) {
  ScratchDirectory scratch;
  const auto line = [](const char* key, const char* document, const char* status, double logprob) {
    Record record;
    record.key = key;
    record.document = document;
    record.status = status;
    record.logprob = logprob;
    return to_json_line(record) + "\n";
  };
  scratch.write("run/records.1-of-2.jsonl",
                line("a", "1", "failed", 1) + line("b", "2", "ok", 2) + line("c", "3", "ok", 3));
  scratch.write("run/records.2-of-2.jsonl",
                line("a", "1", "ok", 4) + line("b", "2", "failed", 5) + line("b", "2x", "ok", 6));
  scratch.write("run/run.json", "{}");
  scratch.write("run/scores.bin", "zz");
  scratch.write("more.jsonl",
                line("c", "3", "ok", 7) + "\n" + line("d", "4", "failed", 8) + line("d", "4", "failed", 9));
  std::vector<double> logprobs;
  for (const Record& record : read_records({scratch / "run", scratch / "more.jsonl"}))
    logprobs.push_back(record.logprob);
  EXPECT_THAT(logprobs, ElementsAre(4, 2, 7, 6, 9));
}

TEST(ReadRecords, TornAndBadLines) {
  ScratchDirectory scratch;
  const std::string good = to_json_line(Record{}) + "\n";
  EXPECT_EQ(read_records({scratch.write("torn.jsonl", good + good.substr(0, 30))}).size(), 1u);
  EXPECT_EQ(read_records({scratch.write("torn2.jsonl", good + good.substr(0, 30) + "\n")}).size(), 1u);
  EXPECT_EQ(read_records({scratch.write("zeros.jsonl", good + std::string(500, '\0'))}).size(), 1u);
  EXPECT_EQ(read_records({scratch.write("no-newline.jsonl", good.substr(0, good.size() - 1))}).size(), 1u);
  EXPECT_EQ(read_records({scratch.write("empty.jsonl", "")}).size(), 0u);
  EXPECT_THAT(message_of([&] { read_records({scratch.write("bad.jsonl", good + "{\"key\"\n" + good)}); }),
              AllOf(HasSubstr("bad.jsonl:2: "), HasSubstr("not valid JSON")));
  EXPECT_THAT(message_of([&] { read_records({scratch.write("foreign.jsonl", "\n{\"a\":1}\n")}); }),
              AllOf(HasSubstr("foreign.jsonl:2: "), HasSubstr("`key` is missing")));
  EXPECT_THAT(message_of([&] { read_records({scratch / "none.jsonl"}); }), HasSubstr("No such file"));
  std::filesystem::create_directory(scratch / "void");
  EXPECT_THAT(message_of([&] { read_records({scratch / "void"}); }), HasSubstr("is no run"));
}

}  // namespace
}  // namespace deciban
