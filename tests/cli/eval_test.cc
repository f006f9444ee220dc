// deciban eval from end to end on the embedded model: tables, records, resuming, shards, and what can go
// wrong.
#include "cli/eval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "reports/record.h"
#include "tests/cli/program.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class EvalCommand : public ProgramTest {
 protected:
  // What records say but for timings, by model, corpus and document.
  static std::map<std::string, std::string> records(const std::string& directory) {
    std::map<std::string, std::string> result;
    for (Record record : read_records({directory})) {
      record.seconds = 0;
      const std::string id = fmt::format("{}|{}|{}", record.model, record.corpus, record.document);
      EXPECT_TRUE(result.emplace(id, to_json_line(record)).second) << id << " is there twice";
    }
    return result;
  }
  static std::size_t lines(const std::string& path) {
    const std::string text = read(path);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
  // eval of the embedded model, with these words added.
  Ended eval_demo(const std::string& texts, const std::string& output, std::vector<std::string> more = {},
                  const std::map<std::string, std::string>& environment = {}) const {
    return deciban_program(demo_words(texts, output, std::move(more)), environment);
  }
  static std::vector<std::string> demo_words(const std::string& texts, const std::string& output,
                                             std::vector<std::string> more = {}) {
    std::vector<std::string> words{"eval", "-m", demo_model(), "-c", texts, "-o", output};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(EvalCommand, PrintsATableWithIntervalsAndCompressors) {
  const Ended ended = eval_demo(corpus(12), at("run"));
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const char* word : {"bits/byte", "95 %", "rate %", "rwkv7", "xz -9e", "zstd -19 --ultra", "solid",
                           " … ", "12 documents", "window whole", "start bos"}) {
    EXPECT_THAT(ended.out, HasSubstr(word));
  }
  EXPECT_THAT(ended.err, HasSubstr(at("run")));
  std::istringstream lines(ended.out);
  for (std::string line; std::getline(lines, line);)
    EXPECT_LE(line.size(), 80u + 8) << line;  // some are multi-byte
}

TEST_F(EvalCommand, FewDocumentsGetNoInterval) {
  const Ended ended = eval_demo(corpus(3), at("run"), {"--no-compressors"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("fewer than 10 documents"));
  EXPECT_THAT(ended.out, Not(HasSubstr(" … ")));
  EXPECT_THAT(ended.out, Not(HasSubstr("xz")));
}

TEST_F(EvalCommand, EveryFormatSaysTheSame) {
  const std::string texts = corpus(12);
  const Ended lines = eval_demo(texts, at("run"), {"--format", "jsonl", "--export", at("table.csv")});
  ASSERT_EQ(lines.code, 0) << lines.err;
  const json first = json::parse(lines.out.substr(0, lines.out.find('\n')));
  EXPECT_EQ(first["model"], "rwkv7");
  EXPECT_EQ(first["documents"], 12);
  EXPECT_EQ(first["parameters"], 2116416);
  EXPECT_LT(first["bits_per_byte_low"], first["bits_per_byte"]);
  EXPECT_LT(first["bits_per_byte"], first["bits_per_byte_high"]);
  EXPECT_NEAR(first["compression_rate_percent"].get<double>(), 12.5 * first["bits_per_byte"].get<double>(),
              1e-9);
  EXPECT_GT(first["peak_memory_bytes"], 4'000'000);
  EXPECT_THAT(read(at("table.csv")), HasSubstr("bits_per_byte_low"));
  const json list = json::parse(eval_demo(texts, at("run"), {"--format", "json"}).out);
  EXPECT_EQ(list[0]["bits_per_byte"], first["bits_per_byte"]);
  EXPECT_THAT(eval_demo(texts, at("run"), {"--format", "md"}).out, HasSubstr("| ---: |"));
}

TEST_F(EvalCommand, SeveralCorporaArePooledAndAveraged) {
  const Ended ended = deciban_program({"eval", "-m", demo_model(), "-c", corpus(11, 100, "a.json"),
                                       corpus(12, 300, "b.json"), "-o", at("run"), "--format", "json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  std::map<std::string, json> rows;
  for (const json& row : json::parse(ended.out)) {
    if (row["model"] == "rwkv7") rows[row["corpus"]] = row;
  }
  ASSERT_TRUE(rows.contains("a") && rows.contains("b") && rows.contains("all bytes") &&
              rows.contains("mean of corpora"));
  const auto bits = [&](const char* name) { return rows[name]["bits_per_byte"].get<double>(); };
  const auto bytes = [&](const char* name) { return rows[name]["bytes"].get<double>(); };
  EXPECT_NEAR(bits("mean of corpora"), (bits("a") + bits("b")) / 2, 1e-12);
  EXPECT_NEAR(bits("all bytes"),
              (bits("a") * bytes("a") + bits("b") * bytes("b")) / (bytes("a") + bytes("b")), 1e-12);
  EXPECT_FALSE(rows["all bytes"]["bits_per_byte_low"].is_null());
}

TEST_F(EvalCommand, TheSecondTimeNothingIsLeftToDo) {
  const std::string texts = corpus(12);
  const Ended first = eval_demo(texts, at("run"), {"--limit", "5"});
  ASSERT_EQ(first.code, 0) << first.err;
  const Ended second = eval_demo(texts, at("run"));
  EXPECT_THAT(second.err, HasSubstr("5 of 12 documents were scored before"));
  const Ended third = eval_demo(texts, at("run"), {"--format", "json"});
  EXPECT_THAT(third.err, HasSubstr("12 of 12 documents were scored before"));
  const Ended once = eval_demo(texts, at("once"), {"--format", "json"});
  EXPECT_EQ(records(at("run")).size(),
            records(at("once")).size() + 4);  // the solid archives of the first five
  EXPECT_EQ(json::parse(third.out)[0]["bits_per_byte"], json::parse(once.out)[0]["bits_per_byte"]);
  EXPECT_EQ(json::parse(third.out)[0]["bits_per_byte_low"], json::parse(once.out)[0]["bits_per_byte_low"]);
}

TEST_F(EvalCommand, RunJsonSaysWhatWasRun) {
  ASSERT_EQ(eval_demo(corpus(3), at("run"), {"--seed", "7", "--threads", "1"}).code, 0);
  ASSERT_EQ(eval_demo(corpus(2, 50, "other.json"), at("run"), {"--label", "other"}).code, 0);
  const json run = json::parse(read(at("run/run.json")));
  EXPECT_EQ(run["models"].size(), 2u);
  EXPECT_EQ(run["models"][0]["label"], "rwkv7");
  EXPECT_EQ(run["models"][0]["digest"].get<std::string>().size(), 64u);
  EXPECT_EQ(run["models"][0]["parameters"], 2116416);
  EXPECT_GT(run["models"][0]["peak_memory_bytes"], 0);
  EXPECT_EQ(run["corpora"].size(), 2u);
  ASSERT_EQ(run["runs"].size(), 2u);
  const json& first = run["runs"][0];
  EXPECT_EQ(first["status"], "done");
  EXPECT_EQ(first["seed"], 7);
  EXPECT_EQ(first["policies"]["window"], "auto");
  EXPECT_THAT(first["command"].dump(), HasSubstr("--seed"));
  EXPECT_FALSE(first["machine"]["cpu"].get<std::string>().empty());
  EXPECT_LE(first["started"], first["ended"]);
  EXPECT_TRUE(run["tasks"]["compression"]["measures"].contains("bits_per_byte"));
}

TEST_F(EvalCommand, BytesOfTheSameTextsDoNotDependOnTheThreads) {
  const std::string texts = corpus(6, 400);
  ASSERT_EQ(eval_demo(texts, at("one"), {"--threads", "1", "--batch", "7"}).code, 0);
  ASSERT_EQ(eval_demo(texts, at("two"), {"--threads", "2"}).code, 0);
  EXPECT_EQ(records(at("one")), records(at("two")));
}

TEST_F(EvalCommand, ShardsAndCatAreOneRun) {
  const std::string texts = corpus(9);
  ASSERT_EQ(eval_demo(texts, at("once"), {"--no-compressors"}).code, 0);
  for (const char* shard : {"1/3", "2/3"}) {
    const Ended ended = eval_demo(texts, at("shards"), {"--no-compressors", "--shard", shard});
    ASSERT_EQ(ended.code, 0) << ended.err;
    EXPECT_THAT(ended.out, HasSubstr(fmt::format("shard {}", shard)));
  }
  const Ended launched =
      eval_demo(texts, at("shards"), {"--no-compressors"}, {{"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "3"}});
  ASSERT_EQ(launched.code, 0) << launched.err;
  EXPECT_THAT(launched.err, HasSubstr("SLURM_PROCID=2"));
  EXPECT_EQ(records(at("shards")), records(at("once")));
  std::string joined;
  for (const auto& entry : std::filesystem::directory_iterator(at("shards"))) {
    if (entry.path().filename().string().starts_with("records.")) joined += read(entry.path());
  }
  EXPECT_EQ(records(write("joined.jsonl", joined)), records(at("once")));
  const Ended off = eval_demo(texts, at("off"), {"--no-compressors", "--shard", "off"},
                              {{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}});
  EXPECT_EQ(records(at("off")), records(at("once")));
}

TEST_F(EvalCommand, ShardsNeedADirectory) {
  const Ended ended = deciban_program({"eval", "-m", demo_model(), "-c", corpus(3), "--shard", "1/2"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("-o DIR"));
}

TEST_F(EvalCommand, OneFailedDocumentIsExitCodeThree) {
  const std::string texts =
      write("rows.jsonl", "{\"text\": \"fine\"}\n{\"txt\": \"no text\"}\n{\"text\": \"fine as well\"}\n");
  const Ended ended = eval_demo(texts, at("run"));
  EXPECT_EQ(ended.code, 3) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("1 failed"));
  EXPECT_THAT(ended.err, HasSubstr("warning: rwkv7: 1 of 3 documents failed"));
}

TEST_F(EvalCommand, FilesThatAreNotThereOrNotWhatTheyShouldBe) {
  const std::string texts = corpus(2);
  const auto fails = [&](const std::string& model, const std::string& corpus, const std::string& named) {
    const Ended ended = deciban_program({"eval", "-m", model, "-c", corpus, "-o", at("run")});
    EXPECT_EQ(ended.code, 1) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("error: "));
    EXPECT_THAT(ended.err, HasSubstr(named));
    EXPECT_EQ(ended.out, "");
  };
  fails(at("none.pth"), texts, "none.pth");
  fails(demo_model(), at("none.json"), "none.json");
  fails(write("broken.pth", "not a checkpoint"), texts, "broken.pth");
  fails(demo_model(), write("broken.json", "[\"a\", "), "broken.json");
  std::filesystem::create_directories(at("empty"));
  fails(at("empty"), texts, "empty");
}

TEST_F(EvalCommand, TwoRunsInOneDirectoryAreRefused) {
  const std::string texts = corpus(60, 400);
  std::vector<std::string> words = demo_words(texts, at("run"));
  words.insert(words.begin(), DECIBAN_PROGRAM);
  Program first(words);
  while (!std::filesystem::exists(at("run/records.jsonl")))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  first.signal(SIGSTOP);
  const Ended second = eval_demo(texts, at("run"));
  first.signal(SIGCONT);
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.err, HasSubstr(at("run")));
  first.signal(SIGKILL);
  first.wait();
  EXPECT_EQ(eval_demo(corpus(1, 20, "small.json"), at("run")).code, 0);  // the lock died with its owner
}

TEST_F(EvalCommand, ControlCKeepsWhatIsThereAndTheRerunFinishes) {
  const std::string texts = corpus(40, 500);
  std::vector<std::string> words = demo_words(texts, at("run"), {"--no-compressors", "--threads", "1"});
  words.insert(words.begin(), DECIBAN_PROGRAM);
  Program program(words);
  while (!std::filesystem::exists(at("run/records.jsonl")))
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  program.signal(SIGINT);
  const Ended ended = program.wait();
  EXPECT_EQ(ended.code, 130) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("the same command goes on"));
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(json::parse(read(at("run/run.json")))["runs"][0]["status"], "interrupted");
  ASSERT_EQ(eval_demo(texts, at("run"), {"--no-compressors"}).code, 0);
  ASSERT_EQ(eval_demo(texts, at("once"), {"--no-compressors"}).code, 0);
  EXPECT_EQ(records(at("run")), records(at("once")));
}

TEST_F(EvalCommand, KilledAtTwentyRandomMomentsEqualsUninterrupted) {
  const std::string texts = corpus(40, 300);
  ASSERT_EQ(eval_demo(texts, at("once"), {"--token-scores"}).code, 0);
  const std::size_t all = lines(at("once/records.jsonl"));
  std::mt19937 random(2026);
  int killed = 0;
  for (int round = 0; round < 5; ++round) {
    const std::string run = at(fmt::format("run{}", round));
    for (int kill = 0; kill < 4; ++kill) {
      const std::size_t there = lines(run + "/records.jsonl");
      std::vector<std::string> words = demo_words(texts, run, {"--token-scores"});
      words.insert(words.begin(), DECIBAN_PROGRAM);
      Program program(words);
      // Moments are spread over the work, not over the clock, so that a busy machine does not make them all
      // too late.
      const std::size_t until = there + random() % ((all - there) / 2 + 1);
      const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      while (lines(run + "/records.jsonl") < until && std::chrono::steady_clock::now() < patience) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
      program.signal(SIGKILL);
      killed += program.wait().code == 128 + SIGKILL;
    }
    const Ended last = eval_demo(texts, run, {"--token-scores"});
    ASSERT_EQ(last.code, 0) << last.err;
    EXPECT_EQ(records(run), records(at("once")));
    EXPECT_EQ(std::filesystem::file_size(run + "/scores.bin"),
              std::filesystem::file_size(at("once/scores.bin")));
  }
  EXPECT_GE(killed, 15) << "most of the twenty should have been killed before their end";
}

TEST_F(EvalCommand, ATornLastLineIsDropped) {
  const std::string texts = corpus(5);
  ASSERT_EQ(eval_demo(texts, at("run")).code, 0);
  const auto before = records(at("run"));
  const std::string text = read(at("run/records.jsonl"));
  write("run/records.jsonl", text.substr(0, text.size() - 20));
  ASSERT_EQ(eval_demo(texts, at("run")).code, 0);
  EXPECT_EQ(records(at("run")), before);
}

// Runs `script` as root of a namespace of its own, where it may mount; code 77 if the system forbids that.
Ended mounted(const std::string& script) {
  return Program({"unshare", "-r", "-m", "sh", "-c", script}).wait();
}
bool may_mount(const std::string& folder) {
  return mounted(fmt::format("mount -t tmpfs -o size=64k none '{}'", folder)).code == 0;
}

TEST_F(EvalCommand, AFullDiskIsOneClearError) {
  const std::string disk = at("disk");
  std::filesystem::create_directories(disk);
  if (!may_mount(disk)) GTEST_SKIP() << "the system does not let this user mount a small file system";
  const Ended ended =
      mounted(fmt::format("mount -t tmpfs -o size=64k none '{0}' && exec '{1}' eval -m '{2}' -c '{3}' -o "
                          "'{0}/run' --token-scores "
                          "--no-compressors",
                          disk, DECIBAN_PROGRAM, demo_model(), corpus(200, 200)));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("No space left on device"));
  EXPECT_EQ(ended.err.find("error:"), ended.err.rfind("error:")) << ended.err;
}

TEST_F(EvalCommand, AReadOnlyDirectoryIsOneClearError) {
  const std::string disk = at("disk");
  std::filesystem::create_directories(disk);
  if (!may_mount(disk)) GTEST_SKIP() << "the system does not let this user mount a small file system";
  const Ended ended = mounted(fmt::format(
      "mount -t tmpfs -o size=64k,ro none '{0}' && exec '{1}' eval -m '{2}' -c '{3}' -o '{0}/run'", disk,
      DECIBAN_PROGRAM, demo_model(), corpus(2)));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("Read-only file system"));
  EXPECT_EQ(ended.err.find("error:"), ended.err.rfind("error:")) << ended.err;
}

TEST_F(EvalCommand, TokenScoresArePrintedAsJsonLines) {
  ASSERT_EQ(eval_demo(corpus(3), at("run"), {"--token-scores", "--no-compressors", "--start", "none"}).code,
            0);
  const Ended ended = deciban_program({"info", at("run/scores.bin")});
  ASSERT_EQ(ended.code, 0) << ended.err;
  std::map<std::string, double> sums;
  std::istringstream lines(ended.out);
  for (std::string line; std::getline(lines, line);) {
    const json document = json::parse(line);
    const json& query = document["queries"][0];
    EXPECT_TRUE(query["logprob"][0].is_null());  // nothing stands before the first token
    EXPECT_EQ(query["best"][0], -1);
    double sum = 0;
    for (std::size_t i = 1; i < query["tokens"].size(); ++i) sum += query["logprob"][i].get<double>();
    sums[document["key"]] = sum;
  }
  ASSERT_EQ(sums.size(), 3u);
  for (const Record& record : read_records({at("run")}))
    EXPECT_NEAR(sums.at(record.key), record.logprob, 1e-3);
}

TEST_F(EvalCommand, UnscoredBytesAreShownAndCharged) {
  const Ended ended = eval_demo(corpus(12), at("run"), {"--start", "none", "--no-compressors"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("charged"));
  EXPECT_THAT(ended.out, HasSubstr("8 bits each"));
  const json row = json::parse(
      eval_demo(corpus(12), at("run"), {"--start", "none", "--no-compressors", "--format", "json"}).out)[0];
  EXPECT_EQ(row["unscored_bytes"], 12);
  EXPECT_NEAR(row["bits_per_byte_charged"].get<double>(),
              row["bits_per_byte"].get<double>() + 8.0 * 12 / row["bytes"].get<double>(), 1e-9);
}

TEST_F(EvalCommand, QuietIsQuiet) {
  const Ended ended = eval_demo(corpus(3), at("run"), {"-q"});
  EXPECT_EQ(ended.err, "");
  EXPECT_NE(ended.out, "");
}

TEST_F(EvalCommand, HostileNamesCannotTalkToTheTerminal) {
  const std::string texts =
      write("a\x1b[31mred.jsonl",
            "{\"text\": \"fine\", \"id\": \"\\u001b[2J\"}\n{\"id\": \"\\u001b[2J\\u202e\"}\n");
  const Ended ended = eval_demo(texts, at("run"));
  EXPECT_EQ(ended.code, 3) << ended.err;
  EXPECT_THAT(ended.out + ended.err, Not(HasSubstr("\x1b")));
}

TEST_F(EvalCommand, MissingOutputDirectoryNamesOneAfterDateAndModel) {
  const std::string texts = corpus(2);
  const Ended ended = Program({"sh", "-c",
                               fmt::format("cd '{}' && exec '{}' eval -m '{}' -c '{}'", at(""),
                                           DECIBAN_PROGRAM, demo_model(), texts)})
                          .wait();
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, testing::ContainsRegex("runs/[0-9]+-[0-9]+-[0-9]+-rwkv7"));
  EXPECT_TRUE(std::filesystem::is_directory(at("runs")));
}

TEST_F(EvalCommand, DryRunCounts) {
  const Ended bytes =
      deciban_program({"eval", "--dry-run", "--tokenizer", "bytes", "-c", corpus(4), "--format", "json"});
  ASSERT_EQ(bytes.code, 0) << bytes.err;
  const json row = json::parse(bytes.out)[0];
  EXPECT_EQ(row["documents"], 4);
  EXPECT_EQ(row["tokens"], row["bytes"]);
  EXPECT_FALSE(std::filesystem::exists(at("runs")));
}

TEST_F(EvalCommand, DryRunCountsThePublishedSample) {
  DECIBAN_NEEDS_SHARED("data/uncheatable/uncheatable_2026-04_sample20/arxiv_cs.json");
  DECIBAN_NEEDS_SHARED("data/tokenizers/rwkv_vocab_v20230424.txt");
  const std::string vocabulary = shared("data/tokenizers/rwkv_vocab_v20230424.txt");
  const Ended ended =
      deciban_program({"eval", "--dry-run", "--tokenizer", vocabulary, "-c",
                       shared("data/uncheatable/uncheatable_2026-04_sample20/arxiv_cs.json")});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("239648"));
  EXPECT_THAT(ended.out, HasSubstr("49323"));
}

TEST_F(EvalCommand, PublishedReferenceOfTheDemoModelIsMet) {
  // reference.json: PyTorch's sums with no start token, documents cut to 4096 bytes.
  DECIBAN_NEEDS_SHARED("data/uncheatable/dev.json");
  const json reference =
      json::parse(read((source_dir() / "datasets/demo/rwkv7/reference.json").string()))["sets"]["dev"];
  json texts = json::parse(read(shared("data/uncheatable/dev.json")));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::string text = texts[i];
    text.resize(reference["docs"][i]["bytes"].get<std::size_t>());
    texts[i] = text;
  }
  const std::string file = write("dev.json", texts.dump());
  const std::pair<const char*, const char*> windows[] = {{"whole", "nll"},
                                                         {"uncheatable:1024", "nll_chunk1024"}};
  for (const auto& [window, name] : windows) {
    const Ended ended = eval_demo(
        file, at(window), {"--start", "none", "--window", window, "--mode", "f32", "--no-compressors"});
    ASSERT_EQ(ended.code, 0) << ended.err;
    for (const Record& record : read_records({at(window)})) {
      const double expected = reference["docs"][std::stoul(record.document)][name];
      EXPECT_NEAR(-record.logprob, expected, 1e-5 * expected) << window << " " << record.document;
    }
  }
}

}  // namespace
}  // namespace deciban
