// RWKV models of a few hundred weights with official names, for tests and for the corpora of the fuzzers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "tests/engine/checkpoint_files.h"

namespace deciban::testing_files {

struct TinyModel {
  std::size_t vocabulary = 5, layers = 2, heads = 2, head_size = 2, ffn = 8;
  std::size_t mix_rank = 1, decay_rank = 3, w_rank = 1, a_rank = 2, v_rank = 3, g_rank = 5;
};

class TinyWriter {
 public:
  explicit TinyWriter(const TinyModel& size) : size_(size), width_(size.heads * size.head_size) {}

  // version: "4", "5.0", "5.1", "5.2", "6" or "7".
  std::vector<WrittenTensor> write(std::string_view version) {
    const bool v6 = version == "6", v7 = version == "7", v5 = version[0] == '5';
    add("emb.weight", {size_.vocabulary, width_});
    for (std::size_t layer = 0; layer < size_.layers; ++layer) {
      prefix_ = "blocks." + std::to_string(layer) + ".";
      if (layer == 0) norm("ln0");
      norm("ln1");
      norm("ln2");
      for (const char* matrix : {"att.receptance", "att.key", "att.value", "att.output"}) square(matrix);
      if (v7) {
        seven(layer);
      } else if (v6) {
        six();
      } else {
        four_or_five(version);
      }
      if (v5 || v6 || v7) norm("att.ln_x");
      if (version == "5.1" || version == "5.2" || v6) square("att.gate");
      add("ffn.key.weight", {size_.ffn, width_});
      add("ffn.value.weight", {width_, size_.ffn});
      if (!v7) square("ffn.receptance");
    }
    prefix_.clear();
    norm("ln_out");
    add("head.weight", {size_.vocabulary, width_});
    return std::move(tensors_);
  }

 private:
  void add(const std::string& name, std::vector<std::size_t> shape) {
    std::size_t elements = 1;
    for (const std::size_t extent : shape) elements *= extent;
    std::vector<float> values(elements);
    for (float& value : values) {  // multiples of 1/64 in (-2, 2): exact in every float format, none alike
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      value = static_cast<float>(static_cast<int>(random_ >> 56) - 128) / 64.0f;
    }
    tensors_.push_back(f32_tensor(prefix_ + name, std::move(shape), values));
  }
  void norm(const std::string& name) {
    add(name + ".weight", {width_});
    add(name + ".bias", {width_});
  }
  void square(const std::string& name) { add(name + ".weight", {width_, width_}); }
  void low_rank(const std::string& name, std::size_t rank) {
    add(name + "1", {width_, rank});
    add(name + "2", {rank, width_});
  }
  void mixes(std::initializer_list<const char*> names) {
    for (const char* name : names) add(name, {1, 1, width_});
  }

  void four_or_five(std::string_view version) {
    mixes({"att.time_mix_k", "att.time_mix_v", "att.time_mix_r", "ffn.time_mix_k", "ffn.time_mix_r"});
    if (version == "5.1" || version == "5.2") mixes({"att.time_mix_g"});
    const std::vector<std::size_t> bonus = version == "4" ? std::vector<std::size_t>{width_}
                                           : version == "5.2"
                                               ? std::vector<std::size_t>{size_.heads, size_.head_size}
                                               : std::vector<std::size_t>{size_.heads};
    add("att.time_decay", bonus);
    add(version == "4" || version == "5.0" ? "att.time_first" : "att.time_faaaa", bonus);
  }
  void six() {
    mixes({"att.time_maa_x", "att.time_maa_w", "att.time_maa_k", "att.time_maa_v", "att.time_maa_r",
           "att.time_maa_g", "ffn.time_maa_k", "ffn.time_maa_r", "att.time_decay"});
    add("att.time_maa_w1", {width_, 5 * size_.mix_rank});
    add("att.time_maa_w2", {5, size_.mix_rank, width_});
    low_rank("att.time_decay_w", size_.decay_rank);
    add("att.time_faaaa", {size_.heads, size_.head_size});
  }
  void seven(std::size_t layer) {
    mixes({"att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g", "ffn.x_k", "att.w0", "att.a0",
           "att.k_k", "att.k_a"});
    low_rank("att.w", size_.w_rank);
    low_rank("att.a", size_.a_rank);
    low_rank("att.g", size_.g_rank);
    if (layer > 0) {
      mixes({"att.v0"});
      low_rank("att.v", size_.v_rank);
    }
    add("att.r_k", {size_.heads, size_.head_size});
  }

  const TinyModel& size_;
  std::size_t width_;
  std::string prefix_;
  std::uint64_t random_ = 1;
  std::vector<WrittenTensor> tensors_;
};

inline std::vector<WrittenTensor> tiny_rwkv(std::string_view version, const TinyModel& size = {}) {
  return TinyWriter(size).write(version);
}

}  // namespace deciban::testing_files
