#include "bench/gate_operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace deciban {
namespace {

// The unit in the last place of f32 at a value; no less than that of the smallest normal number.
double ulp_at(double value) {
  int exponent = 0;
  std::frexp(value, &exponent);
  return std::ldexp(1.0, std::max(exponent, -125) - 24);
}

// Ops used for many cases one after the other; states live as long as their Ops, so there are new ones now
// and then, with large finite values where a case might read what it did not write.
class WornOps {
 public:
  explicit WornOps(const OperationPlace& place) : place_(place) {}
  std::vector<std::vector<float>> outcome(const OpProblem& problem) {
    if (uses_++ % 32 == 0) {
      ops_ = place_.open();
      const Tensor junk = ops_->allocate(64, 1 << 10);
      const std::vector<float> values(junk.rows * junk.columns, 3e38f);
      ops_->write(junk, 0, junk.rows, values.data());
    }
    ops_->release(0);
    const std::unique_ptr<OpRun> run = problem.bind(*place_.backend, *ops_);
    run->run();
    return run->outputs();
  }

 private:
  const OperationPlace& place_;
  std::unique_ptr<Ops> ops_;
  std::size_t uses_ = 0;
};

void note(OperationErrors& errors, const OpCase& c, const OpProblem& problem,
          const std::vector<Expected>& expected, const std::vector<std::vector<float>>& outputs) {
  ++errors.cases;
  OpVerdict verdict = judge(expected, outputs);
  const bool whole = expected.size() == outputs.size();
  for (std::size_t o = 0; whole && o < expected.size(); ++o) {
    const Expected& e = expected[o];
    for (std::size_t i = 0; i < std::min(e.value.size(), outputs[o].size()); ++i) {
      if (!(e.allowed[i] > 0) || std::isinf(e.allowed[i])) continue;  // exact by definition, or free
      const double off = std::abs(outputs[o][i] - e.value[i]);
      errors.share.add(off / e.allowed[i]);
      errors.ulps.add(off / ulp_at(e.value[i]));
    }
  }
  if (whole) {
    for (const Regret& regret : problem.regrets(outputs)) {
      errors.regret = std::max(errors.regret, regret.nats);
      if (regret.nats <= regret.allowed || !verdict.complaint.empty()) continue;
      verdict.complaint =
          fmt::format("the token named best is {:.3g} nats below the best, rounding explains {:.2g}",
                      regret.nats, regret.allowed);
      verdict.worst = regret.nats / (regret.allowed + 1e-300);
    }
  }
  if (verdict.complaint.empty()) return;
  ++errors.failed;
  if (errors.complaint.empty() || verdict.worst > errors.worst) {
    errors.worst = verdict.worst;
    errors.complaint = fmt::format("{}: {}", name(c), verdict.complaint);
  }
}

}  // namespace

void SizeHistogram::add(double size) {
  ++count_;
  if (std::isnan(size)) size = std::numeric_limits<double>::infinity();
  sum_ += size;
  max_ = std::max(max_, size);
  if (size <= 0) {
    ++zeros_;
    return;
  }
  if (bins_.empty()) bins_.resize(2 * kOctaves * kPerOctave);
  const double place = (std::isinf(size) ? kOctaves : std::log2(size) + kOctaves) * kPerOctave;
  ++bins_[static_cast<std::size_t>(std::clamp(place, 0.0, 2.0 * kOctaves * kPerOctave - 1))];
}

double SizeHistogram::quantile(double p) const {
  const double wanted = p * static_cast<double>(count_);
  double seen = static_cast<double>(zeros_);
  if (seen >= wanted) return 0;
  for (std::size_t b = 0; b < bins_.size(); ++b) {
    seen += static_cast<double>(bins_[b]);
    if (seen >= wanted) return std::min(max_, std::exp2(static_cast<double>(b + 1) / kPerOctave - kOctaves));
  }
  return max_;
}

std::vector<OperationErrors> check_operations(
    std::span<const OpCase> cases, std::span<const OperationPlace> places, const std::atomic<bool>* stop,
    const std::function<void(std::size_t done, std::size_t all)>& progress) {
  std::vector<OperationErrors> groups;
  std::map<std::string, std::size_t> places_of;
  std::vector<WornOps> worn;
  for (const OperationPlace& place : places) worn.emplace_back(place);
  std::size_t done = 0;
  for (const OpCase& c : cases) {
    if (stop && stop->load()) break;
    const auto problem = make_problem(c);
    std::vector<Expected> expected;
    for (std::size_t p = 0; p < places.size(); ++p) {
      if (!places[p].backend->refusal(c.mode).empty()) continue;
      if (expected.empty()) expected = problem->expected();
      const std::string group = fmt::format("{} {}/{} @{}", name(c.op), name(c.mode.weights),
                                            name(c.mode.activations), places[p].name);
      const auto [at, fresh] = places_of.try_emplace(group, groups.size());
      if (fresh) groups.emplace_back().name = group;
      note(groups[at->second], c, *problem, expected, worn[p].outcome(*problem));
    }
    if (progress) progress(++done, cases.size());
  }
  return groups;
}

}  // namespace deciban
