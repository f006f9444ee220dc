// Every mixer of Table 1, on every instruction set, against its naive float64 definition; and what it says it
// holds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/mixers/mixer.h"
#include "tests/bench/mixer_definitions.h"

namespace deciban {
namespace {

using testing::HasSubstr;

class Mixers : public testing::TestWithParam<std::string_view> {
 protected:
  static std::unique_ptr<Mixer> made(std::size_t length, std::size_t width, const std::string& isa = {},
                                     std::uint64_t seed = 1) {
    auto mixer = make_mixer(GetParam(), isa);
    mixer->prepare(length, width, seed);
    return mixer;
  }
};

// The greatest difference, as a share of the definition's root mean square.
double worst_error(const Mixer& mixer, const std::vector<double>& defined) {
  double square = 0, worst = 0;
  for (const double value : defined) square += value * value / static_cast<double>(defined.size());
  for (std::size_t i = 0; i < defined.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(mixer.output()[i]) - defined[i]));
  return worst / std::sqrt(square);
}

TEST_P(Mixers, EqualsItsDefinitionOnEveryInstructionSet) {
  // Lengths about the edges of all blocks and windows: 64, 128, 256.
  for (const auto& [length, width] : std::vector<std::pair<std::size_t, std::size_t>>{
           {1, 64}, {2, 128}, {64, 64}, {65, 64}, {128, 128}, {300, 64}, {577, 64}}) {
    std::vector<double> defined;
    for (const std::string& isa : mixer_isas()) {
      const auto mixer = made(length, width, isa);
      mixer->run();
      if (defined.empty()) defined = MixerDefinition(*mixer).of(std::string(GetParam()));
      const double worst = worst_error(*mixer, defined);
      EXPECT_LT(worst, 1e-4) << isa << " T = " << length << " d = " << width;  // false for NaN too
    }
  }
}

TEST_P(Mixers, RunningAgainGivesTheSame) {
  const auto mixer = made(150, 64);
  mixer->run();
  const std::vector<float> first(mixer->output().begin(), mixer->output().end());
  mixer->run();
  EXPECT_TRUE(std::equal(first.begin(), first.end(), mixer->output().begin()));
}

TEST_P(Mixers, DefinitionAndMixerTellOtherInputsApart) {
  const auto mixer = made(100, 64), other = made(100, 64, {}, 2);
  mixer->run();
  EXPECT_GT(worst_error(*mixer, MixerDefinition(*other).of(std::string(GetParam()))), 0.1);
}

TEST_P(Mixers, MemoryIsCountedAndGrowsAsItShould) {
  std::vector<double> bytes;
  for (const std::size_t length : {1024, 2048, 4096})
    bytes.push_back(static_cast<double>(made(length, 64)->memory_bytes()));
  EXPECT_GT(bytes[0], 0);
  const std::string_view name = GetParam();
  const bool constant = name != "attention" && name != "reformer" && name != "hyena" && name != "aft-full";
  EXPECT_NEAR(bytes[2] / bytes[1], constant ? 1.0 : 2.0, constant ? 0.0 : 0.25);
  EXPECT_NEAR(bytes[1] / bytes[0], constant ? 1.0 : 2.0, constant ? 0.0 : 0.4);
}

TEST_P(Mixers, MistakesAreNamed) {
  EXPECT_THROW(made(0, 64), std::invalid_argument);
  try {
    made(8, 65);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("65"));
  }
  EXPECT_THROW(make_mixer(GetParam(), "avx1024"), std::invalid_argument);
}

std::vector<std::string_view> all_names() {
  std::vector<std::string_view> names;
  for (const MixerEntry& entry : mixer_table()) names.push_back(entry.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Table1, Mixers, testing::ValuesIn(all_names()), [](const auto& info) {
  std::string name(info.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(MixerTable, UnknownNamesAreRefused) {
  EXPECT_EQ(find_mixer("rwkv7").title, "RWKV-7");
  EXPECT_THROW(find_mixer("rwkv8"), std::invalid_argument);
  EXPECT_THROW(make_mixer("rwkv8"), std::invalid_argument);
}

}  // namespace
}  // namespace deciban
