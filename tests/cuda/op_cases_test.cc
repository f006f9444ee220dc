// Every op case of accelerators on the first CUDA device, both with free choice of algorithms and
// deterministic.
#include "engine/op_cases.h"

#include <algorithm>
#include <cstring>
#include <iostream>
#include <map>

#include "engine/forwarding_ops.h"
#include "engine/op_case_data.h"
#include "tests/cuda/card.h"

namespace deciban {
namespace {

// DECIBAN_CASE_STRIDE=20: only every 20th case, for runs under a checker that slows everything down.
std::size_t stride() {
  const char* set = std::getenv("DECIBAN_CASE_STRIDE");
  return set != nullptr ? std::max<std::size_t>(std::strtoul(set, nullptr, 10), 1) : 1;
}

// As models use them: one Ops for many cases, so that memory comes dirty.
class WornOps {
 public:
  explicit WornOps(Backend& backend) : backend_(backend) {}
  Ops& fresh() {
    if (uses_++ % 32 == 0) {
      ops_ = backend_.open(1);
      const Tensor junk =
          ops_->allocate(64, 1 << 10);  // large finite values: what a case does not write shows
      const std::vector<float> values(junk.columns * junk.rows, 3e38f);
      ops_->write(junk, 0, junk.rows, values.data());
    }
    ops_->release(0);
    return *ops_;
  }

 private:
  Backend& backend_;
  std::unique_ptr<Ops> ops_;
  std::size_t uses_ = 0;
};

struct Card {
  explicit Card(bool deterministic) : backend(cuda_backend(0, deterministic)), ops(*backend) {}
  std::unique_ptr<Backend> backend;
  WornOps ops;
};

bool computed(const Card& card, const OpCase& c) { return card.backend->refusal(c.mode).empty(); }

class CudaOpCases : public testing::TestWithParam<OpKind> {};

TEST_P(CudaOpCases, AreWithinTheirTolerances) {
  DECIBAN_NEEDS_CARD();
  Card cards[] = {Card(false), Card(true)};
  double worst = 0;
  std::string worst_case;
  std::size_t cases = 0, seen = 0, bad = 0;
  for (const OpCase& c : accelerator_op_cases()) {
    if (c.op != GetParam() || !computed(cards[0], c) || seen++ % stride() != 0) continue;
    ++cases;
    const auto problem = make_problem(c);
    const std::vector<Expected> expected = problem->expected();
    for (Card& card : cards) {
      const std::string where = name(c) + " on " + card.backend->kernels();
      try {
        const auto run = problem->bind(*card.backend, card.ops.fresh());
        run->run();
        const OpVerdict verdict = judge(expected, run->outputs());
        if (!verdict.complaint.empty() && ++bad <= 20) ADD_FAILURE() << where << ": " << verdict.complaint;
        if (verdict.worst > worst && !c.has(kNarrow)) {
          worst = verdict.worst;
          worst_case = where;
        }
      } catch (const std::exception& error) {
        if (++bad <= 20) ADD_FAILURE() << where << ": " << error.what();
      }
    }
  }
  EXPECT_EQ(bad, 0u) << "of " << 2 * cases << " runs";
  EXPECT_GT(cases, 0u);
  std::cout << cases << " cases; at worst " << worst << " of the tolerance: " << worst_case << "\n";
}

// Only the bits of the modes that are exact by definition, or a fixed order of summation, can promise this.
TEST_P(CudaOpCases, RepeatToTheBitWhenDeterministic) {
  DECIBAN_NEEDS_CARD();
  Card card(true);
  std::size_t seen = 0;
  for (const OpCase& c : accelerator_op_cases()) {
    if (c.op != GetParam() || !computed(card, c) || seen++ % (7 * stride()) != 0) continue;
    const auto problem = make_problem(c);
    const auto run = problem->bind(*card.backend, card.ops.fresh());
    run->run();
    const auto first = run->outputs();
    run->reset();
    run->run();
    const auto second = run->outputs();
    ASSERT_EQ(first.size(), second.size());
    for (std::size_t i = 0; i < first.size(); ++i) {
      ASSERT_EQ(first[i].size(), second[i].size());
      EXPECT_TRUE(first[i].empty() ||
                  std::memcmp(first[i].data(), second[i].data(), first[i].size() * sizeof(float)) == 0)
          << name(c);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, CudaOpCases,
                         testing::Values(OpKind::embed, OpKind::norm_mix, OpKind::linear, OpKind::wkv4,
                                         OpKind::wkv5, OpKind::wkv7, OpKind::norm_rows, OpKind::score_head,
                                         OpKind::transfer, OpKind::add_rows, OpKind::attention),
                         [](const auto& info) { return std::string(name(info.param)); });

// Kernels of attention that this device would not choose, on the heads that it has better ones for.
TEST(CudaAttention, LesserKernelsAreWithinTheirTolerances) {
  DECIBAN_NEEDS_CARD();
  for (const char* kernel : {"mma", "plain"}) {
    ASSERT_EQ(setenv("DECIBAN_CUDA_ATTENTION", kernel, 1), 0);
    for (const bool deterministic : {false, true}) {
      Card card(deterministic);
      std::size_t seen = 0, cases = 0;
      for (const OpCase& c : accelerator_op_cases()) {
        if (c.op != OpKind::attention || Ops::product_type(c.mode.activations) == Tensor::Type::f32 ||
            (c.head_size != 64 && c.head_size != 128) || seen++ % (3 * stride()) != 0)
          continue;
        ++cases;
        const auto problem = make_problem(c);
        const auto run = problem->bind(*card.backend, card.ops.fresh());
        run->run();
        EXPECT_EQ(judge(problem->expected(), run->outputs()).complaint, "") << kernel << ": " << name(c);
      }
      EXPECT_GT(cases, 0u);
    }
  }
  unsetenv("DECIBAN_CUDA_ATTENTION");
}

// Collects linear() calls and hands them on as one group.
class GroupingOps final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    group_.push_back({&w, x, y, epilogue});
  }
  void flush() {
    inner_.products(group_);
    group_.clear();
  }

 private:
  std::vector<Product> group_;
};

// A group is what its products are one by one, whatever shapes and epilogues meet in it.
TEST(CudaProducts, AGroupIsItsProducts) {
  DECIBAN_NEEDS_CARD();
  for (const bool deterministic : {false, true}) {
    Card card(deterministic);
    std::map<std::string, std::vector<OpCase>> groups;  // of one mode and as many rows
    std::size_t seen = 0;
    for (const OpCase& c : accelerator_op_cases()) {
      if (c.op != OpKind::linear || !computed(card, c) || c.inputs < 48 || seen++ % (5 * stride()) != 0)
        continue;
      groups[std::to_string(c.rows) + " rows " + name(c.mode.weights) + "/" + name(c.mode.activations)]
          .push_back(c);
    }
    EXPECT_FALSE(groups.empty());
    for (const auto& [title, cases] : groups) {
      for (std::size_t first = 0; first < cases.size(); first += 10) {
        GroupingOps ops(card.ops.fresh());
        std::vector<std::unique_ptr<OpProblem>> problems;
        std::vector<std::unique_ptr<OpRun>> runs;
        for (std::size_t i = first; i < std::min(first + 10, cases.size()); ++i) {
          problems.push_back(make_problem(cases[i]));
          runs.push_back(problems.back()->bind(*card.backend, ops));
        }
        for (const auto& run : runs) run->run();
        ops.flush();
        for (std::size_t i = 0; i < runs.size(); ++i) {
          EXPECT_EQ(judge(problems[i]->expected(), runs[i]->outputs()).complaint, "")
              << name(cases[first + i]) << " in a group of " << runs.size() << " (" << title << ")";
        }
      }
    }
  }
}

// Damaged activations must not score, and must not touch their neighbours.
TEST(CudaScoreHead, PassesNanOn) {
  DECIBAN_NEEDS_CARD();
  const std::size_t vocabulary = 5000, inputs = 64, rows = 300;
  for (const bool deterministic : {false, true}) {
    const auto backend = cuda_backend(0, deterministic);
    for (const std::string& mode : card_modes({"f32", "bf16a", "f16a", "w8a16", "int8", "int4", "fp8"})) {
      const std::vector<float> table(vocabulary * inputs, 0.125f);
      const auto w = backend->matrix(owned_tensor("w", {vocabulary, inputs}, table), numeric_mode(mode));
      const auto ops = backend->open(1);
      std::vector<float> x(rows * inputs, 1.0f);
      x[17 * inputs + 3] = std::nanf("");
      const Tensor t = ops->allocate(rows, inputs, Ops::product_type(numeric_mode(mode).activations));
      ops->write(t, 0, rows, x.data());
      std::vector<TokenScore> scores(rows);
      ops->score_head(*w, t, std::vector<Token>(rows, 7), scores);
      for (std::size_t r = 0; r < rows; ++r) {
        EXPECT_EQ(std::isnan(scores[r].logprob), r == 17) << mode << ", row " << r;
        EXPECT_EQ(std::isnan(scores[r].best_logprob), r == 17) << mode << ", row " << r;
      }
    }
  }
}

// Logits' best token and its log-probability are those of the host's definition.
TEST(CudaRowBest, IsTheFirstOfTheLargest) {
  DECIBAN_NEEDS_CARD();
  const auto backend = cuda_backend(0, false);
  const auto ops = backend->open(1);
  for (const std::size_t columns : {1, 31, 257, 65536}) {
    const std::size_t rows = 5;
    op_case::Random random("row best " + std::to_string(columns));
    std::vector<float> logits = random.normals(rows * columns, 3);
    for (std::size_t r = 0; r < rows; ++r) {  // ties, at the ends and inside
      logits[r * columns + (r * 7919) % columns] = 20;
      logits[(r + 1) * columns - 1] = 20;
    }
    const Tensor t = ops->allocate(rows, columns);
    ops->write(t, 0, rows, logits.data());
    std::vector<TokenScore> got(rows);
    ops->row_best(t, got);
    for (std::size_t r = 0; r < rows; ++r) {
      const TokenScore want = best_of(std::span(logits).subspan(r * columns, columns));
      EXPECT_EQ(got[r].best, want.best) << columns << " columns, row " << r;
      EXPECT_NEAR(got[r].best_logprob, want.best_logprob, 1e-5 * (1 + std::abs(want.best_logprob)));
      EXPECT_EQ(got[r].logprob, got[r].best_logprob);
    }
    ops->release(0);
  }
}

}  // namespace
}  // namespace deciban
