// A few threads that do one job after the other together.
//
// Made for operations of microseconds on machines that are also busy with other things: a job's tasks are
// claimed one by one, and the caller waits only for tasks that somebody has begun, so a thread that the
// system has not woken costs nothing but its help.  (OpenMP's barriers wait for every thread: beside another
// busy process one step of a small model took 100 times as long.)
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "engine/export.h"

namespace deciban::cpu {

class DECIBAN_API Team {
 public:
  // The caller of run() counts as one of the threads.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  int size() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls task(i, thread) for every i in [0, tasks), `thread` in [0, size()), and returns when all have
  // returned. Tasks must not throw and must not depend on which thread runs them.  One caller at a time.
  template <typename Task>
  void run(std::size_t tasks, const Task& task) {
    if (threads_.empty() || tasks <= 1) {
      for (std::size_t i = 0; i < tasks; ++i) task(i, 0);
      return;
    }
    // A job counts its tasks in kCountBits bits; more are done in several jobs.
    for (std::size_t first = 0; first < tasks; first += kMostTasks) {
      const auto offset = [&task, first](std::size_t i, int thread) { task(first + i, thread); };
      using Offset = decltype(offset);
      run_job(tasks - first < kMostTasks ? tasks - first : kMostTasks, &offset,
              [](const void* context, std::size_t i, int thread) {
                (*static_cast<const Offset*>(context))(i, thread);
              });
    }
  }

 private:
  using Call = void (*)(const void* context, std::size_t i, int thread);
  static constexpr int kCountBits = 20;
  static constexpr std::size_t kMostTasks = (std::size_t{1} << kCountBits) - 1;

  void run_job(std::size_t tasks, const void* context, Call call);
  bool work(int thread);  // claims and does tasks until none is left; whether it did any
  void serve(int thread);

  // Generation, number of tasks, next task to claim: one word, so that a claim is either of the present job
  // or fails.
  std::atomic<std::uint64_t> job_{0};
  const void* context_ =
      nullptr;  // of the present job; unchanged while one of its tasks is claimed and not done
  Call call_ = nullptr;
  std::atomic<std::size_t> done_{0};
  std::atomic<std::uint32_t> wake_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace deciban::cpu
