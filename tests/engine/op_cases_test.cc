// Every op case on every kernel table of this machine, with one thread and with three.
#include "engine/op_cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <set>

namespace deciban {
namespace {

// Ops that are used for many cases one after the other, as models do: memory comes dirty, scratch comes in
// any size. States stay allocated as long as their Ops, so there is a new one now and then.
class WornOps {
 public:
  WornOps(Backend& backend, int threads) : backend_(backend), threads_(threads) {}
  std::vector<std::vector<float>> outcome(const OpProblem& problem) {
    if (uses_++ % 32 == 0) {
      ops_ = backend_.open(threads_);
      const Tensor junk =
          ops_->allocate(64, 1 << 10);  // large finite values: whatever a case does not write shows
      const std::vector<float> values(junk.columns * junk.rows, 3e38f);
      ops_->write(junk, 0, junk.rows, values.data());
    }
    ops_->release(0);
    const std::unique_ptr<OpRun> run = problem.bind(backend_, *ops_);
    run->run();
    return run->outputs();
  }

 private:
  Backend& backend_;
  const int threads_;
  std::unique_ptr<Ops> ops_;
  std::size_t uses_ = 0;
};

struct Machine {
  explicit Machine(const std::string& isa)
      : backend(cpu_backend(isa)), one(*backend, 1), three(*backend, 3) {}
  std::unique_ptr<Backend> backend;
  WornOps one, three;
};

// bf16 results are off by up to half an ulp of bf16, whatever came before: they say nothing of the other
// tolerances.
bool rounds_result(const OpCase& c) {
  const bool product = c.op == OpKind::linear || c.op == OpKind::score_head;
  return product ? c.has(kNarrow) : c.mode.activations == ActivationFormat::bf16;
}

// DECIBAN_CASE_STRIDE=20: only every 20th case of an operation, for machines that are emulated.
std::size_t stride() {
  const char* set = std::getenv("DECIBAN_CASE_STRIDE");
  return set != nullptr ? std::max<std::size_t>(std::strtoul(set, nullptr, 10), 1) : 1;
}

class OpCases : public ::testing::TestWithParam<OpKind> {};

TEST_P(OpCases, AreWithinTheirTolerances) {
  std::vector<std::unique_ptr<Machine>> machines;
  for (const std::string& isa : supported_isas()) machines.push_back(std::make_unique<Machine>(isa));
  double worst = 0;
  std::string worst_case;
  std::size_t cases = 0, met = 0;
  for (const OpCase& c : op_cases()) {
    if (c.op != GetParam() || met++ % stride() != 0) continue;
    ++cases;
    const auto problem = make_problem(c);
    const std::vector<Expected> expected = problem->expected();
    for (const auto& machine : machines) {
      const std::string where = name(c) + " on " + machine->backend->kernels();
      const auto one = machine->one.outcome(*problem);
      const OpVerdict verdict = judge(expected, one);
      EXPECT_EQ(verdict.complaint, "") << where;
      if (verdict.worst > worst && !rounds_result(c)) {
        worst = verdict.worst;
        worst_case = where;
      }
      const auto three = machine->three.outcome(*problem);
      ASSERT_EQ(one.size(), three.size());
      for (std::size_t i = 0; i < one.size(); ++i) {
        ASSERT_EQ(one[i].size(), three[i].size());
        EXPECT_TRUE(one[i].empty() ||
                    std::memcmp(one[i].data(), three[i].data(), one[i].size() * sizeof(float)) == 0)
            << where << ": " << expected[i].what << " depends on the threads";
      }
    }
  }
  EXPECT_GT(cases, 0u);
  RecordProperty("cases", static_cast<int>(cases));
  RecordProperty("worst_share_of_tolerance", std::to_string(worst));
  RecordProperty("worst_case", worst_case);
  std::cout << cases << " cases; at worst " << worst << " of the tolerance: " << worst_case << "\n";
}

INSTANTIATE_TEST_SUITE_P(Every, OpCases,
                         ::testing::Values(OpKind::embed, OpKind::norm_mix, OpKind::linear, OpKind::wkv4,
                                           OpKind::wkv5, OpKind::wkv7, OpKind::norm_rows, OpKind::score_head,
                                           OpKind::transfer, OpKind::add_rows, OpKind::attention),
                         [](const auto& info) { return std::string(name(info.param)); });

// Damaged activations must not score: a NaN or an overflow anywhere in a row makes its log-probability NaN,
// whatever vector, panel or block it is met in, and no other row's.
TEST(ScoreHead, PassesNanOn) {
  const std::size_t vocabulary = 5000, inputs = 16, rows = 3;
  for (const std::string& isa : supported_isas()) {
    const auto backend = cpu_backend(isa);
    for (const auto& [mode, damage] :
         {std::pair{"f32", std::nanf("")}, std::pair{"f32", 3e38f}, std::pair{"bf16", std::nanf("")},
          std::pair{"int8", std::nanf("")}, std::pair{"int4", std::nanf("")},
          std::pair{"int8a", std::nanf("")}, std::pair{"int8a", INFINITY}}) {
      for (const std::size_t id : {0, 63, 4095, 4096, 4999}) {
        std::vector<float> table(vocabulary * inputs, 0.0f), x(rows * inputs, 1.0f);
        for (std::size_t k = 0; k < inputs; ++k) table[id * inputs + k] = 2.0f;
        x[inputs] = damage;  // 3e38 * 2 overflows, for the one id; a NaN spoils all
        const auto w = backend->matrix(owned_tensor("w", {vocabulary, inputs}, table), numeric_mode(mode));
        const auto ops = backend->open(1);
        const Tensor t = ops->allocate(rows, inputs);
        ops->write(t, 0, rows, x.data());
        std::vector<TokenScore> scores(rows);
        ops->score_head(*w, t, std::vector<Token>{7, 7, 7}, scores);
        EXPECT_TRUE(std::isnan(scores[1].logprob) || scores[1].logprob == -INFINITY) << isa << ' ' << id;
        EXPECT_TRUE(std::isnan(scores[1].best_logprob)) << isa << ' ' << id << ' ' << mode << ' ' << damage;
        EXPECT_TRUE(std::isfinite(scores[0].logprob) && std::isfinite(scores[2].logprob)) << isa;
      }
    }
  }
}

TEST(OpCaseTable, NamesAreUnique) {
  std::set<std::string> names;
  for (const OpCase& c : op_cases()) EXPECT_TRUE(names.insert(name(c)).second) << name(c);
}

// A second call after reset() gives the same bits as the first: what benchmarks repeat is what tests checked.
TEST(OpCaseTable, ResetMakesACallRepeatable) {
  const auto backend = cpu_backend();
  std::set<OpKind> seen;
  for (const OpCase& c : op_cases()) {
    if (c.rows != 7 && c.rows != 6 && c.rows != 13) continue;
    if (c.op == OpKind::linear && c.combine != Epilogue::Combine::add) continue;
    if (!seen.insert(c.op).second) continue;
    const auto problem = make_problem(c);
    const auto ops = backend->open(1);
    const auto run = problem->bind(*backend, *ops);
    run->run();
    const auto first = run->outputs();
    run->run();
    run->reset();
    run->run();
    EXPECT_EQ(first, run->outputs()) << name(c);
  }
  EXPECT_EQ(seen.size(), 11u);
}

TEST(OpCaseTable, CostsArePositive) {
  for (const OpCase& c : op_cases()) {
    EXPECT_GE(flops(c), 0) << name(c);
    EXPECT_GT(bytes(c), 0) << name(c);
  }
  OpCase c;
  c.rows = 2;
  c.inputs = 3;
  c.outputs = 5;
  c.mode = numeric_mode("bf16");
  EXPECT_EQ(flops(c), 2 * 2 * 3 * 5);
  EXPECT_EQ(bytes(c), 3 * 5 * 2 + 2 * 3 * 4 + 2 * 5 * 4);
}

TEST(Judge, SeesWhatIsOutsideAndNothingElse) {
  const std::vector<Expected> expected = {{"y", {1.0, 2.0}, {0.1, 0.0}}};
  EXPECT_EQ(judge(expected, {{1.05f, 2.0f}}).complaint, "");
  EXPECT_NEAR(judge(expected, {{1.05f, 2.0f}}).worst, 0.5, 1e-6);
  EXPECT_NE(judge(expected, {{1.2f, 2.0f}}).complaint, "");
  EXPECT_NE(judge(expected, {{1.0f, 2.0000002f}}).complaint, "");
  EXPECT_NE(judge(expected, {{std::nanf(""), 2.0f}}).complaint, "");
  EXPECT_NE(judge(expected, {{1.0f, INFINITY}}).complaint, "");
  EXPECT_NE(judge(expected, {{1.0f}}).complaint, "");
  EXPECT_NE(judge(expected, {}).complaint, "");
}

}  // namespace
}  // namespace deciban
