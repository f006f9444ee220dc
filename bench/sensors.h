// What the system tells of a processor while it works: clock and energy, resident memory, an accelerator's.
// Everything is absent where the system does not tell.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace deciban {

// From /proc/self/status, in bytes.
std::uint64_t resident_bytes();
std::uint64_t most_resident_bytes();

class Sensors {
 public:
  // `device`: "cpu" or "cuda:N" (the first of "cuda:0,1"); accelerators are asked through the driver's
  // management library (NVML), loaded when it is there.
  explicit Sensors(const std::string& device);
  ~Sensors();
  // Joules since some moment: RAPL's packages, or the card's counter.
  std::optional<double> joules() const;
  // Hertz now: the mean of the CPUs, or the card's SM clock.
  std::optional<double> clock() const;
  // Bytes of the accelerator's memory that this process holds, as the driver counts them.
  std::optional<std::uint64_t> device_bytes() const;

 private:
  struct Nvml;
  std::unique_ptr<Nvml> nvml_;
};

}  // namespace deciban
