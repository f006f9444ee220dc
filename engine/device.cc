#include "engine/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <string_view>

#include "engine/cuda_module.h"

namespace deciban {
namespace {

constexpr std::string_view kCuda = "cuda:";

int index_of(const std::string& word, std::string_view text) {
  int index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc{} || end != text.data() + text.size() || index < 0) {
    throw std::invalid_argument(
        fmt::format("device '{}': '{}' is not the index of a card; write cuda:0 or cuda:0,1", word, text));
  }
  return index;
}

}  // namespace

DeviceWord parse_device(const std::string& word) {
  if (word == "auto") return {DeviceWord::Kind::automatic, {}};
  if (word == "cpu") return {DeviceWord::Kind::cpu, {}};
  if (word == "cuda") return {DeviceWord::Kind::cuda, {0}};
  if (!word.starts_with(kCuda)) {
    throw std::invalid_argument(
        fmt::format("unknown device '{}'; known: auto, cpu, cuda, cuda:N, cuda:N,M", word));
  }
  DeviceWord result{DeviceWord::Kind::cuda, {}};
  for (std::size_t at = kCuda.size(); at <= word.size();) {
    const std::size_t end = std::min(word.find(',', at), word.size());
    const int index = index_of(word, std::string_view(word).substr(at, end - at));
    if (std::find(result.indices.begin(), result.indices.end(), index) != result.indices.end()) {
      throw std::invalid_argument(fmt::format("device '{}' names card {} twice", word, index));
    }
    result.indices.push_back(index);
    at = end + 1;
  }
  return result;
}

std::vector<std::unique_ptr<Backend>> open_backends(const std::string& word, const std::string& mode,
                                                    bool deterministic) {
  const DeviceWord device = parse_device(word);
  std::vector<std::unique_ptr<Backend>> backends;
  if (device.kind == DeviceWord::Kind::automatic && cuda_available()) {
    auto card = cuda_backend(0, deterministic);
    if (mode == "auto" || card->refusal(numeric_mode(mode)).empty()) backends.push_back(std::move(card));
  }
  for (const int index : device.indices) backends.push_back(cuda_backend(index, deterministic));
  if (backends.empty()) backends.push_back(cpu_backend());
  for (const auto& backend : backends) {
    if (backend->kernels() == backends.front()->kernels()) continue;
    throw std::runtime_error(fmt::format(
        "{} is {} and {} is {}: a result would depend on the card that computed it; run one process for each "
        "kind and divide the texts with --shard",
        backends.front()->device(), backends.front()->kernels(), backend->device(), backend->kernels()));
  }
  return backends;
}

std::string device_name(const std::vector<std::unique_ptr<Backend>>& backends) {
  std::string name;
  for (const auto& backend : backends) {
    const std::string device = backend->device();
    name += name.empty() ? device : "," + device.substr(std::min(device.size(), kCuda.size()));
  }
  return name;
}

}  // namespace deciban
