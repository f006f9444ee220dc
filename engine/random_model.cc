#include "engine/random_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace deciban {
namespace {

// Published shapes (rwkv.md §8).  Zero ranks: the version has none.
struct Preset {
  const char* name;
  RwkvVersion version;
  std::size_t layers, width, ffn, vocabulary;
  std::size_t mix_rank = 0, decay_rank = 0;
  std::size_t w_rank = 0, a_rank = 0, v_rank = 0, g_rank = 0;
};
using enum RwkvVersion;
constexpr std::size_t kPile = 50277, kWorld = 65536;
constexpr Preset kPresets[] = {
    {"rwkv4-169m", v4, 12, 768, 3072, kPile},
    {"rwkv4-430m", v4, 24, 1024, 4096, kPile},
    {"rwkv4-1.5b", v4, 24, 2048, 8192, kPile},
    {"rwkv4-3b", v4, 32, 2560, 10240, kPile},
    {"rwkv4-7b", v4, 32, 4096, 16384, kPile},
    {"rwkv4-14b", v4, 40, 5120, 20480, kPile},
    {"rwkv4-world-0.1b", v4, 12, 768, 3072, kWorld},
    {"rwkv4-world-0.4b", v4, 24, 1024, 4096, kWorld},
    {"rwkv4-world-1.5b", v4, 24, 2048, 8192, kWorld},
    {"rwkv4-world-3b", v4, 32, 2560, 10240, kWorld},
    {"rwkv4-world-7b", v4, 32, 4096, 16384, kWorld},
    {"rwkv5-0.1b", v5_2, 12, 768, 2688, kWorld},
    {"rwkv5-0.4b", v5_2, 24, 1024, 3584, kWorld},
    {"rwkv5-1.5b", v5_2, 24, 2048, 7168, kWorld},
    {"rwkv5-3b", v5_2, 32, 2560, 8960, kWorld},
    {"rwkv5-7b", v5_2, 32, 4096, 14336, kWorld},
    {"rwkv6-1.6b", v6, 24, 2048, 7168, kWorld, 32, 64},
    {"rwkv6-3b", v6, 32, 2560, 8960, kWorld, 32, 64},
    {"rwkv6-7b", v6, 32, 4096, 14336, kWorld, 64, 128},
    {"rwkv6-14b", v6, 61, 4096, 14336, kWorld, 64, 128},
    {"rwkv7-0.1b", v7, 12, 768, 3072, kWorld, 0, 0, 64, 64, 32, 128},
    {"rwkv7-0.4b", v7, 24, 1024, 4096, kWorld, 0, 0, 64, 64, 32, 128},
    {"rwkv7-1.5b", v7, 24, 2048, 8192, kWorld, 0, 0, 96, 96, 64, 256},
    {"rwkv7-2.9b", v7, 32, 2560, 10240, kWorld, 0, 0, 96, 96, 64, 320},
    {"rwkv7-7.2b", v7, 32, 4096, 16384, kWorld, 0, 0, 128, 128, 96, 480},
    {"rwkv7-13.3b", v7, 61, 4096, 16384, kWorld, 0, 0, 192, 192, 128, 384},
};
constexpr std::size_t kHeadSize = 64;

std::size_t number(const std::string& key, const std::string& text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) {
    throw std::invalid_argument(
        fmt::format("random model: '{}={}' is not a positive whole number", key, text));
  }
  return value;
}

// Adds tensors one after the other; each has a seed of its own.
class Maker {
 public:
  explicit Maker(const RandomSpec& spec) : s_(spec.shape), seed_(spec.seed) { out_.format = "random"; }

  // Normal values of about the given standard deviation: a power of two, which keeps them exact in bf16.
  void matrix(const std::string& name, std::vector<std::size_t> shape, double deviation) {
    deviation = std::exp2(std::round(std::log2(deviation)));
    out_.tensors.push_back(
        generated_tensor(name, std::move(shape), next_seed(), static_cast<float>(deviation)));
  }
  void values(const std::string& name, std::vector<std::size_t> shape, std::vector<float> values) {
    for (float& v : values) v = std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0xffff0000u);
    out_.tensors.push_back(owned_tensor(name, std::move(shape), std::move(values)));
  }
  // centre + deviation * normal.
  void vector(const std::string& name, std::vector<std::size_t> shape, double centre, double deviation) {
    std::vector<float> v =
        generated_tensor(name, shape, next_seed(), static_cast<float>(deviation)).read_all();
    for (float& x : v) x += static_cast<float>(centre);
    values(name, std::move(shape), std::move(v));
  }
  // From `first` at each head's first channel to `last` at its last: a spread of time constants.
  void ramp(const std::string& name, std::vector<std::size_t> shape, double first, double last) {
    std::vector<float> v(s_.attention);
    const std::size_t period = s_.head_size == 0 ? s_.attention : s_.head_size;
    for (std::size_t c = 0; c < v.size(); ++c) {
      v[c] = static_cast<float>(first + (last - first) * static_cast<double>(c % period) /
                                            static_cast<double>(period - 1));
    }
    values(name, std::move(shape), std::move(v));
  }
  void norm(const std::string& prefix, std::size_t size) {
    vector(prefix + ".weight", {size}, 1.0, 0.1);
    vector(prefix + ".bias", {size}, 0.0, 0.05);
  }
  // Deviation 1 / sqrt(inputs) keeps the size of what goes in; `gain` scales it.
  void linear(const std::string& name, std::size_t outputs, std::size_t inputs, double gain = 1.0) {
    matrix(name, {outputs, inputs}, gain / std::sqrt(static_cast<double>(inputs)));
  }
  void lora(const std::string& name, std::size_t inputs, std::size_t outputs, double gain) {
    matrix(name, {inputs, outputs}, gain / std::sqrt(static_cast<double>(inputs)));
  }

  Checkpoint finish() { return std::move(out_); }
  const RwkvShape& shape() const { return s_; }

 private:
  std::uint64_t next_seed() { return seed_ * 0x9e3779b97f4a7c15ull + ++count_; }

  RwkvShape s_;
  std::uint64_t seed_;
  std::uint64_t count_ = 0;
  Checkpoint out_;
};

void attention_matrices(Maker& m, const std::string& a, bool gate) {
  const std::size_t c = m.shape().width, n = m.shape().attention;
  m.linear(a + "receptance.weight", n, c);
  m.linear(a + "key.weight", n, c);
  m.linear(a + "value.weight", n, c);
  if (gate) m.linear(a + "gate.weight", n, c);
  m.linear(a + "output.weight", c, n, 0.5);
}

void channel_mix(Maker& m, const std::string& f, bool receptance) {
  const std::size_t c = m.shape().width;
  m.linear(f + "key.weight", m.shape().ffn, c);
  if (receptance) m.linear(f + "receptance.weight", c, c);
  m.linear(f + "value.weight", c, m.shape().ffn, 0.5);
}

void mixes(Maker& m, const std::string& prefix, std::initializer_list<const char*> names) {
  for (const char* name : names) m.vector(prefix + name, {m.shape().width}, 0.5, 0.15);
}

void block4(Maker& m, const std::string& b) {
  mixes(m, b + "att.time_mix_", {"k", "v", "r"});
  m.ramp(b + "att.time_decay", {m.shape().attention}, -5, 3);
  m.vector(b + "att.time_first", {m.shape().attention}, 0.3, 0.5);
  attention_matrices(m, b + "att.", false);
  mixes(m, b + "ffn.time_mix_", {"k", "r"});
  channel_mix(m, b + "ffn.", true);
}

void block5(Maker& m, const std::string& b) {
  const RwkvShape& s = m.shape();
  mixes(m, b + "att.time_mix_", {"r", "k", "v", "g"});
  m.ramp(b + "att.time_decay", {s.heads, s.head_size}, -6, 1);
  m.vector(b + "att.time_faaaa", {s.heads, s.head_size}, 0.2, 0.3);
  attention_matrices(m, b + "att.", true);
  m.norm(b + "att.ln_x", s.attention);
  mixes(m, b + "ffn.time_mix_", {"k", "r"});
  channel_mix(m, b + "ffn.", true);
}

void block6(Maker& m, const std::string& b) {
  const RwkvShape& s = m.shape();
  const std::string a = b + "att.";
  mixes(m, a + "time_maa_", {"x", "w", "k", "v", "r", "g"});
  m.lora(a + "time_maa_w1", s.width, 5 * s.mix_rank, 0.5);
  m.matrix(a + "time_maa_w2", {5, s.mix_rank, s.width}, 0.3 / std::sqrt(static_cast<double>(s.mix_rank)));
  m.ramp(a + "time_decay", {s.attention}, -6, 1);
  m.lora(a + "time_decay_w1", s.width, s.decay_rank, 0.5);
  m.lora(a + "time_decay_w2", s.decay_rank, s.attention, 0.5);
  m.vector(a + "time_faaaa", {s.heads, s.head_size}, 0.2, 0.3);
  attention_matrices(m, a, true);
  m.norm(a + "ln_x", s.attention);
  mixes(m, b + "ffn.time_maa_", {"k", "r"});
  channel_mix(m, b + "ffn.", true);
}

void block7(Maker& m, const std::string& b, bool first) {
  const RwkvShape& s = m.shape();
  const std::string a = b + "att.";
  mixes(m, a + "x_", {"r", "w", "k", "v", "a", "g"});
  m.ramp(a + "w0", {s.attention}, -6, 1);
  m.lora(a + "w1", s.width, s.w_rank, 0.5);
  m.lora(a + "w2", s.w_rank, s.attention, 0.5);
  m.vector(a + "a0", {s.attention}, 0.0, 0.5);
  m.lora(a + "a1", s.width, s.a_rank, 0.5);
  m.lora(a + "a2", s.a_rank, s.attention, 0.5);
  if (!first) {
    m.vector(a + "v0", {s.attention}, 0.5, 0.3);
    m.lora(a + "v1", s.width, s.v_rank, 0.5);
    m.lora(a + "v2", s.v_rank, s.attention, 0.5);
  }
  m.lora(a + "g1", s.width, s.g_rank, 0.5);
  m.lora(a + "g2", s.g_rank, s.attention, 1.0);
  m.vector(a + "k_k", {s.attention}, 0.85, 0.1);
  m.vector(a + "k_a", {s.attention}, 1.0, 0.1);
  m.vector(a + "r_k", {s.heads, s.head_size}, 0.0, 0.1);
  attention_matrices(m, a, false);
  m.norm(a + "ln_x", s.attention);
  mixes(m, b + "ffn.x_", {"k"});
  channel_mix(m, b + "ffn.", false);
}

}  // namespace

std::vector<std::string> random_shapes() {
  std::vector<std::string> names;
  for (const Preset& p : kPresets) names.emplace_back(p.name);
  return names;
}

RandomSpec random_spec(const std::string& text) {
  RandomSpec spec;
  const std::size_t comma = text.find(',');
  spec.name = text.substr(0, comma);
  const Preset* preset = nullptr;
  for (const Preset& p : kPresets) {
    if (spec.name == p.name) preset = &p;
  }
  if (preset == nullptr) {
    throw std::invalid_argument(
        fmt::format("unknown random model '{}'; known: {}", spec.name, fmt::join(random_shapes(), ", ")));
  }
  RwkvShape& s = spec.shape;
  s = {preset->version,
       preset->vocabulary,
       preset->layers,
       preset->width,
       preset->width,
       preset->ffn,
       0,
       0,
       preset->mix_rank,
       preset->decay_rank,
       preset->w_rank,
       preset->a_rank,
       preset->v_rank,
       preset->g_rank};
  for (std::size_t at = comma; at != std::string::npos;) {
    const std::size_t end = text.find(',', at + 1);
    const std::string word = text.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals),
                      value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (key == "seed") {
      spec.seed = number(key, value);
    } else if (key == "vocab") {
      s.vocabulary = number(key, value);
    } else if (key == "layers") {
      s.layers = number(key, value);
    } else if (key == "width") {
      s.ffn = s.ffn * number(key, value) / s.width / 32 * 32;
      s.attention = s.width = number(key, value);
    } else {
      throw std::invalid_argument(
          fmt::format("random model: unknown option '{}' (known: seed, vocab, layers, width)", key));
    }
    at = end;
  }
  if (s.width % kHeadSize != 0) {
    throw std::invalid_argument(
        fmt::format("random model: width={} is not a multiple of the head size {}", s.width, kHeadSize));
  }
  if (s.version != v4) {
    s.head_size = kHeadSize;
    s.heads = s.attention / kHeadSize;
  }
  return spec;
}

Checkpoint random_rwkv(const RandomSpec& spec) {
  Maker m(spec);
  const RwkvShape& s = m.shape();
  m.matrix("emb.weight", {s.vocabulary, s.width}, 1.0);
  m.norm("blocks.0.ln0", s.width);
  for (std::size_t i = 0; i < s.layers; ++i) {
    const std::string b = fmt::format("blocks.{}.", i);
    m.norm(b + "ln1", s.width);
    m.norm(b + "ln2", s.width);
    switch (s.version) {
      case v4:
        block4(m, b);
        break;
      case v5_0:
      case v5_1:
      case v5_2:
        block5(m, b);
        break;
      case v6:
        block6(m, b);
        break;
      case v7:
        block7(m, b, i == 0);
        break;
    }
  }
  m.norm("ln_out", s.width);
  m.linear("head.weight", s.vocabulary, s.width);
  return m.finish();
}

}  // namespace deciban
