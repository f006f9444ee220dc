#include "datasets/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "tests/scratch_directory.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// printf hello | sha256sum
constexpr char kHello[] = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

class CorpusTest : public testing::Test {
 protected:
  Corpus read(const std::string& name, std::string_view bytes) {
    return read_corpus(scratch_.write(name, bytes));
  }
  std::string error(const std::string& name, std::string_view bytes) {
    const fs::path path = scratch_.write(name, bytes);
    const std::string message = message_of([&] { read_corpus(path); });
    EXPECT_THAT(message, HasSubstr(name));
    return message;
  }
  static std::vector<std::string> ids(const Corpus& corpus) {
    std::vector<std::string> ids;
    for (const Document& document : corpus.documents) ids.push_back(document.id);
    return ids;
  }
  static std::vector<std::string> errors(const Corpus& corpus) {
    std::vector<std::string> errors;
    for (const Document& document : corpus.documents) errors.push_back(document.error);
    return errors;
  }

  ScratchDirectory scratch_;
};

TEST_F(CorpusTest, JsonListOfStrings) {
  const Corpus corpus = read("set.json", R"(["hello", "W\u00f6rter\n", "\ud83d\ude00"])");
  EXPECT_EQ(corpus.name, "set");
  EXPECT_EQ(corpus.kind, "json-list");
  EXPECT_THAT(ids(corpus), ElementsAre("0", "1", "2"));
  EXPECT_EQ(corpus.documents[0].text, "hello");
  EXPECT_EQ(corpus.documents[0].digest, kHello);
  EXPECT_EQ(corpus.documents[1].text, "Wörter\n");
  EXPECT_EQ(corpus.documents[2].text, "😀");
  EXPECT_EQ(corpus.bytes(), 5u + 8u + 4u);
  EXPECT_TRUE(corpus.documents[0].fields.is_object());
  EXPECT_THAT(errors(corpus), ElementsAre("", "", ""));
  // printf '["hello", "W\\u00f6rter\\n", "\\ud83d\\ude00"]' | sha256sum
  EXPECT_EQ(corpus.digest, "1deeb58bf12d23f303ac5a437525e47b4519c2dbcfb57371018216ea0a7797ca");
}

TEST_F(CorpusTest, JsonListOfRows) {
  const Corpus corpus = read("rows.json", R"([{"text": "a", "id": "x"}, "b", {"content": "c", "n": 3}])");
  EXPECT_EQ(corpus.kind, "json-list");
  EXPECT_THAT(ids(corpus), ElementsAre("x", "1", "2"));
  EXPECT_EQ(corpus.documents[2].text, "c");
  EXPECT_EQ(corpus.documents[2].fields, nlohmann::json({{"n", 3}}));
}

TEST_F(CorpusTest, JsonListWithOtherItemsNamesTheIndex) {
  EXPECT_THAT(error("a.json", R"(["x", 5])"), HasSubstr("item 1 of the list"));
  EXPECT_THAT(error("b.json", R"(["x", "y", ["z"]])"), HasSubstr("item 2 of the list"));
  EXPECT_THAT(error("c.json", R"([null])"), HasSubstr("item 0 of the list"));
}

TEST_F(CorpusTest, DamagedJsonListNamesThePlace) {
  EXPECT_THAT(error("cut.json", "[\"one\",\n\"two"), HasSubstr("line 2"));
  EXPECT_THAT(error("more.json", "[\"one\"]\n[\"two\"]"), HasSubstr("line 2"));
  EXPECT_THAT(error("utf8.json", "[\"a\xff\"]"), HasSubstr("UTF-8"));
}

TEST_F(CorpusTest, JsonLinesFields) {
  const Corpus corpus = read(
      "rows.jsonl", R"({"id": "p1", "text": "hello", "date": "2026-04-01", "url": "u", "content": "other"})"
                    "\r\n\n"
                    R"({"id": 17, "content": "two", "created": "Thu, 2 Dec 2022 16:11:33 GMT"})"
                    "\n"
                    R"({"text": "three", "published": "2025-01", "tokens": 3, "created": "2020-01-01"})");
  EXPECT_EQ(corpus.kind, "jsonl");
  EXPECT_THAT(errors(corpus), ElementsAre("", "", ""));
  EXPECT_THAT(ids(corpus), ElementsAre("p1", "17", "2"));
  EXPECT_EQ(corpus.documents[0].text, "hello");
  EXPECT_EQ(corpus.documents[0].published, "2026-04-01");
  EXPECT_EQ(corpus.documents[0].fields, nlohmann::json({{"url", "u"}, {"content", "other"}}));
  EXPECT_EQ(corpus.documents[1].text, "two");
  EXPECT_EQ(corpus.documents[1].published, "2022-12-02");
  EXPECT_EQ(corpus.documents[2].published, "2025-01");
  EXPECT_EQ(corpus.documents[2].fields, nlohmann::json({{"tokens", 3}, {"created", "2020-01-01"}}));
  EXPECT_TRUE(corpus.documents[2].tokens.empty());
}

TEST_F(CorpusTest, DatesOfNoKnownFormStayFields) {
  const Corpus corpus = read("rows.jsonl", R"({"text": "a", "date": "yesterday", "created": "1 Feb 2020"})");
  EXPECT_EQ(corpus.documents[0].published, "2020-02-01");
  EXPECT_EQ(corpus.documents[0].fields, nlohmann::json({{"date", "yesterday"}}));
  for (const char* word : {"", "1", "Thu, ", "99 Foo 2020", "12 Jan 20x0", "1 anF 2020", "Thu, 22"}) {
    const Corpus other = read("odd.jsonl", nlohmann::json({{"text", "a"}, {"date", word}}).dump());
    EXPECT_EQ(other.documents[0].published, "") << word;
  }
}

TEST_F(CorpusTest, Tokens) {
  const Corpus corpus = read("tokens.jsonl", R"({"tokens": [1, 258, 2147483647]})"
                                             "\n"
                                             R"({"text": "hello", "tokens": [7]})"
                                             "\n"
                                             R"({"text": "hello", "tokens": ["hello"]})");
  EXPECT_THAT(errors(corpus), ElementsAre("", "", ""));
  EXPECT_THAT(corpus.documents[0].tokens, ElementsAre(1, 258, 2147483647));
  EXPECT_EQ(corpus.documents[0].text, "");
  // printf '\1\0\0\0\2\1\0\0\377\377\377\177' | sha256sum
  EXPECT_EQ(corpus.documents[0].digest, "9d2675f2399911a6c49e9ad540c5caa9fd28c8db78b94d5008e608f1df3ee84d");
  EXPECT_THAT(corpus.documents[1].tokens, ElementsAre(7));
  EXPECT_EQ(corpus.documents[1].text, "hello");
  EXPECT_NE(corpus.documents[1].digest, kHello);
  EXPECT_TRUE(corpus.documents[2].tokens.empty());
  EXPECT_EQ(corpus.documents[2].digest, kHello);
  EXPECT_TRUE(corpus.documents[2].fields.contains("tokens"));
}

TEST_F(CorpusTest, BadRowsAreDocumentsWithErrors) {
  const Corpus corpus = read("rows.jsonl", R"({"text": "good"}
{"text": "torn
{"title": "no text"}
{"text": 5}
{"tokens": [1, -2]}
{"tokens": [2147483648]}
{"tokens": [1.5]}
{"tokens": []}
{"text": ""}
["list"]
{"id": "named", "content": null}
{"text": "good too"}
)");
  ASSERT_EQ(corpus.documents.size(), 12u);
  const std::vector<std::string> e = errors(corpus);
  EXPECT_EQ(e[0], "");
  EXPECT_THAT(e[1], StartsWith("line 2: not valid JSON: "));
  EXPECT_EQ(e[2], "line 3: the row has neither `text`, `content` nor `tokens`");
  EXPECT_EQ(e[3], "line 4: `text` is of type number, not a string");
  EXPECT_EQ(e[4], "line 5: `tokens`[1] is -2, not a token id (an integer from 0 to 2147483647)");
  EXPECT_THAT(e[5], HasSubstr("2147483648, not a token id"));
  EXPECT_THAT(e[6], HasSubstr("1.5, not a token id"));
  EXPECT_THAT(e[7], StartsWith("line 8: "));
  EXPECT_EQ(e[8], "line 9: the text is empty");
  EXPECT_EQ(e[9], "line 10: the row is of type array, not a JSON object");
  EXPECT_EQ(e[10], "line 11: `content` is of type null, not a string");
  EXPECT_EQ(e[11], "");
  EXPECT_EQ(corpus.documents[10].id, "named");
  EXPECT_EQ(corpus.documents[11].id, "11");
  for (const Document& document : corpus.documents) EXPECT_EQ(document.digest.size(), 64u);
}

TEST_F(CorpusTest, DeepNestingIsRefused) {
  const std::string deep(1000000, '[');
  EXPECT_THAT(error("deep.json", deep), HasSubstr("item 0 of the list"));
  EXPECT_THAT(error("list.json", "[{\"a\":" + deep), HasSubstr("nested deeper"));
  const Corpus corpus = read("deep.jsonl", "{\"text\": \"good\"}\n{\"a\":" + deep + "\n");
  EXPECT_THAT(corpus.documents[1].error, HasSubstr("line 2: the JSON is nested deeper"));
  EXPECT_EQ(read("deep", deep).kind, "text");
  EXPECT_EQ(read("row", "{\"text\":" + deep).kind, "text");
}

TEST_F(CorpusTest, NothingUsableIsAnError) {
  EXPECT_THAT(error("all.jsonl", "{\"a\": 1}\n{\"a\": 2}\n"), HasSubstr("line 1: the row has neither"));
  EXPECT_THAT(error("pretty.json", "{\n \"text\": \"x\"\n}\n"), HasSubstr("line 1: not valid JSON"));
}

TEST_F(CorpusTest, EmptyCorpora) {
  EXPECT_THAT(error("empty.txt", ""), HasSubstr("is empty"));
  EXPECT_THAT(error("empty.json", ""), HasSubstr("is empty"));
  EXPECT_THAT(error("list.json", " [ ] "), HasSubstr("holds no documents"));
  EXPECT_THAT(error("blank.jsonl", "\n \n"), HasSubstr("holds no documents"));
  fs::create_directory(scratch_ / "void");
  EXPECT_THAT(message_of([&] { read_corpus(scratch_ / "void"); }), HasSubstr("holds no documents"));
}

TEST_F(CorpusTest, KindComesFromTheContent) {
  EXPECT_EQ(read("list.txt", R"(["a"])").kind, "json-list");
  EXPECT_EQ(read("rows.txt", "\n{\"text\": \"a\"}\n{\"text\": \"b\"}").kind, "jsonl");
  EXPECT_EQ(read("rows.json", "{\"text\": \"a\"}\n{\"text\": \"b\"}").kind, "jsonl");
  EXPECT_EQ(read("list.jsonl", R"(["a"])").kind, "json-list");
  EXPECT_EQ(read("no-ending", R"(["a", "b"])").kind, "json-list");
  EXPECT_EQ(read("plain", "Just words.").kind, "text");
  // What only looks like JSON is a text, unless its name promises JSON.
  EXPECT_EQ(read("link.md", "[a link](http://example.org)").kind, "text");
  EXPECT_EQ(read("numbers.py", "[1, 2]").kind, "text");
  EXPECT_EQ(read("code.tex", "{\\bf bold}").kind, "text");
  EXPECT_EQ(read("settings", "{\"a\": 1}").kind, "text");
  EXPECT_EQ(read("open", "{").kind, "text");
  EXPECT_EQ(read("list", "[").kind, "text");
  EXPECT_THAT(error("words.json", "Just words."), HasSubstr("neither a JSON list"));
  EXPECT_THAT(error("link.JSON", "[a link]"), HasSubstr("line 1"));
}

TEST_F(CorpusTest, ByteOrderMarkIsSkippedInJsonOnly) {
  EXPECT_EQ(read("list.json", "\xef\xbb\xbf[\"a\"]").documents[0].text, "a");
  EXPECT_EQ(read("rows.jsonl", "\xef\xbb\xbf{\"text\": \"a\"}").documents[0].text, "a");
  EXPECT_EQ(read("text.txt", "\xef\xbb\xbfword").documents[0].text, "\xef\xbb\xbfword");
  EXPECT_EQ(read("only-mark.txt", "\xef\xbb\xbf").documents[0].text, "\xef\xbb\xbf");
}

TEST_F(CorpusTest, OneTextFile) {
  const Corpus corpus = read("speech.txt", "hello");
  EXPECT_EQ(corpus.name, "speech");
  EXPECT_THAT(ids(corpus), ElementsAre("speech.txt"));
  EXPECT_EQ(corpus.digest, kHello);
  EXPECT_EQ(corpus.documents[0].digest, kHello);
  EXPECT_EQ(read("latin1.txt", "caf\xe9").documents[0].text, "caf\xe9");
  EXPECT_THAT(error("binary.bin", std::string_view("ab\0c", 4)), HasSubstr("NUL byte at offset 2"));
}

TEST_F(CorpusTest, Folder) {
  scratch_.write("texts/b.txt", "bee");
  scratch_.write("texts/a/z.txt", "hello");
  scratch_.write("texts/a.txt", "ay");
  scratch_.write("texts/.hidden", "no");
  scratch_.write("texts/.git/config", "no");
  scratch_.write("texts/picture.bin", std::string_view("\x89PNG\0", 5));
  scratch_.write("texts/empty.txt", "");
  fs::create_symlink("b.txt", scratch_ / "texts/link.txt");
  fs::create_symlink("nowhere", scratch_ / "texts/dangling.txt");
  fs::create_directory_symlink("..", scratch_ / "texts/a/loop");
  ASSERT_EQ(::mkfifo((scratch_ / "texts/pipe").c_str(), 0600), 0);
  const Corpus corpus = read_corpus(scratch_ / "texts/");
  EXPECT_EQ(corpus.name, "texts");
  EXPECT_EQ(corpus.kind, "folder");
  EXPECT_THAT(ids(corpus), ElementsAre("a.txt", "a/z.txt", "b.txt", "empty.txt", "link.txt", "picture.bin"));
  EXPECT_THAT(errors(corpus),
              ElementsAre("", "", "", "the text is empty", "", "no text: it has a NUL byte at offset 4"));
  EXPECT_EQ(corpus.documents[1].digest, kHello);
  // cd texts; sha256sum a.txt a/z.txt b.txt empty.txt link.txt picture.bin | sha256sum
  EXPECT_EQ(corpus.digest, "19b52277ecdfc33f6cac8f266d984c64ea36bdc3618c9f299b260b08d59536ba");
}

TEST_F(CorpusTest, FolderNamesOfAnyBytes) {
  scratch_.write("odd/caf\xe9", "x");
  scratch_.write("odd/new\nline\\", "hello");
  scratch_.write("odd/ü", "y");
  const Corpus corpus = read_corpus(scratch_ / "odd");
  EXPECT_THAT(ids(corpus), ElementsAre("caf%E9", "new\nline\\", "ü"));
}

TEST_F(CorpusTest, SameNamesGetNumbers) {
  const Corpus corpus = read("rows.jsonl", R"({"id": "a", "text": "1"}
{"id": "a", "text": "2"}
{"id": "a#2", "text": "3"}
{"id": "a", "text": "4"}
{"id": "5", "text": "5"}
{"text": "6"}
)");
  EXPECT_THAT(ids(corpus), ElementsAre("a", "a#3", "a#2", "a#4", "5", "5#2"));
}

TEST_F(CorpusTest, MissingAndUnreadable) {
  EXPECT_THAT(message_of([&] { read_corpus(scratch_ / "nowhere.json"); }),
              AllOf(HasSubstr("nowhere.json"), HasSubstr("No such file")));
  EXPECT_THAT(message_of([&] { read_corpus("/dev/zero"); }), HasSubstr("neither a file nor a pipe"));
  // A link to itself fails for every user, root included.
  fs::create_symlink("loop", scratch_ / "loop");
  EXPECT_THAT(message_of([&] { read_corpus(scratch_ / "loop"); }), HasSubstr("loop"));
  if (::geteuid() != 0) {
    fs::permissions(scratch_.write("locked.txt", "x"), fs::perms::none);
    EXPECT_THAT(message_of([&] { read_corpus(scratch_ / "locked.txt"); }), HasSubstr("Permission denied"));
  }
}

TEST_F(CorpusTest, PipesAreRead) {
  const fs::path pipe = scratch_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] {
    std::ofstream out(pipe);
    for (int i = 0; i < 1000; ++i) out << R"({"text": ")" << std::string(3000, 'x') << "\"}\n";
  });
  const Corpus corpus = read_corpus(pipe);
  writer.join();
  EXPECT_EQ(corpus.documents.size(), 1000u);
  EXPECT_EQ(corpus.bytes(), 3000000u);
}

TEST_F(CorpusTest, LinesLongerThanAReadAndSplitAnywhere) {
  std::string file;
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < 40; ++i) {
    sizes.push_back(i * 7919 * (i % 7 + 1) + 1);
    file += R"({"text": ")" + std::string(sizes.back(), static_cast<char>('a' + i % 26)) + "\"}\n";
  }
  file += R"({"text": ")" + std::string(5000000, 'z') + "\"}";
  sizes.push_back(5000000);
  const Corpus corpus = read("long.jsonl", file);
  ASSERT_EQ(corpus.documents.size(), sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(corpus.documents[i].text.size(), sizes[i]);
    EXPECT_EQ(corpus.documents[i].text.find_first_not_of(corpus.documents[i].text[0]), std::string::npos);
  }
}

TEST_F(CorpusTest, BigFilesDoNotLieInMemoryTwice) {
  const fs::path path = scratch_ / "big.jsonl";
  constexpr std::size_t kRows = 8000, kText = 5000;
  {
    std::ofstream out(path);
    for (std::size_t i = 0; i < kRows; ++i) out << R"({"text": ")" << std::string(kText, 'x') << "\"}\n";
  }
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  const Corpus corpus = read_corpus(path);
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_EQ(corpus.bytes(), kRows * kText);
#ifndef __SANITIZE_ADDRESS__  // it keeps freed memory
  const double grown = static_cast<double>(after.ru_maxrss - before.ru_maxrss) * 1024;
  EXPECT_LT(grown, 1.5 * kRows * kText);
#endif
}

TEST_F(CorpusTest, RealCorpora) {
  DECIBAN_NEEDS_SHARED("data/uncheatable");
  const Corpus dev = read_corpus(shared("data/uncheatable/dev.json"));
  EXPECT_EQ(dev.kind, "json-list");
  EXPECT_EQ(dev.documents.size(), 10u);
  const Corpus sample = read_corpus(shared("data/uncheatable/uncheatable_2026-04_sample20/arxiv_cs.json"));
  EXPECT_EQ(sample.documents.size(), 20u);
  EXPECT_EQ(sample.bytes(), 239648u);
}

// The JSON library reports this by another exception than bad syntax.
TEST_F(CorpusTest, ANumberBeyondAnyRangeIsBadJson) {
  EXPECT_THAT(error("huge.json", R"(["a", 1e999])"), HasSubstr("number overflow"));
  EXPECT_THAT(error("huge.json", R"(["a", 1e999])"), testing::Not(HasSubstr("json.exception")));
}

// What a paper's abstract and conclusion are for needs no full text.
TEST_F(CorpusTest, PapersOfAbstractAndConclusion) {
  const Corpus corpus =
      read("p.jsonl", R"({"id": "1", "abstract": "A.", "conclusion": "C.", "created": "2025-01-02"})"
                      "\n"
                      R"({"abstract": "A.", "conclusion": "C.", "text": "T."})"
                      "\n"
                      R"({"abstract": "A.", "conclusion": 5})"
                      "\n");
  ASSERT_EQ(corpus.documents.size(), 3u);
  EXPECT_EQ(corpus.documents[0].text, "A.\n\nC.");
  EXPECT_EQ(corpus.documents[0].fields["abstract"], "A.");
  EXPECT_EQ(corpus.documents[0].published, "2025-01-02");
  EXPECT_EQ(corpus.documents[1].text, "T.");
  EXPECT_THAT(corpus.documents[2].error, HasSubstr("neither"));
}

}  // namespace
}  // namespace deciban
