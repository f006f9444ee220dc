// Transformers on a CUDA device: against Hugging Face's log-probabilities of tiny random models of every
// family, trained models against the CPU, and what shares a batch.
#include <algorithm>
#include <cstring>
#include <iostream>
#include <iterator>
#include <random>

#include "plugins/transformer/model.h"
#include "plugins/transformer/random_shapes.h"
#include "tests/cuda/card.h"
#include "tests/engine/limited_backend.h"

namespace deciban::transformer {
namespace {

std::unique_ptr<LanguageModel> open_folder(const std::filesystem::path& folder, const CardOpening& how,
                                           std::unique_ptr<Backend> backend = nullptr) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const Shape shape = shape_of_config(checkpoint.config, (folder / "config.json").string());
  ModelOptions options;
  options.format = how.mode;
  options.chunk_rows = how.chunk_rows;
  options.deterministic = how.deterministic;
  if (!backend) backend = cuda_backend(0, how.deterministic);
  return load_transformer(checkpoint, shape, byte_tokenizer(), std::move(backend), options, {});
}

std::filesystem::path folder_of(const std::string& name) { return golden("transformers/" + name); }

// Models that norm behind their layers, or project their embedding, keep f32 inputs.
bool computes(const std::string& name, const std::string& mode) {
  return name != "opt-350m" || Ops::product_type(numeric_mode(mode).activations) == Tensor::Type::f32;
}

class CudaTransformer : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { DECIBAN_NEEDS_CARD(); }
  std::unique_ptr<LanguageModel> open(const CardOpening& how) const {
    return open_folder(folder_of(GetParam()), how);
  }
  std::vector<Token> tokens() const {
    return read_json(folder_of(GetParam()) / "expected.json")["tokens"].get<std::vector<Token>>();
  }
  // Texts of the model's own tokens, of several lengths.
  std::vector<std::vector<Token>> texts() const {
    const std::vector<Token> own = tokens();
    std::mt19937 random(7);
    std::vector<std::vector<Token>> all;
    for (const std::size_t length : {own.size(), std::size_t{20}, own.size() - 3, std::size_t{65},
                                     std::size_t{64}, std::size_t{2}, std::size_t{100}, std::size_t{33}}) {
      std::vector<Token> text(length);
      for (Token& token : text) token = own[random() % own.size()];
      all.push_back(std::move(text));
    }
    return all;
  }
};

TEST_P(CudaTransformer, LogProbabilitiesAreThoseOfTransformers) {
  const auto expected = read_json(folder_of(GetParam()) / "expected.json");
  const auto exact = expected["logprobs64"].get<std::vector<double>>();
  const std::vector<Token> own = tokens();
  const std::map<std::string, double> bounds = {
      {"f32", 3e-5}, {"bf16", 0.05}, {"bf16a", 0.15}, {"f16a", 0.03}};
  for (const auto& [mode, bound] : bounds) {
    if (!computes(GetParam(), mode)) continue;
    for (const bool deterministic : {false, true}) {
      const Collected got = score(*open({.mode = mode, .deterministic = deterministic}), {{.tokens = own}});
      ASSERT_TRUE(got.failures.empty()) << got.failures.begin()->second;
      const auto& scores = got.scores.at(0);
      ASSERT_EQ(scores.size(), exact.size());
      double worst = 0, mean = 0;
      for (std::size_t i = 0; i < scores.size(); ++i) {
        const double off = std::abs(scores[i].logprob - exact[i]);
        worst = std::max(worst, std::isnan(off) ? 1e9 : off);
        mean += off / static_cast<double>(scores.size());
      }
      EXPECT_LE(mean, bound) << mode << (deterministic ? " deterministic" : "");
      EXPECT_LE(worst, mode == "f32" ? 3e-4 : 5.0) << mode;
      std::cout << GetParam() << ' ' << mode << (deterministic ? " deterministic" : "") << ": mean " << mean
                << ", worst " << worst << '\n';
    }
  }
}

// Recorded steps with lengths that grow, one sequence forked into another on the way.
TEST_P(CudaTransformer, StepsFollowTheWholeSequence) {
  const std::vector<Token> own = tokens();
  for (const std::string mode : {"f32", "bf16a", "f16a"}) {
    if (!computes(GetParam(), mode)) continue;
    for (const bool deterministic : {false, true}) {
      const auto model = open({.mode = mode, .deterministic = deterministic});
      const Collected whole = score(*model, {{.tokens = own}}, true);
      const std::vector<float>& logits = whole.logits.at(0);
      for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{40}}) {
        const auto batch = model->start_batch(n);
        constexpr std::size_t kFork = 70;
        double off = 0, count = 0;
        for (std::size_t i = 0; i + 1 < own.size(); ++i) {
          if (i == kFork) batch->copy(0, n - 1);
          std::vector<Token> step(n, Token{5});
          step[0] = own[i];
          if (i >= kFork) step[n - 1] = own[i];
          const LogitRows rows = batch->step(step);
          ASSERT_EQ(logits.size(), (own.size() - 1) * rows.columns);
          const float* want = logits.data() + i * rows.columns;
          for (const std::size_t s : {std::size_t{0}, n - 1}) {
            if (s != 0 && i < kFork) continue;  // of one sequence: the same twice
            if (deterministic) {
              ASSERT_EQ(std::memcmp(rows.row(s).data(), want, rows.columns * sizeof(float)), 0)
                  << mode << ", token " << i << " of sequence " << s << " of " << n;
            }
            for (std::size_t c = 0; c < rows.columns; ++c) {
              off += std::abs(static_cast<double>(rows.row(s)[c]) - want[c]);
              ++count;
            }
          }
        }
        EXPECT_LE(off / count, mode == "f32" ? 1e-5 : mode == "f16a" ? 0.01 : 0.08) << mode << ", " << n;
      }
    }
  }
}

TEST_P(CudaTransformer, CompanyAndChunksChangeNothingWhenDeterministic) {
  const auto all = texts();
  std::vector<Sequence> list;
  for (const auto& text : all) list.push_back({.tokens = text});
  for (const std::string mode : {"f32", "bf16a", "f16a"}) {
    if (!computes(GetParam(), mode)) continue;
    const auto model = open({.mode = mode, .deterministic = true});
    const Collected together = score(*model, list);
    ASSERT_TRUE(together.failures.empty()) << together.failures.begin()->second;
    for (std::size_t i = 0; i < list.size(); ++i) {
      EXPECT_TRUE(same_bits(score(*model, {list[i]}).scores.at(0), together.scores.at(i)))
          << mode << ", document " << i << " of " << list[i].tokens.size() << " alone";
    }
    for (const std::size_t rows : {64, 100, 333}) {
      const Collected other = score(*open({.mode = mode, .deterministic = true, .chunk_rows = rows}), list);
      for (std::size_t i = 0; i < list.size(); ++i) {
        EXPECT_TRUE(same_bits(other.scores.at(i), together.scores.at(i)))
            << mode << ", document " << i << ", chunks of " << rows;
      }
    }
  }
}

TEST_P(CudaTransformer, SharedBeginningsChangeNothingWhenDeterministic) {
  const std::vector<Token> own = tokens();
  std::vector<std::vector<Token>> family;
  std::vector<Sequence> with, without;
  for (std::size_t i = 0; i < 9; ++i) {
    std::vector<Token> text(own.begin(), own.begin() + 100);
    text.insert(text.end(), own.begin() + static_cast<std::ptrdiff_t>(i),
                own.begin() + static_cast<std::ptrdiff_t>(i + 20));
    family.push_back(std::move(text));
  }
  for (std::size_t i = 0; i < family.size(); ++i) {
    with.push_back({family[i], 100, i == 0 ? std::size_t{0} : 100});
    without.push_back({family[i], 100, 0});
  }
  const auto model = open({.mode = computes(GetParam(), "bf16a") ? "bf16a" : "f32", .deterministic = true});
  const Collected forked = score(*model, with), plain = score(*model, without);
  for (std::size_t i = 0; i < family.size(); ++i) {
    EXPECT_TRUE(same_bits(forked.scores.at(i), plain.scores.at(i))) << "sequence " << i;
  }
}

// A chunk that meets the end of memory half-way leaves its sequences as they were.
TEST_P(CudaTransformer, AFullMemoryOnlyMakesChunksSmaller) {
  const auto all = texts();
  std::vector<Sequence> list;
  for (const auto& text : all) list.push_back({.tokens = text});
  const auto limits = std::make_shared<Limits>();
  limits->most_rows = 100;
  limits->good_tensors = 7;
  const CardOpening how{.mode = "f32", .deterministic = true};
  const auto limited = open_folder(folder_of(GetParam()), how,
                                   std::make_unique<LimitedBackend>(cuda_backend(0, true), limits));
  const Collected want = score(*open(how), list), got = score(*limited, list);
  EXPECT_GE(limits->refused, 1u);
  ASSERT_TRUE(got.failures.empty()) << got.failures.begin()->second;
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_TRUE(same_bits(got.scores.at(i), want.scores.at(i))) << "document " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, CudaTransformer,
                         testing::Values("gpt2", "gpt2-variant", "neox", "neox-sequential", "opt", "opt-350m",
                                         "bloom", "llama", "llama-gqa-sharded", "llama-biases",
                                         "llama-linear", "llama-dynamic", "llama-llama3", "llama-yarn",
                                         "mistral-window", "qwen2", "qwen2-windows", "qwen3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// One sequence steps in one launch, several by a graph: across pages, and across lengths at which either is
// recorded anew; heads of the published sizes, grouped ones, and ALiBi.
TEST(CudaTransformerSteps, OneSequenceStepsLikeSeveral) {
  DECIBAN_NEEDS_CARD();
  for (const std::string shape : {"pythia-160m,layers=3", "pythia-1b,layers=2", "pythia-1.4b,layers=2",
                                  "pythia-2.8b,layers=2", "llama3.2-1b,layers=3", "bloom-560m,layers=3"}) {
    for (const std::string mode : {"bf16a", "f16a"}) {
      const RandomTransformer random = random_transformer(shape + ",vocab=512");
      ModelOptions options;
      options.format = mode;
      const auto model = load_transformer(random.weights, random.shape, byte_tokenizer(),
                                          cuda_backend(0, false), options, {});
      std::mt19937 draw(11);
      std::vector<Token> text(640);
      for (Token& token : text) token = static_cast<Token>(draw() % 512);
      const auto one = model->start_batch(1), two = model->start_batch(2);
      std::size_t at = 0;
      double off = 0, count = 0, size = 0;
      const auto step = [&](bool compared) {
        const LogitRows alone = one->step(std::vector<Token>{text[at]});
        const std::vector<float> got(alone.data, alone.data + alone.columns);
        const LogitRows both = two->step(std::vector<Token>{text[at], 5});
        ++at;
        for (std::size_t c = 0; compared && c < got.size(); ++c) {
          ASSERT_TRUE(std::isfinite(got[c])) << shape << ", " << mode << ", token " << at;
          off += std::abs(static_cast<double>(got[c]) - both.row(0)[c]);
          size += std::abs(static_cast<double>(both.row(0)[c]));
          ++count;
        }
      };
      for (int i = 0; i < 140; ++i) step(true);
      const std::span<const Token> middle(text.data() + at, 360);
      one->read(0, middle), two->read(0, middle);
      at += middle.size();
      while (at < text.size()) step(true);
      EXPECT_LE(off / count, (mode == "f16a" ? 0.004 : 0.03) * size / count) << shape << ", " << mode;
      std::cout << shape << ' ' << mode << ": mean |difference| " << off / count << " of " << size / count
                << '\n';
    }
  }
}

std::vector<std::vector<Token>> demo_texts() {
  std::vector<std::vector<Token>> all;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "datasets/demo/texts")) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::vector<Token> tokens{0};
    for (std::istreambuf_iterator<char> at(file), end; at != end && tokens.size() < 2500; ++at)
      tokens.push_back(static_cast<unsigned char>(*at));
    all.push_back(std::move(tokens));
  }
  return all;
}

double bits_per_byte(const Collected& got) {
  double nats = 0, bytes = 0;
  for (const auto& [index, scores] : got.scores) {
    for (const TokenScore& score : scores) nats -= score.logprob;
    bytes += static_cast<double>(scores.size());
  }
  return nats / bytes / std::log(2.0);
}

class CudaTrainedTransformer : public testing::TestWithParam<std::string> {};

// The bounds of trained RWKVs.
TEST_P(CudaTrainedTransformer, BitsPerByteAreThoseOfTheCpu) {
  DECIBAN_NEEDS_CARD();
  const auto all = demo_texts();
  std::vector<Sequence> list;
  for (const auto& text : all) list.push_back({.tokens = text});
  const std::filesystem::path folder = source_dir() / "datasets/demo" / GetParam();
  const Collected want = score(*open_folder(folder, {.mode = "f32"}, cpu_backend()), list);
  const std::map<std::string, double> bounds = {{"f32", 1e-5}, {"bf16a", 1e-3}, {"f16a", 2e-4}};
  for (const auto& [mode, bound] : bounds) {
    for (const bool deterministic : {false, true}) {
      const auto model = open_folder(folder, {.mode = mode, .deterministic = deterministic});
      const Collected got = score(*model, list);
      ASSERT_TRUE(got.failures.empty()) << got.failures.begin()->second;
      const double loss = bits_per_byte(got) - bits_per_byte(want);
      std::cout << GetParam() << ' ' << mode << (deterministic ? " deterministic" : "") << ": " << loss
                << " bits/byte from f32 on the CPU\n";
      EXPECT_LE(std::abs(loss), bound) << mode;
      // Company: each document alone.
      double worst = 0;
      for (std::size_t i = 0; i < list.size(); ++i) {
        const Collected alone = score(*model, {list[i]});
        if (deterministic) {
          EXPECT_TRUE(same_bits(alone.scores.at(0), got.scores.at(i))) << mode << ", text " << i;
        }
        worst = std::max(worst, mean_difference(alone.scores.at(0), got.scores.at(i)));
      }
      EXPECT_LE(worst, mode == "f32" ? 1e-5 : 5e-3) << mode;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Both, CudaTrainedTransformer, testing::Values("gptneox", "llama"),
                         [](const auto& info) { return info.param; });

TEST(CudaTransformers, RefuseWhatDoesNotFit) {
  DECIBAN_NEEDS_CARD();
  auto limits = std::make_shared<Limits>();
  limits->free_bytes = std::uint64_t{1} << 20;
  try {
    open_folder(folder_of("neox"), {.mode = "f32"},
                std::make_unique<LimitedBackend>(cuda_backend(0, false), limits));
    FAIL() << "a model larger than the card was taken";
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("the model needs"), std::string::npos) << text;
    EXPECT_NE(text.find("GiB are free"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace deciban::transformer
