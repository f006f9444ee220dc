#include "bench/gate_ab.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "bench/line_process.h"
#include "reports/random.h"

namespace deciban {
namespace {

constexpr double kLimit = 60;  // seconds that one answer may take

template <typename T>
void shuffle(std::vector<T>& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i)
    std::swap(values[i - 1], values[random.below(static_cast<std::uint32_t>(i))]);
}

class ProcessTimer final : public Timer {
 public:
  ProcessTimer(const std::vector<std::string>& command, int cpu, const std::atomic<bool>* stop)
      : process_(command, cpu), stop_(stop) {}
  double time(const TimingRequest& request) override {
    return parse_seconds(process_.ask(to_line(request), kLimit, stop_));
  }

 private:
  LineProcess process_;
  const std::atomic<bool>* stop_;
};

std::vector<std::string> command_of(const std::string& program, int threads) {
  return {program, "gate", "measure-case", "--threads", std::to_string(threads)};
}

}  // namespace

RoundsResult take_rounds(
    const std::vector<std::string>& cases, std::size_t sides,
    const std::function<std::unique_ptr<Timer>(std::size_t side, std::uint64_t draw)>& start,
    const RoundOptions& options, const std::function<void(int round, int rounds)>& progress) {
  RoundsResult result;
  for (const std::string& name : cases)
    result.cases.push_back({name, std::vector<std::vector<double>>(sides)});
  Random random(options.seed);
  for (int round = 0; round < options.rounds; ++round) {
    const std::uint64_t draw = random.next();
    std::vector<std::unique_ptr<Timer>> timers(sides);
    std::vector<std::size_t> order;
    for (std::size_t s = 0; s < sides; ++s) order.push_back(s);
    shuffle(order, random);
    for (const std::size_t s : order) timers[s] = start(s, draw);
    std::vector<std::size_t> places(cases.size());
    for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
    shuffle(places, random);
    // A round that was interrupted leaves no samples, so that all cases have equally many.
    std::vector<std::vector<double>> fastest(
        cases.size(), std::vector<double>(sides, std::numeric_limits<double>::infinity()));
    for (const std::size_t place : places) {
      if (options.stop && options.stop->load()) {
        result.interrupted = true;
        return result;
      }
      TimingRequest request = options.request;
      request.name = cases[place];
      shuffle(order, random);
      for (int turn = 0; turn < options.turns; ++turn) {
        for (const std::size_t s : order)
          fastest[place][s] = std::min(fastest[place][s], timers[s]->time(request));
        std::reverse(order.begin(), order.end());
      }
    }
    for (std::size_t i = 0; i < cases.size(); ++i) {
      for (std::size_t s = 0; s < sides; ++s) result.cases[i].sides[s].push_back(fastest[i][s]);
    }
    if (progress) progress(round + 1, options.rounds);
  }
  return result;
}

std::unique_ptr<Timer> process_timer(const std::string& program, int threads, std::uint64_t draw,
                                     const std::atomic<bool>* stop) {
  int cpu = -1;
  if (threads == 1) {
    if (const std::vector<int> cpus = usable_cpus(); !cpus.empty()) cpu = cpus[draw % cpus.size()];
  }
  return std::make_unique<ProcessTimer>(command_of(program, threads), cpu, stop);
}

Hello ask_hello(const std::string& program, const std::atomic<bool>* stop) {
  LineProcess process(command_of(program, 1));
  return parse_hello(process.ask(hello_line(), kLimit, stop));
}

}  // namespace deciban
