#include "datasets/ledger.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

class LedgerTest : public testing::Test {
 protected:
  const json settings_{{"seed", 1}, {"names", {"a", "b"}}};
  ScratchDirectory folder_;
  const std::filesystem::path file_ = folder_ / "new/x.part";
};

TEST_F(LedgerTest, RemembersAcrossProcesses) {
  {
    Ledger ledger(file_, settings_);
    EXPECT_EQ(ledger.find("a"), nullptr);
    EXPECT_EQ(ledger.once("a", [] { return json(1); }), 1);
    EXPECT_EQ(ledger.once("a", [] { return json(2); }), 1);
    ledger.record("bytes", json{{"text", std::string("\xff", 1)}});
  }
  Ledger ledger(file_, settings_);
  EXPECT_EQ(ledger.resumed(), 2u);
  EXPECT_EQ(*ledger.find("a"), 1);
  EXPECT_EQ(*ledger.find("bytes"), (json{{"text", "\xEF\xBF\xBD"}})) << "now as later";
}

TEST_F(LedgerTest, IsGoneWhenTheFetchIsDone) {
  Ledger ledger(file_, settings_);
  ledger.record("a", 1);
  ledger.remove();
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(LedgerTest, LeavesNothingIfThereWasNothing) {
  { Ledger ledger(file_, settings_); }
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(LedgerTest, CutsATornLineAtAnyByte) {
  {
    Ledger ledger(file_, settings_);
    ledger.record("a", "first");
    ledger.record("b", "second");
  }
  const std::string whole = read_all(file_);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(file_, std::ios::binary) << whole.substr(0, size);
    {
      Ledger ledger(file_, settings_);
      ledger.once("a", [] { return json("first"); });
      ledger.once("b", [] { return json("second"); });
    }
    ASSERT_EQ(read_all(file_), whole) << size;
  }
}

TEST_F(LedgerTest, RefusesDamageInTheMiddle) {
  {
    Ledger ledger(file_, settings_);
    ledger.record("a", 1);
    ledger.record("b", 2);
  }
  std::string bytes = read_all(file_);
  bytes[bytes.find("{\"name\":\"a\"")] = '#';
  std::ofstream(file_, std::ios::binary) << bytes;
  EXPECT_THAT(message_of([&] { Ledger ledger(file_, settings_); }),
              AllOf(HasSubstr("x.part:2"), HasSubstr("remove the file")));
  EXPECT_EQ(read_all(file_), bytes) << "nothing may be lost by looking";
}

TEST_F(LedgerTest, RefusesOtherSettingsAndOtherProcesses) {
  Ledger ledger(file_, settings_);
  ledger.record("a", 1);
  EXPECT_THAT(message_of([&] { Ledger other(file_, settings_); }), HasSubstr("another process fetches"));
  const auto second = folder_ / "second.part";
  {
    Ledger filled(second, settings_);
    filled.record("a", 1);
  }
  EXPECT_THAT(message_of([&] {
                Ledger other(second, {{"seed", 2}, {"names", {"a", "b"}}});
              }),
              HasSubstr("seed is 1 there and 2 here"));
}

}  // namespace
}  // namespace deciban
