#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "reports/random.h"
#include "reports/record.h"
#include "tests/reports/record_samples.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

Record numbered(int number, std::size_t padding = 0) {
  Record record;
  record.key = "key" + std::to_string(number);
  record.model = "m";
  record.corpus = "c";
  record.document = std::to_string(number);
  record.logprob = -0.1 * number;
  if (padding > 0) record.labels["padding"] = std::string(padding, 'x');
  return record;
}

// A process of its own that does `body` and ends; body's result is the exit code.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error("cannot fork");
    if (pid_ > 0) return;
    int code = 99;
    try {
      code = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
    }
    ::_exit(code);
  }
  ~Child() { kill(); }
  pid_t pid() const { return pid_; }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

class RunDirectoryTest : public testing::Test {
 protected:
  std::string refusal(const fs::path& path, const std::string& shard = "") {
    return message_of([&] { RunDirectory run(path, shard); });
  }
  ScratchDirectory scratch_;
  const fs::path run_ = scratch_ / "deep/run";
  const fs::path file_ = run_ / "records.jsonl";
};

TEST_F(RunDirectoryTest, WritesFindsAndResumes) {
  {
    RunDirectory run(run_);
    EXPECT_EQ(run.path(), run_);
    EXPECT_EQ(run.resumed(), 0u);
    EXPECT_EQ(run.find("key1"), nullptr);
    run.append(numbered(1));
    const Record* first = run.find("key1");
    ASSERT_NE(first, nullptr);
    for (int i = 2; i < 1000; ++i) run.append(numbered(i));
    EXPECT_EQ(first, run.find("key1"));
    EXPECT_EQ(first->logprob, -0.1);
    EXPECT_EQ(run.resumed(), 0u);
  }
  RunDirectory run(run_);
  EXPECT_EQ(run.resumed(), 999u);
  ASSERT_NE(run.find("key998"), nullptr);
  expect_same(*run.find("key998"), numbered(998));
  EXPECT_EQ(read_records({run_}).size(), 999u);
}

TEST_F(RunDirectoryTest, RandomRecordsAreReadAsWritten) {
  Random random(5);
  std::vector<Record> written;
  for (int i = 0; i < 300; ++i) {
    written.push_back(random_record(random));
    written.back().document += std::to_string(i);
  }
  for (std::size_t i = 0; i < written.size();) {
    RunDirectory run(run_);
    for (int some = 0; some < 60; ++some) run.append(written[i++]);
  }
  const std::vector<Record> read = read_records({run_});
  ASSERT_EQ(read.size(), written.size());
  for (std::size_t i = 0; i < read.size(); ++i) expect_same(read[i], written[i]);
}

TEST_F(RunDirectoryTest, FailedRecordsAreTriedAgain) {
  Record failed = numbered(1);
  failed.status = "failed";
  failed.reason = "out of memory";
  {
    RunDirectory run(run_);
    run.append(failed);
    EXPECT_EQ(run.find("key1"), nullptr);
  }
  {
    RunDirectory run(run_);
    EXPECT_EQ(run.resumed(), 0u);
    EXPECT_EQ(run.find("key1"), nullptr);
    run.append(numbered(1));
    EXPECT_NE(run.find("key1"), nullptr);
  }
  const std::vector<Record> records = read_records({run_});
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].status, "ok");
}

TEST_F(RunDirectoryTest, EqualTextsAreToldApart) {
  RunDirectory run(run_);
  Record record = numbered(1);
  run.append(record);
  EXPECT_NE(run.find("key1", "m", "c", "1"), nullptr);
  EXPECT_EQ(run.find("key1", "m", "c", "2"), nullptr);
  EXPECT_EQ(run.find("key1", "m", "other", "1"), nullptr);
  EXPECT_EQ(run.find("key1", "other", "c", "1"), nullptr);
  record.document = "2";
  run.append(record);
  EXPECT_NE(run.find("key1", "m", "c", "1"), nullptr);
  EXPECT_NE(run.find("key1", "m", "c", "2"), nullptr);
}

TEST_F(RunDirectoryTest, TornLastLineIsCutOff) {
  const std::string good = to_json_line(numbered(1)) + "\n", next = to_json_line(numbered(2)) + "\n";
  for (std::size_t size = 1; size + 1 < next.size(); size += 7) {
    for (const char* ending : {"", "\n"}) {
      scratch_.write("deep/run/records.jsonl", good + next.substr(0, size) + ending);
      RunDirectory run(run_);
      EXPECT_EQ(run.resumed(), 1u);
      EXPECT_EQ(read_all(file_), good);
      run.append(numbered(2));
      EXPECT_EQ(read_all(file_), good + next);
    }
  }
}

TEST_F(RunDirectoryTest, WholeLastLineWithoutNewlineIsKept) {
  const std::string good = to_json_line(numbered(1));
  scratch_.write("deep/run/records.jsonl", good);
  RunDirectory run(run_);
  EXPECT_EQ(run.resumed(), 1u);
  EXPECT_EQ(read_all(file_), good + "\n");
}

TEST_F(RunDirectoryTest, BadLineInTheMiddleIsRefused) {
  const std::string good = to_json_line(numbered(1)) + "\n";
  scratch_.write("deep/run/records.jsonl", good + "{\"key\":\n" + good);
  EXPECT_THAT(refusal(run_), HasSubstr("records.jsonl:2: "));
  EXPECT_EQ(read_all(file_), good + "{\"key\":\n" + good);
}

TEST_F(RunDirectoryTest, NothingIsLostWhenKilled) {
  Random random(static_cast<std::uint64_t>(::getpid()));
  int done = 0;
  for (int round = 0; round < 20; ++round) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    Child child([&] {
      RunDirectory run(run_);
      for (int i = done; i < 1000000; ++i) {
        run.append(numbered(i, static_cast<std::size_t>(i) % 3000));
        if (::write(pipe[1], &i, sizeof i) != sizeof i) return 1;
      }
      return 0;
    });
    ::close(pipe[1]);
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(500 + random.below(20000)));
      child.kill();
    });
    int acknowledged = done - 1, i = 0;
    while (::read(pipe[0], &i, sizeof i) == sizeof i) acknowledged = i;
    killer.join();
    ::close(pipe[0]);

    const std::size_t before = done == 0 && !fs::exists(file_) ? 0 : read_records({run_}).size();
    RunDirectory run(run_);
    EXPECT_EQ(run.resumed(), before);
    EXPECT_GE(static_cast<int>(run.resumed()), acknowledged + 1);
    EXPECT_LE(static_cast<int>(run.resumed()), acknowledged + 2);
    done = static_cast<int>(run.resumed());
    for (int k = 0; k < done; k += 17) ASSERT_NE(run.find("key" + std::to_string(k)), nullptr) << k;
  }
  EXPECT_GT(done, 20);
}

TEST_F(RunDirectoryTest, OneRunAtATime) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  Child child([&] {
    RunDirectory run(run_);
    if (::write(ready[1], "x", 1) != 1) return 1;
    ::pause();
    return 0;
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THAT(refusal(run_), AllOf(HasSubstr("another run is writing to " + run_.string()),
                                   HasSubstr("process " + std::to_string(child.pid()) + " on ")));
  EXPECT_THAT(refusal(run_, "1-of-2"), HasSubstr("process " + std::to_string(child.pid())));
  child.kill();
  RunDirectory run(run_);  // a killed run leaves no lock behind
  EXPECT_THAT(refusal(run_), HasSubstr("process " + std::to_string(::getpid())));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(RunDirectoryTest, ManyStartAtOnceAndOneWins) {
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(std::make_unique<Child>([&] {
      ::close(gate[1]);
      char byte;
      if (::read(gate[0], &byte, 1) != 0) return 2;
      try {
        RunDirectory run(run_);
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        return 0;
      } catch (const std::runtime_error&) {
        return 1;
      }
    }));
  }
  ::close(gate[0]);
  ::close(gate[1]);  // all of them go
  int won = 0;
  for (const auto& child : children) won += child->wait() == 0;
  EXPECT_EQ(won, 1);
}

TEST_F(RunDirectoryTest, ShardsRunTogether) {
  {
    RunDirectory first(run_, "1-of-2");
    RunDirectory second(run_, "2-of-2");
    EXPECT_THAT(refusal(run_, "1-of-2"), HasSubstr("process " + std::to_string(::getpid())));
    EXPECT_THAT(refusal(run_),
                AllOf(HasSubstr("process " + std::to_string(::getpid())), HasSubstr("shard ")));
    first.append(numbered(1));
    second.append(numbered(2));
    first.write_run_info("{\"shard\":1}");
    EXPECT_EQ(first.find("key2"), nullptr);
  }
  EXPECT_EQ(read_all(run_ / "records.1-of-2.jsonl"), to_json_line(numbered(1)) + "\n");
  EXPECT_EQ(read_all(run_ / "run.1-of-2.json"), "{\"shard\":1}\n");
  EXPECT_FALSE(fs::exists(run_ / "run.json"));
  RunDirectory again(run_, "1-of-2");
  EXPECT_EQ(again.resumed(), 2u);
  EXPECT_NE(again.find("key2"), nullptr);
  EXPECT_EQ(read_records({run_}).size(), 2u);
}

TEST_F(RunDirectoryTest, ShardsJoinedWithCatAreOneRun) {
  for (const char* shard : {"1-of-3", "2-of-3", "3-of-3"}) {
    RunDirectory run(run_, shard);
    for (int i = 0; i < 5; ++i) run.append(numbered(10 * shard[0] + i));
  }
  std::string all;
  for (const char* shard : {"1-of-3", "2-of-3", "3-of-3"}) {
    all += read_all(run_ / ("records." + std::string(shard) + ".jsonl"));
  }
  scratch_.write("joined/records.jsonl", all);
  const std::vector<Record> apart = read_records({run_}), joined = read_records({scratch_ / "joined"});
  ASSERT_EQ(joined.size(), 15u);
  for (std::size_t i = 0; i < joined.size(); ++i) expect_same(joined[i], apart[i]);
  EXPECT_EQ(RunDirectory(scratch_ / "joined").resumed(), 15u);
}

TEST_F(RunDirectoryTest, AnotherShardsTornLineIsLeftToItsWriter) {
  const std::string torn = to_json_line(numbered(1)) + "\n{\"key\":\"ke";
  scratch_.write("deep/run/records.2-of-2.jsonl", torn);
  RunDirectory run(run_, "1-of-2");
  EXPECT_EQ(run.resumed(), 1u);
  EXPECT_EQ(read_all(run_ / "records.2-of-2.jsonl"), torn);
}

TEST_F(RunDirectoryTest, ShardNamesAreChecked) {
  for (const char* name : {"../x", "a/b", "1.2", " "}) {
    EXPECT_THROW(RunDirectory(run_, name), std::invalid_argument) << name;
  }
}

TEST_F(RunDirectoryTest, RunInfoIsReplacedAsAWhole) {
  RunDirectory run(run_);
  run.write_run_info("{\"a\":1}");
  run.write_run_info("{\"b\":2}\n");
  EXPECT_EQ(read_all(run_ / "run.json"), "{\"b\":2}\n");
  fs::create_directory(run_ / "run.json.new");  // stands in the way of the new file
  EXPECT_THAT(message_of([&] { run.write_run_info("{\"c\":3}"); }), HasSubstr("run.json"));
  EXPECT_EQ(read_all(run_ / "run.json"), "{\"b\":2}\n");
}

TEST_F(RunDirectoryTest, AppendsFromManyThreads) {
  RunDirectory run(run_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&run, t] {
      for (int i = 0; i < 200; ++i) run.append(numbered(1000 * t + i, 100));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(read_records({run_}).size(), 800u);
}

TEST_F(RunDirectoryTest, FilesInTheWay) {
  const fs::path file = scratch_.write("file", "x");
  EXPECT_THAT(refusal(file), HasSubstr("is a file; a run needs a directory"));
  EXPECT_THAT(refusal(file / "below"), HasSubstr("below"));
  fs::create_directories(run_ / "records.jsonl");
  EXPECT_THAT(refusal(run_), HasSubstr("records.jsonl"));
}

// A limit on the size of files stands for a full disk: writes come back short, then fail.
TEST_F(RunDirectoryTest, WhatCannotBeWrittenWholeIsNotWrittenAtAll) {
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto limit = [&](rlim_t bytes) {
    const rlimit now{bytes, old.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &now), 0);
  };
  const auto old_action = ::signal(SIGXFSZ, SIG_IGN);
  RunDirectory run(run_);
  int written = 0;
  std::string error;
  limit(10000);
  for (int i = 0; i < 1000 && error.empty(); ++i) {
    try {
      run.append(numbered(i, 100));
      ++written;
    } catch (const std::runtime_error& exception) {
      error = exception.what();
    }
  }
  const std::string first = error;
  const std::string again = message_of([&] { run.append(numbered(written, 100)); });
  limit(old.rlim_cur);
  ::signal(SIGXFSZ, old_action);
  EXPECT_THAT(first, AllOf(HasSubstr("records.jsonl"), HasSubstr("File too large")));
  EXPECT_EQ(again, first);
  EXPECT_EQ(run.find("key" + std::to_string(written)), nullptr);
  EXPECT_EQ(read_all(file_).back(), '\n');
  EXPECT_EQ(read_records({run_}).size(), static_cast<std::size_t>(written));
  run.append(numbered(written, 100));  // room again: it goes on
  EXPECT_EQ(read_records({run_}).size(), static_cast<std::size_t>(written) + 1);
}

// Mounts need privileges: the child takes them in namespaces of its own, so that nothing outlives it.
constexpr int kCannotMount = 77;

bool put(const char* file, const std::string& text) {
  std::ofstream out(file);
  return static_cast<bool>(out << text << std::flush);
}

bool mount_here(const fs::path& place, const char* options) {
  if (const uid_t user = ::geteuid(); user != 0) {
    const gid_t group = ::getegid();
    if (::unshare(CLONE_NEWUSER) != 0 || !put("/proc/self/setgroups", "deny") ||
        !put("/proc/self/uid_map", "0 " + std::to_string(user) + " 1") ||
        !put("/proc/self/gid_map", "0 " + std::to_string(group) + " 1")) {
      return false;
    }
  }
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", place.c_str(), "tmpfs", 0, options) == 0;
}

TEST_F(RunDirectoryTest, FullDisk) {
  fs::create_directories(run_);
  Child child([&] {
    if (!mount_here(run_, "size=64k")) return kCannotMount;
    RunDirectory run(run_);
    std::string error;
    std::size_t written = 0;
    while (error.empty()) {
      try {
        run.append(numbered(static_cast<int>(written), 3000));
        ++written;
      } catch (const std::runtime_error& exception) {
        error = exception.what();
      }
    }
    if (error.find("No space left on device") == std::string::npos) return 1;
    if (error.find("records.jsonl") == std::string::npos) return 2;
    if (written == 0 || read_records({run_}).size() != written) return 3;
    std::string info_error;
    try {
      run.write_run_info(std::string(100000, ' '));
    } catch (const std::runtime_error& exception) {
      info_error = exception.what();
    }
    if (info_error.find("No space left on device") == std::string::npos) return 4;
    return fs::exists(run_ / "run.json.new") ? 5 : 0;
  });
  const int result = child.wait();
  if (result == kCannotMount) GTEST_SKIP() << "may not mount a small tmpfs here";
  EXPECT_EQ(result, 0);
}

TEST_F(RunDirectoryTest, ReadOnlyDirectory) {
  fs::create_directories(run_);
  Child child([&] {
    if (!mount_here(run_, "size=64k") ||
        ::mount("tmpfs", run_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64k") != 0) {
      return kCannotMount;
    }
    for (const fs::path& path : {run_, run_ / "below"}) {
      try {
        RunDirectory run(path);
        return 1;
      } catch (const std::runtime_error& error) {
        if (std::string(error.what()).find("Read-only file system") == std::string::npos) return 2;
        if (std::string(error.what()).find(path.string()) == std::string::npos) return 3;
      }
    }
    return 0;
  });
  const int result = child.wait();
  if (result == kCannotMount) GTEST_SKIP() << "may not mount a read-only tmpfs here";
  EXPECT_EQ(result, 0);
}

TEST_F(RunDirectoryTest, DirectoryWithoutWritePermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may write everywhere";
  fs::create_directories(run_);
  fs::permissions(run_, fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(refusal(run_), HasSubstr("Permission denied"));
  fs::permissions(run_, fs::perms::owner_all);
}

}  // namespace
}  // namespace deciban
