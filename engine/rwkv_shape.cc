#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

#include "engine/mapped_file.h"
#include "engine/rwkv_names.h"
#include "engine/rwkv_sources.h"

namespace deciban {
namespace {

using Extents = std::vector<std::size_t>;

[[noreturn]] void fail(const Checkpoint& checkpoint, std::string_view reason) {
  throw std::runtime_error(fmt::format("{}: {}", file_of(checkpoint), reason));
}

// The tensors by name; what was asked for is ticked off, so that strangers are left over at the end.
class Inventory {
 public:
  explicit Inventory(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {
    for (const StoredTensor& tensor : checkpoint.tensors) open_.emplace(tensor.name, &tensor);
  }

  bool has(std::string_view name) const { return open_.contains(name); }

  // Dimension of a tensor that must exist with this rank.
  const Extents& extents(std::string_view name, std::size_t rank) const {
    const auto found = open_.find(name);
    if (found == open_.end()) fail(checkpoint_, fmt::format("tensor '{}' is missing", name));
    if (found->second->shape.size() != rank) {
      fail(checkpoint_, fmt::format("tensor '{}' has shape {}, {} dimensions are needed", name,
                                    found->second->shape, rank));
    }
    return found->second->shape;
  }

  void need(std::string_view name, const Extents& shape) {
    const auto found = open_.find(name);
    if (found == open_.end())
      fail(checkpoint_, fmt::format("tensor '{}' of shape {} is missing", name, shape));
    check(*found->second, shape);
    open_.erase(found);
  }
  void accept(std::string_view name, const Extents& shape) {
    if (has(name)) need(name, shape);
  }
  void drop(std::string_view name) { open_.erase(name); }

  void refuse_strangers(RwkvVersion version) const {
    for (const StoredTensor& tensor : checkpoint_.tensors) {
      if (!open_.contains(tensor.name)) continue;
      fail(checkpoint_,
           fmt::format("tensor {} is not part of {}: an unknown variant, which would give wrong numbers",
                       in_quotes(tensor.name), name(version)));
    }
  }

 private:
  void check(const StoredTensor& tensor, const Extents& shape) const {
    if (tensor.shape != shape) {
      fail(checkpoint_,
           fmt::format("tensor '{}' has shape {}, {} is needed", tensor.name, tensor.shape, shape));
    }
    switch (tensor.encoding) {
      case Encoding::i64:
      case Encoding::i32:
      case Encoding::i16:
      case Encoding::i8:
      case Encoding::u8:
      case Encoding::boolean:
        fail(checkpoint_, fmt::format("tensor '{}' holds integers ({}), weights are needed", tensor.name,
                                      name(tensor.encoding)));
      default:
        break;
    }
  }

  static std::string_view name(Encoding encoding) { return deciban::name(encoding); }
  static std::string_view name(RwkvVersion version) { return deciban::name(version); }

  const Checkpoint& checkpoint_;
  std::unordered_map<std::string_view, const StoredTensor*> open_;
};

RwkvVersion version_of(const Checkpoint& checkpoint, const Inventory& inventory) {
  if (inventory.has("blocks.0.att.r_k")) return RwkvVersion::v7;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    if (tensor.name.find(".att.time_maa_") != std::string::npos) return RwkvVersion::v6;
  }
  if (!inventory.has("blocks.0.att.ln_x.weight")) return RwkvVersion::v4;
  if (!inventory.has("blocks.0.att.gate.weight")) return RwkvVersion::v5_0;
  const StoredTensor* decay = checkpoint.find("blocks.0.att.time_decay");
  return decay && decay->shape.size() == 2 ? RwkvVersion::v5_2 : RwkvVersion::v5_1;
}

// More blocks than any model: a name like blocks.99999 must not make a shape of 100,000 layers.
std::size_t count_layers(const Checkpoint& checkpoint) {
  std::size_t layers = 0;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    std::size_t block;
    std::string_view rest;
    if (split_block_name(tensor.name, "blocks.", block, rest)) layers = std::max(layers, block + 1);
  }
  if (layers == 0) fail(checkpoint, "has no tensors named blocks.N.…");
  return layers;
}

class Checker {
 public:
  Checker(const Checkpoint& checkpoint, Inventory& inventory, RwkvShape shape)
      : checkpoint_(checkpoint), inventory_(inventory), s_(shape) {}

  RwkvShape run() {
    read_sizes();
    inventory_.need("emb.weight", {s_.vocabulary, s_.width});
    inventory_.need("head.weight", {s_.vocabulary, s_.width});
    norm("ln_out.", s_.width);
    norm("blocks.0.ln0.", s_.width);
    for (std::size_t layer = 0; layer < s_.layers; ++layer) {
      const std::string block = fmt::format("blocks.{}.", layer);
      norm(block + "ln1.", s_.width);
      norm(block + "ln2.", s_.width);
      time_mix(block + "att.", layer);
      channel_mix(block + "ffn.");
    }
    inventory_.refuse_strangers(s_.version);
    return s_;
  }

 private:
  bool v5() const {
    return s_.version == RwkvVersion::v5_0 || s_.version == RwkvVersion::v5_1 ||
           s_.version == RwkvVersion::v5_2;
  }
  bool v4() const { return s_.version == RwkvVersion::v4; }
  bool v6() const { return s_.version == RwkvVersion::v6; }
  bool v7() const { return s_.version == RwkvVersion::v7; }

  void read_sizes() {
    const Extents& embedding = inventory_.extents("emb.weight", 2);
    s_.vocabulary = embedding[0];
    s_.width = embedding[1];
    s_.attention = inventory_.extents("blocks.0.att.key.weight", 2)[0];
    s_.ffn = inventory_.extents("blocks.0.ffn.key.weight", 2)[0];
    if (v7()) {
      s_.heads = inventory_.extents("blocks.0.att.r_k", 2)[0];
      s_.w_rank = inventory_.extents("blocks.0.att.w1", 2)[1];
      s_.a_rank = inventory_.extents("blocks.0.att.a1", 2)[1];
      s_.g_rank = inventory_.extents("blocks.0.att.g1", 2)[1];
      if (s_.layers > 1) s_.v_rank = inventory_.extents("blocks.1.att.v1", 2)[1];
    } else if (v6()) {
      s_.heads = inventory_.extents("blocks.0.att.time_faaaa", 2)[0];
      s_.mix_rank = inventory_.extents("blocks.0.att.time_maa_w1", 2)[1] / 5;
      s_.decay_rank = inventory_.extents("blocks.0.att.time_decay_w1", 2)[1];
    } else if (v5()) {
      s_.heads = inventory_.extents("blocks.0.att.time_decay", s_.version == RwkvVersion::v5_2 ? 2 : 1)[0];
    }
    for (const std::size_t size :
         {s_.vocabulary, s_.width, s_.attention, s_.ffn, v4() ? std::size_t{1} : s_.heads}) {
      if (size == 0) fail(checkpoint_, "has a vocabulary, width or number of heads of zero");
    }
    if (v4()) return;
    if (s_.attention % s_.heads != 0) {
      fail(checkpoint_,
           fmt::format("{} channels of time mixing do not divide into {} heads", s_.attention, s_.heads));
    }
    s_.head_size = s_.attention / s_.heads;
  }

  void norm(const std::string& prefix, std::size_t width) {
    inventory_.need(prefix + "weight", {width});
    inventory_.need(prefix + "bias", {width});
  }
  void vectors(const std::string& prefix, std::initializer_list<const char*> leaves, std::size_t width) {
    for (const char* leaf : leaves) inventory_.need(prefix + leaf, {width});
  }
  void low_rank(const std::string& prefix, std::size_t rank) {
    inventory_.need(prefix + "1", {s_.width, rank});
    inventory_.need(prefix + "2", {rank, s_.attention});
  }

  void time_mix(const std::string& att, std::size_t layer) {
    for (const char* leaf : {"receptance.weight", "key.weight", "value.weight"}) {
      inventory_.need(att + leaf, {s_.attention, s_.width});
    }
    inventory_.need(att + "output.weight", {s_.width, s_.attention});
    if (!v4()) {
      norm(att + "ln_x.", s_.attention);
      inventory_.accept(att + "time_state", {s_.heads, s_.head_size, s_.head_size});
    }
    if (v7()) {
      time_mix7(att, layer);
    } else if (v6()) {
      time_mix6(att);
    } else {
      time_mix45(att);
    }
  }

  void time_mix45(const std::string& att) {
    vectors(att, {"time_mix_k", "time_mix_v", "time_mix_r"}, s_.width);
    if (v4()) {
      vectors(att, {"time_decay", "time_first"}, s_.attention);
      return;
    }
    const bool by_channel = s_.version == RwkvVersion::v5_2;
    const Extents per_head = by_channel ? Extents{s_.heads, s_.head_size} : Extents{s_.heads};
    inventory_.need(att + "time_decay", per_head);
    // time_first is exponentiated, time_faaaa is not: the name decides, not the version.
    inventory_.need(att + (inventory_.has(att + "time_first") ? "time_first" : "time_faaaa"), per_head);
    if (s_.version == RwkvVersion::v5_0) return;
    vectors(att, {"time_mix_g"}, s_.width);
    inventory_.need(att + "gate.weight", {s_.attention, s_.width});
  }

  void time_mix6(const std::string& att) {
    vectors(att, {"time_maa_x", "time_maa_w", "time_maa_k", "time_maa_v", "time_maa_r", "time_maa_g"},
            s_.width);
    inventory_.need(att + "time_maa_w1", {s_.width, 5 * s_.mix_rank});
    inventory_.need(att + "time_maa_w2", {5, s_.mix_rank, s_.width});
    inventory_.need(att + "time_decay", {s_.attention});
    low_rank(att + "time_decay_w", s_.decay_rank);
    inventory_.need(att + "time_faaaa", {s_.heads, s_.head_size});
    inventory_.need(att + "gate.weight", {s_.attention, s_.width});
  }

  void time_mix7(const std::string& att, std::size_t layer) {
    vectors(att, {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"}, s_.width);
    vectors(att, {"w0", "a0", "k_k", "k_a"}, s_.attention);
    inventory_.need(att + "r_k", {s_.heads, s_.head_size});
    low_rank(att + "w", s_.w_rank);
    low_rank(att + "a", s_.a_rank);
    low_rank(att + "g", s_.g_rank);
    if (layer > 0) {
      inventory_.need(att + "v0", {s_.attention});
      low_rank(att + "v", s_.v_rank);
    } else {
      for (const char* unused : {"v0", "v1", "v2"}) inventory_.drop(att + unused);
    }
  }

  void channel_mix(const std::string& ffn) {
    inventory_.need(ffn + "key.weight", {s_.ffn, s_.width});
    inventory_.need(ffn + "value.weight", {s_.width, s_.ffn});
    if (v7()) {
      vectors(ffn, {"x_k"}, s_.width);
      return;
    }
    inventory_.need(ffn + "receptance.weight", {s_.width, s_.width});
    if (v6()) {
      vectors(ffn, {"time_maa_k", "time_maa_r"}, s_.width);
    } else {
      vectors(ffn, {"time_mix_k", "time_mix_r"}, s_.width);
    }
  }

  const Checkpoint& checkpoint_;
  Inventory& inventory_;
  RwkvShape s_;
};

}  // namespace

std::string_view name(RwkvVersion version) {
  switch (version) {
    case RwkvVersion::v4:
      return "rwkv4";
    case RwkvVersion::v5_0:
      return "rwkv5.0";
    case RwkvVersion::v5_1:
      return "rwkv5.1";
    case RwkvVersion::v5_2:
      return "rwkv5.2";
    case RwkvVersion::v6:
      return "rwkv6";
    case RwkvVersion::v7:
      return "rwkv7";
  }
  throw std::logic_error("unknown RWKV version");
}

RwkvShape rwkv_shape(const Checkpoint& official) {
  Inventory inventory(official);
  RwkvShape shape;
  shape.layers = count_layers(official);
  shape.version = version_of(official, inventory);
  return Checker(official, inventory, shape).run();
}

}  // namespace deciban
