#include "cli/shard_environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace deciban {
namespace {

struct Launcher {
  const char* rank;
  const char* size;
  const char* first = nullptr;  // the lowest rank, where it need not be 0
};
// A job step's own count comes before the job's, of which it may be a part.
constexpr Launcher kLaunchers[] = {{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
                                   {"SLURM_PROCID", "SLURM_NTASKS"},
                                   {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                   {"PMI_RANK", "PMI_SIZE"}};
constexpr Launcher kArray = {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"};

std::size_t number(const char* name, const char* text) {
  std::size_t value = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc{} || stop != end || text == end) {
    throw std::invalid_argument(fmt::format(
        "{}={}: is not a number; give --shard I/N, or --shard off to score everything", name, text));
  }
  return value;
}

using Variable = std::function<const char*(const char*)>;

// None if the variables are not set, or speak of one process.
std::optional<LaunchedShard> shard_of(const Launcher& launcher, const Variable& variable) {
  const char* rank = variable(launcher.rank);
  const char* size = variable(launcher.size);
  if (!rank || !size) return std::nullopt;
  LaunchedShard found{{number(launcher.rank, rank), number(launcher.size, size)},
                      fmt::format("{}={} {}={}", launcher.rank, rank, launcher.size, size)};
  const char* first = launcher.first ? variable(launcher.first) : nullptr;
  if (first) {
    found.from += fmt::format(" {}={}", launcher.first, first);
    found.shard.index -= std::min(found.shard.index, number(launcher.first, first));
  }
  if (found.shard.index >= found.shard.count) {
    throw std::invalid_argument(
        first ? fmt::format(
                    "{}: an array of jobs must be numbered without gaps (--array=1-8); or give --shard I/N, "
                    "or --shard off",
                    found.from)
              : fmt::format("{}={} is not below {}={}; give --shard I/N, or --shard off", launcher.rank, rank,
                            launcher.size, size));
  }
  if (found.shard.count == 1) return std::nullopt;
  return found;
}

}  // namespace

std::optional<LaunchedShard> shard_from_environment(const Variable& variable) {
  std::optional<LaunchedShard> shard;
  for (const Launcher& launcher : kLaunchers) {
    if ((shard = shard_of(launcher, variable))) break;
  }
  const std::optional<LaunchedShard> array = shard_of(kArray, variable);
  if (!array || !shard) return array ? array : shard;
  // Each job of the array has steps of several processes: all of them together share the work.
  return LaunchedShard{
      {array->shard.index * shard->shard.count + shard->shard.index, array->shard.count * shard->shard.count},
      array->from + " " + shard->from};
}

}  // namespace deciban
