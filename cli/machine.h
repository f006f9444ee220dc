// The machine and the process, as the system describes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace deciban {

struct Machine {
  std::string cpu;               // "AMD EPYC 9V74 80-Core Processor"
  unsigned cpus = 0;             // logical ones that this process may use
  std::uint64_t memory = 0;      // bytes
  std::vector<std::string> isa;  // what matters for speed and is there: "avx2", "avx512", "neon_dot" …
  std::string system;            // "Linux 6.1.0"
};
Machine this_machine();

// Most bytes of memory resident at once since the start, or since reset_peak_memory() where the system lets
// it.
std::uint64_t peak_memory();
// False if the system does not allow it.
bool reset_peak_memory();

std::string utc_now();     // "2026-11-23T06:22:30Z"
std::string local_date();  // "2026-11-23"

}  // namespace deciban
