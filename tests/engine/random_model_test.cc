// Random models have the published shapes, the same values for the same seed, and sane activations.
#include "engine/random_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/engine/scoring.h"

namespace deciban {
namespace {

TEST(RandomModel, HasThePublishedNumberOfParameters) {
  const std::pair<const char*, std::uint64_t> published[] = {
      {"rwkv4-169m", 169'342'464},       {"rwkv4-430m", 430'397'440},   {"rwkv4-1.5b", 1'515'106'304},
      {"rwkv4-3b", 2'984'627'200},       {"rwkv4-7b", 7'392'649'216},   {"rwkv4-14b", 14'148'597'760},
      {"rwkv4-world-0.1b", 192'780'288}, {"rwkv5-0.1b", 192'807'936},   {"rwkv5-0.4b", 461'721'600},
      {"rwkv5-1.5b", 1'577'754'624},     {"rwkv5-3b", 3'062'999'040},   {"rwkv5-7b", 7'518'044'160},
      {"rwkv6-1.6b", 1'599'873'024},     {"rwkv6-3b", 3'099'863'040},   {"rwkv6-7b", 7'635'746'816},
      {"rwkv6-14b", 14'069'088'256},     {"rwkv7-0.1b", 191'034'624},   {"rwkv7-0.4b", 450'767'872},
      {"rwkv7-1.5b", 1'527'404'544},     {"rwkv7-2.9b", 2'947'735'040}, {"rwkv7-7.2b", 7'199'141'888},
      {"rwkv7-13.3b", 13'269'245'952},
  };
  for (const auto& [name, count] : published) {
    const Checkpoint model = random_rwkv(random_spec(name));
    EXPECT_EQ(parameter_count(model), count) << name;
    EXPECT_NO_THROW(rwkv_shape(model)) << name;
  }
}

TEST(RandomModel, EveryVersionRunsInEveryMode) {
  for (const char* spec : {"rwkv4-169m", "rwkv5-0.1b", "rwkv6-1.6b", "rwkv7-0.1b"}) {
    const Checkpoint weights = random_rwkv(random_spec(std::string(spec) + ",layers=3,width=128,vocab=300"));
    std::vector<Token> text(100);
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<Token>(i * 37 % 300);
    std::vector<float> reference;
    for (const char* mode : {"f32", "bf16", "bf16a", "f16", "int8", "int8a", "int4", "int4g64"}) {
      const auto model = load_rwkv(weights, byte_tokenizer(), cpu_backend(), mode, {}, {});
      const Collected got = score(*model, {{.tokens = text}});
      ASSERT_TRUE(got.failures.empty()) << spec << " " << mode << ": " << got.failures.begin()->second;
      double difference = 0, sum = 0;
      for (std::size_t i = 0; i < got.scores.at(0).size(); ++i) {
        const float logprob = got.scores.at(0)[i].logprob;
        sum += logprob;
        if (std::string(mode) == "f32") reference.push_back(logprob);
        difference += std::abs(logprob - reference[i]);
      }
      // Random targets among 300: about -log 300 less half the logits' variance; not a degenerate model.
      EXPECT_NEAR(sum / 99, -6.2, 0.8) << spec << " " << mode;
      EXPECT_LE(difference / 99, std::string(mode) == "bf16"             ? 1e-5
                                 : std::string(mode).starts_with("int4") ? 0.3
                                                                         : 0.05)
          << spec << " " << mode;
    }
  }
}

TEST(RandomModel, SeedsAndOptionsAreHeard) {
  const auto value = [](const std::string& spec) {
    float v;
    random_rwkv(random_spec(spec)).at("head.weight").read(12345, 1, &v);
    return v;
  };
  EXPECT_EQ(value("rwkv7-0.1b"), value("rwkv7-0.1b,seed=1"));
  EXPECT_NE(value("rwkv7-0.1b"), value("rwkv7-0.1b,seed=2"));
  EXPECT_EQ(random_spec("rwkv7-0.1b,layers=5,vocab=77,width=256").shape.layers, 5u);
  for (const char* bad : {"rwkv7-0.2b", "rwkv7-0.1b,sed=1", "rwkv7-0.1b,seed=x", "rwkv7-0.1b,width=100",
                          "rwkv7-0.1b,layers=0", ""}) {
    EXPECT_THROW(random_spec(bad), std::invalid_argument) << bad;
  }
}

// Rows, transposes and slices of generated values are those of the whole.
TEST(RandomModel, GeneratedTensorsAreReadLikeAnyOther) {
  const StoredTensor t = generated_tensor("t", {3, 5, 7}, 9, 0.5f);
  const std::vector<float> all = t.read_all();
  float part[4];
  t.read(50, 4, part);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(part[i], all[50 + i]);
  const std::vector<float> second = t.slice(1).read_all(), turned = t.slice(1).transposed().read_all();
  for (int r = 0; r < 5; ++r) {
    for (int c = 0; c < 7; ++c) {
      EXPECT_EQ(second[r * 7 + c], all[35 + r * 7 + c]);
      EXPECT_EQ(turned[c * 5 + r], all[35 + r * 7 + c]);
    }
  }
}

}  // namespace
}  // namespace deciban
