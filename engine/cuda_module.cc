#include "engine/cuda_module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <stdexcept>

#include "deciban_version.h"
#include "engine/cuda/module_api.h"

namespace deciban {
namespace {

constexpr int kMostDevices = 64;
constexpr std::size_t kErrorSize = 1024;

struct Module {
  std::string path;
  deciban_cuda_devices_fn* devices = nullptr;
  deciban_cuda_open_fn* open = nullptr;
};

bool module_named() {
  const char* set = std::getenv("DECIBAN_CUDA_MODULE");
  return set != nullptr && *set != '\0';
}

std::filesystem::path module_path() {
  if (module_named()) return std::getenv("DECIBAN_CUDA_MODULE");
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&module_path), &info) == 0 || info.dli_fname == nullptr) {
    throw std::runtime_error(
        "CUDA: the engine's own library was not found; set DECIBAN_CUDA_MODULE to the path of "
        "libdeciban_cuda.so");
  }
  return std::filesystem::path(info.dli_fname).parent_path() / "libdeciban_cuda.so";
}

// What the loader complains of, with what to do about it.
std::string advice(const std::string& complaint) {
  if (complaint.find("libcublasLt") != std::string::npos) {
    return "cuBLASLt is missing: install the CUDA toolkit's libcublas, or add the folder of libcublasLt.so "
           "to "
           "LD_LIBRARY_PATH";
  }
  if (complaint.find("undefined symbol") != std::string::npos) {
    return "it is of another build than the engine: rebuild both together";
  }
  return "rebuild it, or use --device cpu";
}

Module load(const std::filesystem::path& path) {
  if (path == "none") throw std::runtime_error("CUDA: switched off by DECIBAN_CUDA_MODULE=none");
  if (!std::filesystem::exists(path)) {
    throw std::runtime_error(
        fmt::format("CUDA: there is no module '{}': this deciban was built without nvcc; build it where the "
                    "CUDA toolkit is installed, or use --device cpu",
                    path.string()));
  }
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* text = ::dlerror();
    const std::string complaint = text != nullptr ? text : "unknown error";
    throw std::runtime_error(fmt::format("CUDA: the module '{}' cannot be opened: {} ({})", path.string(),
                                         complaint, advice(complaint)));
  }
  Module module;
  module.path = path;
  module.devices = reinterpret_cast<deciban_cuda_devices_fn*>(::dlsym(handle, "deciban_cuda_devices"));
  module.open = reinterpret_cast<deciban_cuda_open_fn*>(::dlsym(handle, "deciban_cuda_open"));
  if (module.devices == nullptr || module.open == nullptr) {
    throw std::runtime_error(
        fmt::format("CUDA: '{}' is not deciban's module: it lacks deciban_cuda_devices or deciban_cuda_open",
                    path.string()));
  }
  return module;  // the handle is never closed: objects of the module live anywhere
}

const Module& opened() {
  static std::mutex mutex;
  static std::map<std::string, Module> modules;
  const std::filesystem::path path = module_path();
  const std::lock_guard lock(mutex);
  const auto known = modules.find(path.string());
  return known != modules.end() ? known->second : modules.emplace(path.string(), load(path)).first->second;
}

// Whether this machine has the driver's library.  Far cheaper to ask than the module, which maps cuBLASLt.
bool has_driver() {
  static const bool found = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr;
  return found;
}

}  // namespace

std::vector<CudaDevice> cuda_devices() {
  const Module& module = opened();
  std::array<deciban_cuda_device, kMostDevices> found{};
  std::array<char, kErrorSize> error{};
  const int count = module.devices(found.data(), kMostDevices, error.data(), error.size());
  if (count < 0) {
    throw std::runtime_error(fmt::format("CUDA: {}; {}", error.data(),
                                         has_driver()
                                             ? "use --device cpu"
                                             : "no NVIDIA driver is installed (libcuda.so.1), so use "
                                               "--device cpu"));
  }
  if (count == 0) throw std::runtime_error("CUDA: the driver shows no device; use --device cpu");
  std::vector<CudaDevice> devices;
  for (int i = 0; i < std::min(count, kMostDevices); ++i) {
    const deciban_cuda_device& d = found[static_cast<std::size_t>(i)];
    devices.push_back({d.name, d.major, d.minor, d.multiprocessors, d.total_bytes, d.free_bytes});
  }
  return devices;
}

bool cuda_available() {
  try {
    if (!module_named() && !has_driver()) return false;
    return !cuda_devices().empty();
  } catch (const std::runtime_error&) {
    return false;
  }
}

std::unique_ptr<Backend> cuda_backend(int device, bool deterministic) {
  const std::vector<CudaDevice> devices = cuda_devices();
  if (device < 0 || static_cast<std::size_t>(device) >= devices.size()) {
    throw std::runtime_error(fmt::format("CUDA: there is no device {}: this machine has {} (0 to {})", device,
                                         devices.size(), devices.size() - 1));
  }
  const Module& module = opened();
  std::array<char, kErrorSize> error{};
  std::unique_ptr<Backend> backend(
      module.open(DECIBAN_BUILD_ID, device, deterministic, error.data(), error.size()));
  if (!backend) throw std::runtime_error(fmt::format("CUDA device {}: {}", device, error.data()));
  return backend;
}

}  // namespace deciban
