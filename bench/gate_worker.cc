#include "bench/gate_worker.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/gate_cases.h"
#include "deciban_version.h"
#include "engine/device.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr int kProtocol = 1;

double seconds_of(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

bool is_device(const std::string& place) { return place.starts_with("cuda"); }

// The case that was asked for last, ready to be called: it is often asked for again.
class Bench {
 public:
  explicit Bench(int threads) : threads_(threads) {}

  double measure(const TimingRequest& request) {
    bind(request.name);
    const bool wall = threads_ > 1 || is_device(place_);
    const auto clock = [wall, this] {
      if (is_device(place_)) {  // whatever was asked of a device is done when something is read from it
        float value = 0;
        ops_->read(probe_, 0, 1, &value);
      }
      return seconds_of(wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID);
    };
    run_->reset();
    return fastest_batch([this] { run_->run(); }, request.batch_seconds, request.batches, clock);
  }

 private:
  void bind(const std::string& wanted) {
    if (wanted == bound_) return;
    const std::size_t at = wanted.rfind(" @");
    const OpCase* found = nullptr;
    for (const OpCase& c : gate_cases()) {
      if (at != std::string::npos && name(c) == wanted.substr(0, at)) found = &c;
    }
    if (!found) throw std::runtime_error("there is no such case here");
    run_.reset();
    problem_.reset();
    bound_.clear();
    if (const std::string place = wanted.substr(at + 2); place != place_ || !backend_) {
      ops_.reset();
      backend_ =
          is_device(place) ? std::move(open_backends(place, "auto", false).front()) : cpu_backend(place);
      place_ = place;
    }
    if (const std::string why = backend_->refusal(found->mode); !why.empty()) throw std::runtime_error(why);
    ops_ = backend_->open(threads_);
    probe_ = ops_->allocate(1, 1);
    problem_ = make_problem(*found);
    run_ = problem_->bind(*backend_, *ops_);
    bound_ = wanted;
  }

  const int threads_;
  std::string bound_, place_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Ops> ops_;
  Tensor probe_;
  std::unique_ptr<OpProblem> problem_;
  std::unique_ptr<OpRun> run_;
};

json hello() {
  json names = json::array();
  for (const std::string& isa : supported_isas()) {
    for (const OpCase& c : gate_cases()) names.push_back(name(PlacedCase{c, isa}));
  }
  return {{"hello", kProtocol}, {"commit", DECIBAN_COMMIT}, {"cases", std::move(names)}};
}

json answer(Bench& bench, const std::string& line) {
  const json asked = json::parse(line);
  if (asked.contains("hello")) return hello();
  TimingRequest request;
  request.name = asked.at("case").get<std::string>();
  request.batch_seconds = std::clamp(asked.at("batch_seconds").get<double>(), 0.0, 10.0);
  request.batches = std::clamp(asked.at("batches").get<int>(), 1, 1000);
  return {{"seconds", bench.measure(request)}};
}

json parse_reply(const std::string& line) {
  const json reply = json::parse(line, nullptr, false);
  if (!reply.is_object())
    throw std::runtime_error(fmt::format("no answer of a measuring process: '{}'", line.substr(0, 200)));
  if (const auto error = reply.find("error"); error != reply.end())
    throw std::runtime_error(error->is_string() ? error->get<std::string>() : error->dump());
  return reply;
}

}  // namespace

double fastest_batch(const std::function<void()>& call, double batch_seconds, int batches,
                     const std::function<double()>& clock) {
  constexpr long kMost = 1L << 24;
  call();  // scratch grows, caches fill
  long calls = 1;
  double took = 0;
  for (;;
       calls = std::min(kMost, took > 0 ? std::max(calls * 2, static_cast<long>(1.2 * batch_seconds / took *
                                                                                static_cast<double>(calls)))
                                        : calls * 8)) {
    const double start = clock();
    for (long i = 0; i < calls; ++i) call();
    took = clock() - start;
    if (took >= batch_seconds || calls == kMost) break;
  }
  double best = std::numeric_limits<double>::infinity();
  for (int b = 0; b < batches; ++b) {
    const double start = clock();
    for (long i = 0; i < calls; ++i) call();
    best = std::min(best, (clock() - start) / static_cast<double>(calls));
  }
  return best;
}

void answer_timings(std::istream& in, std::ostream& out, int threads) {
  Bench bench(threads);
  for (std::string line; std::getline(in, line);) {
    json reply;
    try {
      reply = answer(bench, line);
    } catch (const std::exception& error) {
      reply = {{"error", error.what()}};
    }
    out << reply.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  }
}

std::string hello_line() { return json{{"hello", kProtocol}}.dump(); }

std::string to_line(const TimingRequest& request) {
  return json{{"case", request.name}, {"batch_seconds", request.batch_seconds}, {"batches", request.batches}}
      .dump();
}

Hello parse_hello(const std::string& line) {
  const json reply = parse_reply(line);
  try {
    if (const int protocol = reply.at("hello"); protocol != kProtocol)
      throw std::runtime_error(
          fmt::format("its measuring process speaks version {}, this program {}", protocol, kProtocol));
    return {reply.at("commit"), reply.at("cases").get<std::vector<std::string>>()};
  } catch (const json::exception& error) {
    throw std::runtime_error(fmt::format("its measuring process greets in an unknown way: {}", error.what()));
  }
}

double parse_seconds(const std::string& line) {
  const json reply = parse_reply(line);
  const auto seconds = reply.find("seconds");
  if (seconds == reply.end() || !seconds->is_number())
    throw std::runtime_error(fmt::format("an answer without seconds: '{}'", line.substr(0, 200)));
  return seconds->get<double>();
}

}  // namespace deciban
