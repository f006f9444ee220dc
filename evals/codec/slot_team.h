// Threads that share the sequences of a step.  On an accelerator the frequencies, which are made on the host,
// would take longer than the step that the logits came from.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace deciban {

class SlotTeam {
 public:
  // As many as `threads`, the caller of run() among them.
  explicit SlotTeam(std::size_t threads) {
    for (std::size_t t = 1; t < threads; ++t) helpers_.emplace_back([this, t] { help(t); });
  }
  SlotTeam(const SlotTeam&) = delete;
  SlotTeam& operator=(const SlotTeam&) = delete;
  ~SlotTeam() {
    ended_ = true;
    wake();
  }
  std::size_t size() const { return helpers_.size() + 1; }

  // Calls work(i, thread) once for each i below `count`, thread being below size(), and returns when all is
  // done.  Throws what the first failed call threw.
  void run(std::size_t count, const std::function<void(std::size_t i, std::size_t thread)>& work) {
    work_ = &work;
    count_ = count;
    next_ = 0;
    busy_ = helpers_.size();
    wake();
    take(0);
    for (std::size_t busy = busy_; busy != 0; busy = busy_) busy_.wait(busy);
    if (const std::exception_ptr failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
  }

 private:
  void wake() {
    ++round_;
    round_.notify_all();
  }
  void help(std::size_t thread) {
    for (std::size_t seen = 0;;) {
      round_.wait(seen);
      seen = round_;
      if (ended_) return;
      take(thread);
      if (--busy_ == 0) busy_.notify_one();
    }
  }
  void take(std::size_t thread) {
    for (std::size_t i = next_++; i < count_; i = next_++) {
      try {
        (*work_)(i, thread);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
    }
  }

  const std::function<void(std::size_t, std::size_t)>* work_ = nullptr;
  std::size_t count_ = 0;
  std::atomic<std::size_t> next_{0}, busy_{0}, round_{0};
  std::atomic<bool> ended_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
  std::vector<std::jthread> helpers_;  // the last member: joined before the others go
};

}  // namespace deciban
