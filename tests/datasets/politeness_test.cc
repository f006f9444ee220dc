#include "datasets/politeness.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/datasets/loopback.h"

namespace deciban {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RequestGate, KeepsThePauseFromStartToStart) {
  ScratchDirectory folder;
  FakeClock clock;
  RequestGate gate(folder / "new/gate", clock);
  {
    const auto turn = gate.enter(seconds(3));
    clock.sleep(milliseconds(1000));  // the request itself
  }
  const auto before = clock.slept();
  gate.enter(seconds(3));
  EXPECT_EQ(clock.slept() - before, milliseconds(2000));
}

TEST(RequestGate, AClockThatIsSetBackDoesNotBlock) {
  ScratchDirectory folder;
  std::ofstream(folder / "gate") << "00000009999999999999 00000009999999999999\n";
  FakeClock clock;
  RequestGate gate(folder / "gate", clock);
  gate.enter(seconds(3));
  EXPECT_EQ(clock.slept(), seconds(3));
}

TEST(RequestGate, ADamagedFileCountsAsNoRequest) {
  ScratchDirectory folder;
  std::ofstream(folder / "gate") << "what is this?";
  FakeClock clock;
  RequestGate gate(folder / "gate", clock);
  gate.enter(seconds(3));
  EXPECT_EQ(clock.slept(), seconds(0));
}

TEST(RequestGate, NamesAFileThatCannotBe) {
  ScratchDirectory folder;
  std::ofstream(folder / "file") << "x";
  FakeClock clock;
  EXPECT_THAT(message_of([&] { RequestGate gate(folder / "file/gate", clock); }),
              testing::AllOf(testing::HasSubstr("file/gate"), testing::HasSubstr("XDG_CACHE_HOME")));
}

TEST(RequestGate, OneRequestAtATimeInOneProcess) {
  ScratchDirectory folder;
  FakeClock clock;
  RequestGate first(folder / "gate", clock),
      second(folder / "gate", clock, [&] { return clock.slept() > seconds(1); });
  const auto turn = first.enter(seconds(0));
  EXPECT_THROW(second.enter(seconds(0)), FetchStopped) << "the turn is not over";
}

// Two processes, the machine's clock, short pauses: no two turns overlap or come too close.
TEST(RequestGate, ProcessesTakeTurns) {
  ScratchDirectory folder;
  constexpr milliseconds kPause{60};
  constexpr int kTurns = 5;
  const auto run = [&](const char* name) {
    RequestGate gate(folder / "gate", Clock::system());
    std::ofstream log(folder / name);
    for (int i = 0; i < kTurns; ++i) {
      const auto turn = gate.enter(kPause);
      log << Clock::system().now().time_since_epoch().count() << " ";
      std::this_thread::sleep_for(milliseconds(15));
      log << Clock::system().now().time_since_epoch().count() << "\n" << std::flush;
    }
  };
  pid_t children[2];
  for (int i = 0; i < 2; ++i) {
    children[i] = ::fork();
    ASSERT_GE(children[i], 0);
    if (children[i] == 0) {
      run(i == 0 ? "a" : "b");
      ::_exit(0);
    }
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  std::vector<std::pair<long long, long long>> turns;
  for (const char* name : {"a", "b"}) {
    std::ifstream log(folder / name);
    for (long long begin, end; log >> begin >> end;) turns.emplace_back(begin, end);
  }
  std::sort(turns.begin(), turns.end());
  ASSERT_EQ(turns.size(), 2u * kTurns);
  for (std::size_t i = 1; i < turns.size(); ++i) {
    EXPECT_GE(turns[i].first, turns[i - 1].second) << "two requests at once";
    EXPECT_GE(turns[i].first - turns[i - 1].first, kPause.count() - 2) << "too soon";
  }
}

TEST(RequestGate, ALockDiesWithItsProcess) {
  ScratchDirectory folder;
  const pid_t child = ::fork();
  if (child == 0) {
    RequestGate gate(folder / "gate", Clock::system());
    const auto turn = gate.enter(milliseconds(0));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  FakeClock clock;
  RequestGate gate(folder / "gate", clock, [&] { return clock.slept() > seconds(10); });
  EXPECT_NO_THROW(gate.enter(milliseconds(0)));
}

TEST(Politeness, NothingShortensThePauseThatArxivAsksFor) {
  for (const char* url :
       {"https://arxiv.org/html/1", "https://export.arxiv.org/api/query", "http://OAIPMH.arxiv.org:80/oai"}) {
    EXPECT_EQ(pause_before(url, milliseconds(0)), seconds(3)) << url;
    EXPECT_EQ(pause_before(url, seconds(10)), seconds(10)) << url;
    EXPECT_EQ(quiet_after(url, 403), seconds(60)) << url;
    EXPECT_EQ(quiet_after(url, 404), seconds(0)) << url;
  }
  for (const char* url :
       {"https://myarxiv.org/", "https://arxiv.org.example.org/", "http://127.0.0.1/arxiv.org"}) {
    EXPECT_EQ(pause_before(url, milliseconds(5)), milliseconds(5)) << url;
    EXPECT_EQ(quiet_after(url, 403), seconds(0)) << url;
  }
}

TEST(FetchTime, DatesAreReadAndWritten) {
  EXPECT_EQ(iso_date(parse_date("2025-01-31")), "2025-01-31");
  EXPECT_EQ(iso_date(parse_date("2025-02")), "2025-02-01");
  EXPECT_EQ(iso_date(parse_last_date("2024-02")), "2024-02-29");
  EXPECT_EQ(iso_date(parse_last_date("2025-12-01")), "2025-12-01");
  EXPECT_EQ(compact_minute(Minute(parse_date("2025-01-31")) + std::chrono::minutes(1439)), "202501312359");
  for (const char* word :
       {"", "2025", "2025-13", "2025-02-30", "25-01-01", "2025/01/01", "2025-1-1", "2025-01-0x"}) {
    EXPECT_THAT(message_of([&] { parse_date(word); }), testing::HasSubstr("is not a date")) << word;
  }
}

}  // namespace
}  // namespace deciban
