#include "bench/sensors.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <vector>

namespace deciban {
namespace {

namespace fs = std::filesystem;

std::uint64_t status_bytes(std::string_view name) {
  std::ifstream lines("/proc/self/status");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  }
  return 0;
}

std::optional<double> number_in(const fs::path& file) {
  std::ifstream text(file);
  double value = 0;
  if (!(text >> value)) return std::nullopt;
  return value;
}

// The packages' counters; sub-zones (cores, memory controllers) are parts of them.
std::optional<double> rapl_joules() {
  std::error_code error;
  double total = 0;
  bool any = false;
  for (fs::directory_iterator entry("/sys/class/powercap", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with("intel-rapl:") || std::count(name.begin(), name.end(), ':') != 1) continue;
    if (const auto microjoules = number_in(entry->path() / "energy_uj")) {
      total += *microjoules * 1e-6;
      any = true;
    }
  }
  return any ? std::optional(total) : std::nullopt;
}

std::optional<double> cpu_clock() {
  double total = 0;
  int count = 0;
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with("cpu MHz") || colon == std::string::npos) continue;
    total += std::strtod(line.c_str() + colon + 1, nullptr) * 1e6;
    ++count;
  }
  if (count == 0 || total <= 0) return std::nullopt;
  return total / count;
}

}  // namespace

std::uint64_t resident_bytes() { return status_bytes("VmRSS:"); }
std::uint64_t most_resident_bytes() { return status_bytes("VmHWM:"); }

// The few calls of NVML's C interface that are needed, by its documented signatures.
struct Sensors::Nvml {
  using Device = void*;
  struct Process {
    unsigned int pid;
    unsigned long long used;
    unsigned int gpu_instance, compute_instance;
  };
  void* library = nullptr;
  Device device = nullptr;
  int (*shutdown)() = nullptr;
  int (*energy)(Device, unsigned long long*) = nullptr;
  int (*clock)(Device, int, unsigned int*) = nullptr;
  int (*processes)(Device, unsigned int*, Process*) = nullptr;

  template <typename F>
  bool find(F& function, const char* name) {
    function = reinterpret_cast<F>(::dlsym(library, name));
    return function != nullptr;
  }
  bool open(int index) {
    library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return false;
    int (*init)() = nullptr;
    int (*by_index)(unsigned int, Device*) = nullptr;
    if (!find(init, "nvmlInit_v2") || !find(by_index, "nvmlDeviceGetHandleByIndex_v2") || init() != 0)
      return false;
    find(shutdown, "nvmlShutdown");
    find(energy, "nvmlDeviceGetTotalEnergyConsumption");
    find(clock, "nvmlDeviceGetClockInfo");
    find(processes, "nvmlDeviceGetComputeRunningProcesses_v3");
    return by_index(static_cast<unsigned>(index), &device) == 0;
  }
  ~Nvml() {
    if (shutdown) shutdown();
    if (library) ::dlclose(library);
  }
};

Sensors::Sensors(const std::string& device) {
  constexpr std::string_view kCuda = "cuda:";
  if (!device.starts_with(kCuda)) return;
  auto nvml = std::make_unique<Nvml>();
  if (nvml->open(std::atoi(device.c_str() + kCuda.size()))) nvml_ = std::move(nvml);
}

Sensors::~Sensors() = default;

std::optional<double> Sensors::joules() const {
  if (!nvml_) return rapl_joules();
  unsigned long long millijoules = 0;
  if (!nvml_->energy || nvml_->energy(nvml_->device, &millijoules) != 0) return std::nullopt;
  return static_cast<double>(millijoules) * 1e-3;
}

std::optional<double> Sensors::clock() const {
  if (!nvml_) return cpu_clock();
  constexpr int kSmClock = 1;
  unsigned int megahertz = 0;
  if (!nvml_->clock || nvml_->clock(nvml_->device, kSmClock, &megahertz) != 0) return std::nullopt;
  return megahertz * 1e6;
}

std::optional<std::uint64_t> Sensors::device_bytes() const {
  if (!nvml_ || !nvml_->processes) return std::nullopt;
  std::vector<Nvml::Process> processes(64);
  auto count = static_cast<unsigned int>(processes.size());
  if (nvml_->processes(nvml_->device, &count, processes.data()) != 0) return std::nullopt;
  for (unsigned int i = 0; i < count; ++i) {
    constexpr unsigned long long kUnknown = ~0ull;
    if (processes[i].pid == static_cast<unsigned>(::getpid()) && processes[i].used != kUnknown)
      return processes[i].used;
  }
  return std::nullopt;
}

}  // namespace deciban
