#include "evals/codec/range_coder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "evals/codec/frequencies.h"
#include "reports/random.h"

namespace deciban {
namespace {

struct Symbol {
  std::uint64_t start, frequency;
};

// Decodes what was encoded, and returns the code's size.
std::size_t round_trip(const std::vector<Symbol>& symbols) {
  RangeEncoder encoder;
  for (const Symbol& s : symbols) encoder.encode(s.start, s.frequency);
  const std::string code = encoder.finish();
  RangeDecoder decoder(code);
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const std::uint64_t place = decoder.place();
    EXPECT_GE(place, symbols[i].start) << i;
    EXPECT_LT(place, symbols[i].start + symbols[i].frequency) << i;
    if (::testing::Test::HasFailure()) break;
    decoder.accept(symbols[i].start, symbols[i].frequency);
  }
  return code.size();
}

double bits(const std::vector<Symbol>& symbols) {
  double total = 0;
  for (const Symbol& s : symbols) total += 32 - std::log2(static_cast<double>(s.frequency));
  return total;
}

TEST(RangeCoder, CodesInTheEntropyAndAFewBytes) {
  Random random(1);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<Symbol> symbols;
    const std::uint32_t count = random.below(500);
    for (std::uint32_t i = 0; i < count; ++i) {
      // From nearly certain to one part in 2^32.
      const std::uint64_t frequency = std::max<std::uint64_t>(1, random.next() >> (32 + random.below(32)));
      const std::uint64_t room = kFrequencyTotal - frequency;
      const std::uint64_t start = room == 0 ? 0 : random.next() % (room + 1);
      symbols.push_back({start, frequency});
    }
    const std::size_t size = round_trip(symbols);
    EXPECT_LE(static_cast<double>(size) * 8, bits(symbols) * (1 + 1e-6) + 9);
  }
}

TEST(RangeCoder, CarriesRunThroughManyBytes) {
  // The highest interval again and again keeps the low end just below a carry; a lower one then triggers it.
  for (const std::uint64_t last : {std::uint64_t{1}, std::uint64_t{1} << 20, kFrequencyTotal / 2}) {
    std::vector<Symbol> symbols(2000, {kFrequencyTotal - last, last});
    symbols.push_back({0, 1});
    symbols.push_back({kFrequencyTotal - 1, 1});
    round_trip(symbols);
    symbols.assign(64, {kFrequencyTotal / 2 - 1, 2});  // around a half: carries in the first bytes
    round_trip(symbols);
  }
}

TEST(RangeCoder, NothingTakesNothing) {
  EXPECT_EQ(round_trip({}), 0u);
  EXPECT_EQ(round_trip(std::vector<Symbol>(1000, {0, kFrequencyTotal})), 0u);
  EXPECT_EQ(round_trip(std::vector<Symbol>(10'000, {0, kFrequencyTotal - 1})),
            0u);  // nearly certain, 3e-6 bits
}

TEST(RangeCoder, DecodesAnyBytesToSomething) {
  Random random(5);
  std::string noise;
  for (int i = 0; i < 300; ++i) noise += static_cast<char>(random.next());
  RangeDecoder decoder(noise);
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t place = decoder.place();
    ASSERT_LT(place, kFrequencyTotal);
    const std::uint64_t start = place / 16 * 16;
    decoder.accept(start, 16);
  }
}

TEST(Frequencies, AddUpAndFollowTheLogits) {
  Random random(2);
  for (const std::size_t symbols : {std::size_t{1}, std::size_t{2}, std::size_t{257}, std::size_t{65536}}) {
    std::vector<float> logits(symbols);
    double total = 0, greatest = -1e30;
    for (float& logit : logits) {
      logit = static_cast<float>(40 * random.unit() - 30);
      greatest = std::max<double>(greatest, logit);
    }
    for (const float logit : logits) total += std::exp(logit - greatest);
    Frequencies frequencies;
    frequencies.set(logits);
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < symbols; i += 1 + symbols / 300) {
      const auto interval = frequencies.of(static_cast<Token>(i));
      ASSERT_GE(interval.frequency, 1u);
      ASSERT_GE(interval.start, end);
      end = interval.start + interval.frequency;
      const double p = std::exp(logits[i] - greatest) / total;
      EXPECT_NEAR(static_cast<double>(interval.frequency) / static_cast<double>(kFrequencyTotal), p,
                  2e-5 * p + static_cast<double>(symbols + 8) * 2.4e-10);
      const auto found = frequencies.at(interval.start + interval.frequency - 1);
      EXPECT_EQ(found.symbol, static_cast<Token>(i));
      EXPECT_EQ(found.interval.start, interval.start);
    }
    const auto last = frequencies.of(static_cast<Token>(symbols - 1));
    EXPECT_EQ(last.start + last.frequency, kFrequencyTotal);
  }
}

TEST(Frequencies, RefuseWhatIsNoNumber) {
  Frequencies frequencies;
  EXPECT_THROW(frequencies.set(std::vector<float>{0, NAN}), std::runtime_error);
  EXPECT_THROW(frequencies.set(std::vector<float>{INFINITY, 0}), std::runtime_error);
  frequencies.set(std::vector<float>{0, -INFINITY});  // impossible, and coded all the same
  EXPECT_EQ(frequencies.of(1).frequency + frequencies.of(0).frequency, kFrequencyTotal);
  EXPECT_THROW(frequencies.of(2), std::invalid_argument);
  EXPECT_THROW(frequencies.of(-1), std::invalid_argument);
}

}  // namespace
}  // namespace deciban
