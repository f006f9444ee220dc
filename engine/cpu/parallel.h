// A fork-join loop over independent tasks, on OpenMP's pool.
#pragma once

#include <omp.h>

#include <cstddef>

namespace deciban::cpu {

// Calls task(i, thread) for i in [0, tasks), `thread` in [0, threads).  Tasks must not throw and must not depend on
// which thread runs them.
template <typename Task>
inline void parallel(int threads, std::size_t tasks, const Task& task) {
  if (threads <= 1 || tasks <= 1) {
    for (std::size_t i = 0; i < tasks; ++i) task(i, 0);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (std::size_t i = 0; i < tasks; ++i) task(i, omp_get_thread_num());
}

}  // namespace deciban::cpu
