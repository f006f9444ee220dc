// The shard a launcher gave this process: Slurm (steps and job arrays), OpenMPI and PMI say so in the
// environment.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "evals/selection.h"

namespace deciban {

struct LaunchedShard {
  Shard shard;
  std::string from;  // "SLURM_PROCID=1 SLURM_NTASKS=8"
};

// `variable` looks one up (null if unset), like std::getenv.  None if no launcher started more than one
// process.  An array of jobs must be numbered without gaps (--array=0-7, 1-8).  Throws std::invalid_argument
// if the variables make no sense.
std::optional<LaunchedShard> shard_from_environment(const std::function<const char*(const char*)>& variable);

}  // namespace deciban
