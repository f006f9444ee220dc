#include "engine/cpu/team.h"

#include <sched.h>

namespace deciban::cpu {
namespace {

// About 40 microseconds: the pauses between the operations of a model are shorter, sleeping and waking cost
// about as much.
constexpr int kSpins = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // "yield" does nothing on most cores; this empties the pipeline
#endif
}

}  // namespace

Team::Team(int threads) {
  for (int i = 1; i < threads; ++i) threads_.emplace_back([this, i] { serve(i); });
}

Team::~Team() {
  stop_ = true;
  ++wake_;
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool Team::work(int thread) {
  bool any = false;
  std::uint64_t job = job_.load(std::memory_order_acquire);
  for (;;) {
    const std::size_t next = job & kMostTasks, tasks = job >> kCountBits & kMostTasks;
    if (next >= tasks) return any;
    if (!job_.compare_exchange_weak(job, job + 1, std::memory_order_acq_rel)) continue;
    call_(context_, next, thread);
    done_.fetch_add(1, std::memory_order_release);
    any = true;
    job = job_.load(std::memory_order_acquire);
  }
}

void Team::run_job(std::size_t tasks, const void* context, Call call) {
  context_ = context;
  call_ = call;
  done_.store(0, std::memory_order_relaxed);
  const std::uint64_t generation = (job_.load(std::memory_order_relaxed) >> (2 * kCountBits)) + 1;
  job_.store(generation << (2 * kCountBits) | static_cast<std::uint64_t>(tasks)
                                                  << kCountBits);  // sequentially consistent
  if (sleepers_.load() > 0) {
    ++wake_;
    wake_.notify_all();
  }
  work(0);
  for (int spins = 0; done_.load(std::memory_order_acquire) != tasks; ++spins) {
    if (spins < kSpins) {
      pause();
    } else {
      sched_yield();  // somebody has begun a task and was put aside
    }
  }
}

void Team::serve(int thread) {
  while (!stop_) {
    bool worked = false;
    for (int spins = 0; spins < kSpins && !worked; ++spins) {
      worked = work(thread);
      if (!worked) pause();
    }
    if (worked) continue;
    const std::uint32_t seen = wake_.load();
    ++sleepers_;
    // Asked once more after saying that it sleeps: either this thread sees a new job or the caller sees the
    // sleeper.
    if (!work(thread) && !stop_) wake_.wait(seen);
    --sleepers_;
  }
}

}  // namespace deciban::cpu
