// Steps on a CUDA device: recorded ones do what the first ones did, and the best token needs no logits.
#include <algorithm>
#include <random>

#include "engine/random_model.h"
#include "tests/cuda/card.h"

namespace deciban {
namespace {

class CudaDecode : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { DECIBAN_NEEDS_CARD(); }
  std::unique_ptr<LanguageModel> open(bool deterministic = false) const {
    return open_on_card(golden("rwkv/" + GetParam() + "/model.pth"), {.deterministic = deterministic});
  }
};

// The first calls run operation by operation, later ones are played back: same tokens, same bits.
TEST_P(CudaDecode, AReplayIsTheFirstCall) {
  for (const std::size_t n : {1, 5, 16, 130}) {
    const auto model = open();
    const auto batch = model->start_batch(n);
    std::vector<std::vector<float>> first;
    for (int round = 0; round < 3; ++round) {
      std::mt19937 random(3);
      for (std::size_t i = 0; i < n; ++i) batch->reset(i);
      for (std::size_t step = 0; step < 8; ++step) {
        std::vector<Token> tokens(n);
        for (Token& token : tokens) token = static_cast<Token>(random() % 257);
        const LogitRows rows = batch->step(tokens);
        const std::vector<float> logits(rows.data, rows.data + rows.rows * rows.columns);
        if (round == 0) {
          first.push_back(logits);
        } else {
          EXPECT_EQ(std::memcmp(logits.data(), first[step].data(), logits.size() * sizeof(float)), 0)
              << "round " << round << ", step " << step << " of " << n << " sequences";
        }
      }
    }
  }
}

TEST_P(CudaDecode, TheBestTokenIsThatOfTheLogits) {
  const std::size_t n = 7;
  const auto model = open(true);
  const auto by_logits = model->start_batch(n), by_best = model->start_batch(n);
  std::vector<Token> tokens(n);
  for (std::size_t i = 0; i < n; ++i) tokens[i] = static_cast<Token>(i * 31);
  for (int step = 0; step < 20; ++step) {
    const LogitRows rows = by_logits->step(tokens);
    std::vector<TokenScore> best(n);
    by_best->step_best(tokens, best);
    for (std::size_t i = 0; i < n; ++i) {
      const TokenScore want = best_of(rows.row(i));
      EXPECT_EQ(best[i].best, want.best) << "step " << step;
      EXPECT_NEAR(best[i].best_logprob, want.best_logprob, 1e-5);
      tokens[i] = want.best;
    }
  }
}

TEST_P(CudaDecode, CopiedAndResetStatesContinueExactly) {
  const auto model = open();
  const auto batch = model->start_batch(2);
  for (const Token token : {3, 77, 5, 200, 12}) batch->step(std::vector<Token>{token, 3});
  batch->copy(0, 1);
  const LogitRows same = batch->step(std::vector<Token>{5, 5});
  EXPECT_EQ(std::memcmp(same.row(0).data(), same.row(1).data(), same.columns * sizeof(float)), 0);
  batch->reset(0);
  batch->reset(1);
  const LogitRows fresh = batch->step(std::vector<Token>{5, 5});
  const std::vector<float> got(fresh.data, fresh.data + fresh.columns);
  const auto other = model->start_batch(2);
  const LogitRows want = other->step(std::vector<Token>{5, 5});
  EXPECT_EQ(std::memcmp(got.data(), want.data, want.columns * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(All, CudaDecode,
                         testing::Values("rwkv4-small", "rwkv5.2-small", "rwkv6-small", "rwkv7-small"),
                         [](const auto& info) { return std::to_string(info.index); });

// Values that the device makes itself are those that the host would have brought.
TEST(CudaGenerated, ValuesAreTheHostsBits) {
  DECIBAN_NEEDS_CARD();
  const auto backend = cuda_backend(0, false);
  const auto ops = backend->open(1);
  const std::size_t rows = 300, columns = 208;
  const StoredTensor plain = generated_tensor("w", {rows, columns}, 12345, 0.03125f);
  for (const StoredTensor& tensor :
       {plain, plain.transposed(), generated_tensor("e", {rows, columns}, 7, 1)}) {
    const std::size_t r = tensor.shape[0], c = tensor.shape[1];
    const std::vector<float> want = tensor.read_all();
    // Inputs that pick one column each: the products are the weights themselves.
    const auto weight = backend->matrix(tensor, numeric_mode("f32"));
    std::vector<float> unit(c * c, 0.0f);
    for (std::size_t i = 0; i < c; ++i) unit[i * c + i] = 1;
    ops->release(0);
    const Tensor x = ops->allocate(c, c), y = ops->allocate(c, r);
    ops->write(x, 0, c, unit.data());
    ops->linear(*weight, x, y);
    std::vector<float> got(c * r);
    ops->read(y, 0, c, got.data());
    for (std::size_t i = 0; i < r; ++i) {
      for (std::size_t j = 0; j < c; ++j) ASSERT_EQ(got[j * r + i], want[i * c + j]) << i << ", " << j;
    }
    // Rows of a table.
    const auto table = backend->table(tensor);
    std::vector<Token> tokens(r);
    for (std::size_t i = 0; i < r; ++i) tokens[i] = static_cast<Token>(r - 1 - i);
    const Tensor e = ops->allocate(r, c);
    ops->embed(*table, tokens, nullptr, e);
    std::vector<float> looked_up(r * c);
    ops->read(e, 0, r, looked_up.data());
    for (std::size_t i = 0; i < r; ++i) {
      for (std::size_t j = 0; j < c; ++j)
        ASSERT_EQ(looked_up[(r - 1 - i) * c + j], want[i * c + j]) << i << ", " << j;
    }
  }
}

TEST(CudaMemory, AModelThatDoesNotFitIsRefusedBeforeItIsLoaded) {
  DECIBAN_NEEDS_CARD();
  const auto backend = cuda_backend(0, false);
  const std::uint64_t free = *backend->free_bytes();
  const std::size_t layers = free / (std::uint64_t{400} << 20);  // more than 400 MB each
  const Checkpoint weights = random_rwkv(random_spec("rwkv7-13.3b,layers=" + std::to_string(layers)));
  try {
    check_rwkv(weights, *backend, "bf16a");
    FAIL() << "a model larger than the card was taken";
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("the model needs"), std::string::npos) << text;
    EXPECT_NE(text.find("GiB are free"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace deciban
