#include "reports/record_line.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/reports/record_samples.h"

namespace deciban {
namespace {

std::string plain_text(Random& random) {
  std::string text;
  for (std::uint32_t size = random.below(10); size > 0; --size)
    text += static_cast<char>('#' + random.below('[' - '#'));  // neither quotes nor backslashes
  return text;
}

// Random numbers and plain texts.
Record plain_sample(Random& random) {
  Record record = random_record(random);
  for (std::string* text : {&record.key, &record.model, &record.task, &record.windowing, &record.corpus,
                            &record.document, &record.reason})
    *text = plain_text(random);
  const auto labels = std::exchange(record.labels, {});
  for (std::size_t l = 0; l < labels.size(); ++l) record.labels[plain_text(random)] = plain_text(random);
  const auto measures = std::exchange(record.measures, {});
  for (const auto& [name, measure] : measures) record.measures[plain_text(random)] = measure;
  return record;
}

TEST(RecordLine, ReadsWhatIsWritten) {
  Random random(7);
  for (int i = 0; i < 1000; ++i) {
    const Record record = plain_sample(random);
    const auto read = plain_record(to_json_line(record));
    ASSERT_TRUE(read) << to_json_line(record);
    expect_same(*read, record);
  }
}

// Lines that were damaged or written otherwise: what both readers understand they understand alike.  With its
// fields in another order a line is never plain, so the general reader reads it.
TEST(RecordLine, UnderstandsNothingElseDifferently) {
  Random random(8);
  const std::string pieces[] = {"0", "1", "-", ".", "e", "\"",   "\\", ",",
                                ":", "{", "}", " ", "é", "null", "ok"};
  int both = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string line = to_json_line(plain_sample(random));
    for (std::uint32_t edits = random.below(3); edits > 0; --edits) {
      const std::size_t at = random.below(static_cast<std::uint32_t>(line.size()));
      line.replace(at, random.below(3), pieces[random.below(std::size(pieces))]);
    }
    const auto plain = plain_record(line);
    if (!plain) continue;
    const std::string turned = "{\"seconds\":0," + line.substr(1);  // the later "seconds" counts
    ASSERT_FALSE(plain_record(turned));
    SCOPED_TRACE(line);
    expect_same(*plain, record_from_json(turned));
    ++both;
  }
  EXPECT_GT(both, 100);
}

TEST(RecordLine, NumbersAreThoseOfJson) {
  Record record;
  record.status = "ok";
  const std::string line = to_json_line(record);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = line;
    changed.replace(changed.find(from), from.size(), to);
    return plain_record(changed).has_value();
  };
  EXPECT_TRUE(plain_record(line));
  for (const char* good : {"1", "0.5", "-0.0", "1e5", "1E+5", "12.25e-3", "-3.5"})
    EXPECT_TRUE(with("\"logprob\":0.0", std::string("\"logprob\":") + good)) << good;
  for (const char* bad :
       {"01", "-01.0", ".5", "5.", "+1.0", "1e", "inf", "nan", "0x1p3", "1e999", "-0", "", " 1"})
    EXPECT_FALSE(with("\"logprob\":0.0", std::string("\"logprob\":") + bad)) << bad;
  for (const char* bad : {"-1", "1.0", "01", "18446744073709551616", "\"1\"", ""})
    EXPECT_FALSE(with("\"tokens\":0", std::string("\"tokens\":") + bad)) << bad;
  EXPECT_FALSE(plain_record(line + " "));
  EXPECT_FALSE(plain_record(line.substr(0, line.size() - 1)));
  EXPECT_FALSE(plain_record(""));
}

}  // namespace
}  // namespace deciban
