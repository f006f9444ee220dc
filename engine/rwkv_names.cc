#include "engine/rwkv_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <unordered_set>

#include "engine/mapped_file.h"
#include "engine/rwkv_sources.h"

namespace deciban {
namespace {

using Tensors = std::vector<StoredTensor>;

[[noreturn]] void fail(const Checkpoint& checkpoint, std::string_view reason) {
  throw std::runtime_error(fmt::format("{}: {}", file_of(checkpoint), reason));
}

constexpr std::string_view kSupported = "deciban's engine runs RWKV-4, 5, 6 (x060) and 7 (x070)";

struct Stranger {
  std::string_view part;  // of a tensor's name
  std::string_view what;
};
// Relatives of the supported models that share most names and would give wrong numbers.
constexpr Stranger kRelatives[] = {
    {".qkv.qq.weight", "RWKV-7b (DEA attention)"},
    {".ffn.s_emb.weight", "RWKV-7a (DeepEmbed)"},
    {".ffn.enn.weight", "RWKV-8"},
    {".time_maa_rkvw_w1", "RWKV-6 x060b or x060c, an experiment that was never published,"},
    {"head_q.weight", "RWKV-4 \"neo\" with head_q"},
    {"head_k.weight", "RWKV-4 \"neo\" with head_q"},
    {".tiny_", "RWKV-4 \"neo\" with tiny attention"},
    {".ffnPre.", "RWKV-4 \"neo\" with ffnPre"}};
constexpr Stranger kOthers[] = {{".self_attn.", "a transformer"},
                                {"gpt_neox.", "a GPT-NeoX transformer"},
                                {"transformer.h.", "a GPT-2 style transformer"},
                                {".mixer.", "a Mamba style model"},
                                {"bert.", "a BERT style transformer"},
                                {"emb_rosa", "an experiment with ROSA"},
                                {"rosa1.", "an experiment with ROSA"}};

void refuse_relatives(const Checkpoint& checkpoint) {
  // 7b has the tensors of 7a too: the table's order decides, not the file's.
  for (const Stranger& relative : kRelatives) {
    for (const StoredTensor& tensor : checkpoint.tensors) {
      if (tensor.name.find(relative.part) == std::string::npos) continue;
      fail(checkpoint, fmt::format("is {}, told by its tensor {}; {}", relative.what, in_quotes(tensor.name),
                                   kSupported));
    }
  }
}

[[noreturn]] void refuse_stranger(const Checkpoint& checkpoint) {
  if (checkpoint.tensors.empty()) fail(checkpoint, "holds no tensors");
  for (const Stranger& other : kOthers) {
    for (const StoredTensor& tensor : checkpoint.tensors) {
      if (tensor.name.find(other.part) == std::string::npos) continue;
      fail(checkpoint, fmt::format("is {}, not RWKV, told by its tensor {}; {}; other models come as plugins",
                                   other.what, in_quotes(tensor.name), kSupported));
    }
  }
  fail(checkpoint, fmt::format("does not have the names of an RWKV text model (its first tensor is {}); {}",
                               in_quotes(checkpoint.tensors[0].name), kSupported));
}

RwkvSource gguf_source(const Checkpoint& checkpoint) {
  const auto architecture = checkpoint.metadata.find("general.architecture");
  if (architecture == checkpoint.metadata.end())
    fail(checkpoint, "has no general.architecture in its metadata");
  if (architecture->second != "rwkv6" && architecture->second != "rwkv7") {
    fail(checkpoint, fmt::format("is a GGUF file of architecture {}; {}, and reads GGUF of rwkv6 and rwkv7",
                                 in_quotes(architecture->second), kSupported));
  }
  return RwkvSource::gguf;
}

// web-rwkv has the official names of RWKV-7, but stores LoRA matrices [rank, C] and [C, rank].  One matrix
// that is not square tells; where all are square, the file's ending must.
bool lora_transposed(const Checkpoint& checkpoint, std::size_t width) {
  bool official = false, transposed = false;
  const auto look = [&](std::string_view leaf, std::size_t width_at) {
    const StoredTensor* tensor = nullptr;
    for (const char* block : {"blocks.0.att.", "blocks.1.att."}) {
      if (!tensor) tensor = checkpoint.find(fmt::format("{}{}", block, leaf));
    }
    if (!tensor || tensor->shape.size() < 2) return;
    const std::size_t rows = tensor->shape[tensor->shape.size() - 2], columns = tensor->shape.back();
    if (rows == columns) return;
    official |= (width_at == 0 ? rows : columns) == width;
    transposed |= (width_at == 0 ? columns : rows) == width;
  };
  for (const char* leaf : {"w1", "a1", "v1", "g1", "time_mix_w1", "time_decay_w1"}) look(leaf, 0);
  for (const char* leaf : {"w2", "a2", "v2", "g2"}) look(leaf, 1);
  if (official && transposed)
    fail(checkpoint, "some LoRA matrices lie the official way round, others are transposed");
  if (official || transposed) return transposed;
  return !checkpoint.files.empty() && checkpoint.files[0].extension() == ".st";
}

bool is_web_rwkv(const Checkpoint& checkpoint, const StoredTensor& embedding) {
  if (checkpoint.format != "safetensors") return false;
  if (checkpoint.find("blocks.0.att.time_mix_w1")) return true;
  const auto* first = checkpoint.find("blocks.0.att.time_first");
  const bool v5 = checkpoint.find("blocks.0.att.ln_x.weight") != nullptr;
  if (first && v5 && first->squeezed().shape.size() > 1) return true;
  if (!checkpoint.find("blocks.0.att.r_k") || embedding.shape.empty()) return false;
  return lora_transposed(checkpoint, embedding.shape.back());
}

// A tensor whose shape is what is left when units are dropped: [C] however it is stored.
StoredTensor as_vector(const StoredTensor& tensor) {
  StoredTensor result = tensor.squeezed();
  if (result.shape.empty()) return tensor.reshaped({1});
  return result;
}

// [H] or [H, N] from [H, 1, 1], [H, 1], [H, N, 1], [H, N].
StoredTensor by_head(const StoredTensor& tensor) {
  StoredTensor result = tensor;
  while (result.shape.size() > 1 && result.shape.back() == 1) {
    result.shape.pop_back();
    result.strides.pop_back();
  }
  return result;
}

bool is_vector(std::string_view leaf) {
  constexpr std::array<std::string_view, 33> kVectors = {
      "ln0.weight",     "ln0.bias",        "ln1.weight",     "ln1.bias",       "ln2.weight",
      "ln2.bias",       "att.ln_x.weight", "att.ln_x.bias",  "att.time_mix_k", "att.time_mix_v",
      "att.time_mix_r", "att.time_mix_g",  "ffn.time_mix_k", "ffn.time_mix_r", "att.time_maa_x",
      "att.time_maa_w", "att.time_maa_k",  "att.time_maa_v", "att.time_maa_r", "att.time_maa_g",
      "ffn.time_maa_k", "ffn.time_maa_r",  "att.x_r",        "att.x_w",        "att.x_k",
      "att.x_v",        "att.x_a",         "att.x_g",        "ffn.x_k",        "att.w0",
      "att.a0",         "att.v0",          "att.k_k"};
  return leaf == "att.k_a" || std::find(kVectors.begin(), kVectors.end(), leaf) != kVectors.end();
}

struct Features {
  bool v6 = false, has_ln_x = false;
};

void normalise(StoredTensor& tensor, const Features& features) {
  const std::string original = tensor.name;  // `leaf` must outlive the assignments below
  std::size_t block;
  std::string_view leaf;
  if (!split_block_name(original, "blocks.", block, leaf)) {
    if (original.starts_with("ln_out.")) tensor = as_vector(tensor);
    return;
  }
  if (is_vector(leaf)) {
    tensor = as_vector(tensor);
  } else if (leaf == "att.time_decay" && features.v6) {
    tensor = tensor.reshaped({tensor.elements()});  // [1, 1, A], or rwkv.cpp's [H, N, 1]
  } else if (leaf == "att.time_decay" || leaf == "att.time_first") {
    tensor = features.has_ln_x ? by_head(tensor) : as_vector(tensor);
    // web-rwkv has one name for both: one number a head is 5.0's, to be exponentiated; one a channel is not.
    if (leaf == "att.time_first" && features.has_ln_x && tensor.shape.size() == 2) {
      tensor.name = fmt::format("blocks.{}.att.time_faaaa", block);
    }
  } else if (leaf == "att.time_faaaa") {
    tensor = by_head(tensor);
  }
}

}  // namespace

RwkvSource rwkv_source(const Checkpoint& checkpoint) {
  if (checkpoint.format == "gguf") return gguf_source(checkpoint);
  refuse_relatives(checkpoint);
  if (checkpoint.format == "rwkv.cpp") return RwkvSource::rwkvcpp;
  if (const auto* embedding = checkpoint.find("emb.weight")) {
    return is_web_rwkv(checkpoint, *embedding) ? RwkvSource::web_rwkv : RwkvSource::official;
  }
  if (checkpoint.find("rwkv.embeddings.weight")) return RwkvSource::hugging_face;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    std::size_t block;
    std::string_view rest;
    if (!split_block_name(tensor.name, "model.layers.", block, rest)) continue;
    if (rest == "attn.r_k") return RwkvSource::fla;
    if (rest == "attention.r_k") return RwkvSource::rwkv7_hf;
  }
  refuse_stranger(checkpoint);
}

Checkpoint official_rwkv(const Checkpoint& source) {
  Checkpoint result;
  result.format = source.format;
  result.files = source.files;
  result.metadata = source.metadata;
  result.config = source.config;
  result.vocabulary = source.vocabulary;
  result.tensors = with_official_names(source, rwkv_source(source));
  refuse_relatives(result);
  Features features;
  for (const StoredTensor& tensor : result.tensors) {
    features.v6 |= tensor.name.find(".att.time_maa_") != std::string::npos;
    features.has_ln_x |= tensor.name.ends_with(".att.ln_x.weight");
  }
  std::unordered_set<std::string_view> names;
  for (StoredTensor& tensor : result.tensors) {
    normalise(tensor, features);
    if (!names.insert(tensor.name).second) {
      fail(source, fmt::format("two tensors stand for {}", in_quotes(tensor.name)));
    }
  }
  return result;
}

std::uint64_t parameter_count(const Checkpoint& official) {
  std::uint64_t count = 0;
  for (const StoredTensor& tensor : official.tensors) {
    const bool unused = tensor.name == "blocks.0.att.v0" || tensor.name == "blocks.0.att.v1" ||
                        tensor.name == "blocks.0.att.v2";
    if (!unused) count += tensor.elements();
  }
  return count;
}

}  // namespace deciban
