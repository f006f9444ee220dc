#include "cli/shard_environment.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <stdexcept>

namespace deciban {
namespace {

struct Launcher {
  const char* rank;
  const char* size;
};
// A job step's own count comes before the job's, of which it may be a part.
constexpr Launcher kLaunchers[] = {{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
                                   {"SLURM_PROCID", "SLURM_NTASKS"},
                                   {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                   {"PMI_RANK", "PMI_SIZE"}};

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

}  // namespace

std::optional<LaunchedShard> shard_from_environment(const std::function<const char*(const char*)>& variable) {
  for (const Launcher& launcher : kLaunchers) {
    const char* rank = variable(launcher.rank);
    const char* size = variable(launcher.size);
    if (!rank || !size) continue;
    const Shard shard{number(launcher.rank, rank), number(launcher.size, size)};
    if (shard.index >= shard.count) {
      throw std::invalid_argument(fmt::format("{}={} is not below {}={}; give --shard I/N, or --shard off",
                                              launcher.rank, rank, launcher.size, size));
    }
    if (shard.count == 1) continue;
    return LaunchedShard{shard, fmt::format("{}={} {}={}", launcher.rank, rank, launcher.size, size)};
  }
  return std::nullopt;
}

}  // namespace deciban
