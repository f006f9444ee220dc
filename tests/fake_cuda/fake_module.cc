// A CUDA module without CUDA: the CPU's backend under cards' names, for tests of everything around the
// module.
//
//   DECIBAN_FAKE_CARDS  architectures of the cards, "90,90"; "" for none; an error's text after a '!'
//   DECIBAN_FAKE_BUILD  the build that the module says it is of
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "deciban_version.h"
#include "engine/cuda/module_api.h"

namespace deciban {
namespace {

std::string set(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

std::vector<int> cards() {
  std::vector<int> all;
  std::istringstream in(set("DECIBAN_FAKE_CARDS", "90"));
  for (std::string part; std::getline(in, part, ',');) all.push_back(std::stoi(part));
  return all;
}

class FakeCard final : public Backend {
 public:
  FakeCard(int index, int architecture, bool deterministic)
      : index_(index), architecture_(architecture), deterministic_(deterministic), cpu_(cpu_backend()) {}
  std::string device() const override { return "cuda:" + std::to_string(index_); }
  std::string kernels() const override {
    return "sm_" + std::to_string(architecture_) + (deterministic_ ? " deterministic" : "");
  }
  std::unique_ptr<Weight> matrix(const StoredTensor& tensor, NumericMode mode) override {
    return cpu_->matrix(tensor, mode);
  }
  std::unique_ptr<Vector> vector(std::span<const float> values) override { return cpu_->vector(values); }
  std::unique_ptr<EmbeddingTable> table(const StoredTensor& tensor) override { return cpu_->table(tensor); }
  std::unique_ptr<Ops> open(int threads) override { return cpu_->open(threads); }
  std::uint64_t weight_bytes() const override { return cpu_->weight_bytes(); }
  std::string refusal(NumericMode mode) const override {
    if (mode.activations == ActivationFormat::i8) return "int8 activations are computed on the CPU alone";
    return cpu_->refusal(mode);
  }
  std::string usual_mode(const std::string& stored) const override {
    return stored == "bf16" ? "bf16a" : stored;
  }
  std::size_t most_chunk_rows() const override { return 1024; }
  std::optional<std::uint64_t> free_bytes() const override { return std::uint64_t{8} << 30; }

 private:
  int index_, architecture_;
  bool deterministic_;
  std::unique_ptr<Backend> cpu_;
};

void say(char* error, std::size_t size, const std::string& text) { error[text.copy(error, size - 1)] = '\0'; }

}  // namespace
}  // namespace deciban

extern "C" {

DECIBAN_API int deciban_cuda_devices(deciban_cuda_device* out, int most, char* error,
                                     std::size_t error_size) {
  const std::string wanted = deciban::set("DECIBAN_FAKE_CARDS", "90");
  if (wanted.starts_with('!')) {
    deciban::say(error, error_size, wanted.substr(1));
    return -1;
  }
  const std::vector<int> cards = deciban::cards();
  for (std::size_t i = 0; i < cards.size() && static_cast<int>(i) < most; ++i) {
    out[i] = {"a card that is none",   cards[i] / 10,         cards[i] % 10, 100,
              std::uint64_t{16} << 30, std::uint64_t{8} << 30};
  }
  return static_cast<int>(cards.size());
}

DECIBAN_API deciban::Backend* deciban_cuda_open(const char* build_id, int device, bool deterministic,
                                                char* error, std::size_t error_size) {
  const std::string own = deciban::set("DECIBAN_FAKE_BUILD", DECIBAN_BUILD_ID);
  if (own != build_id) {
    deciban::say(error, error_size, "the module is of build " + own + ", the engine of " + build_id);
    return nullptr;
  }
  return new deciban::FakeCard(device, deciban::cards().at(static_cast<std::size_t>(device)), deterministic);
}
}
