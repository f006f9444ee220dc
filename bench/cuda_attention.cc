#include "bench/cuda_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/cuda_module.h"
#include "engine/ops.h"

namespace deciban {
namespace {

constexpr int kCalls = 20;  // between two looks at the clock

// Normal values, the same again after a while: on zeros a card is faster than on real ones.
std::vector<float> some_values(std::size_t count, std::uint64_t seed) {
  constexpr std::size_t kDrawn = 1'000'003;
  std::vector<float> values(count);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (float& value : std::span(values).first(std::min(count, kDrawn))) {
    float sum = 0;
    for (int i = 0; i < 4; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      sum += static_cast<float>(state >> 40) / (1 << 24) - 0.5f;
    }
    value = sum * 1.732f;  // variance 1
  }
  for (std::size_t i = kDrawn; i < count; ++i) values[i] = values[i - kDrawn];
  return values;
}

class Case {
 public:
  Case(Backend& backend, const AttentionBench& bench, std::size_t length, std::size_t head_size)
      : bench_(bench), ops_(backend.open(1)), length_(length) {
    const ActivationFormat format = numeric_mode(bench.mode).activations;
    params_.heads = static_cast<std::size_t>(bench.width) / head_size;
    params_.kv_heads = params_.heads / static_cast<std::size_t>(bench.kv_share);
    params_.head_size = head_size;
    params_.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_size)));
    sequences_ = std::max<std::size_t>(1, static_cast<std::size_t>(bench.tokens) / length);
    rows_ = sequences_ * length;
    cache_ = ops_->allocate_cache({1, params_.kv_heads, head_size, format, 0}, sequences_);
    const Tensor::Type inner = ops_->inner_type(format);
    q_ = filled(params_.heads * head_size, inner, 1);
    k_ = filled(params_.kv_heads * head_size, inner, 2);
    v_ = filled(params_.kv_heads * head_size, inner, 3);
    out_ = ops_->allocate(rows_, params_.heads * head_size, Ops::product_type(format));
    for (std::size_t i = 0; i < sequences_; ++i) {
      whole_.push_back({i * length, length, i});
      single_.push_back({i, 1, i});
    }
    element_ = Tensor::element_bytes(Ops::product_type(format));
  }

  nlohmann::json prefill() {
    cache_->reserve(whole_);
    const double seconds = time(q_, k_, v_, whole_, out_);
    const double pairs = static_cast<double>(length_) * static_cast<double>(length_) / 2;  // as others count
    const double flops = 4 * pairs * static_cast<double>(sequences_ * bench_.width);
    return {{"work", "attention"}, {"seconds", seconds}, {"tflops", flops / seconds * 1e-12}};
  }

  // After prefill(): every sequence's next token.
  nlohmann::json step() {
    cache_->advance(whole_);
    cache_->reserve(single_);
    const auto first = [&](Tensor t) {
      t.rows = sequences_;
      return t;
    };
    const double seconds = time(first(q_), first(k_), first(v_), single_, first(out_));
    const double bytes =
        2.0 * static_cast<double>(sequences_ * length_ * params_.kv_heads * params_.head_size * element_);
    return {
        {"work", "attention step"}, {"seconds", seconds}, {"gigabytes_per_second", bytes / seconds * 1e-9}};
  }
  std::size_t sequences() const { return sequences_; }
  const Attention& params() const { return params_; }

 private:
  Tensor filled(std::size_t columns, Tensor::Type type, std::uint64_t seed) {
    const Tensor t = ops_->allocate(rows_, columns, type);
    ops_->write(t, 0, rows_, some_values(rows_ * columns, seed).data());
    return t;
  }
  double time(const Tensor& q, const Tensor& k, const Tensor& v, Layout layout, const Tensor& out) {
    double best = 1e300;
    std::vector<float> row(out.columns);
    for (int i = 0; i <= bench_.repeats; ++i) {
      const auto start = std::chrono::steady_clock::now();
      const int calls = i == 0 ? 2 : kCalls;
      for (int call = 0; call < calls; ++call) ops_->attention(params_, q, k, v, layout, *cache_, 0, out);
      ops_->read(out, 0, 1, row.data());
      const double seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
      if (i > 0) best = std::min(best, seconds);
    }
    return best;
  }

  const AttentionBench& bench_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<KvCache> cache_;
  std::size_t length_, sequences_ = 0, rows_ = 0, element_ = 2;
  Attention params_;
  Tensor q_, k_, v_, out_;
  std::vector<Piece> whole_, single_;
};

}  // namespace

void time_attention(const AttentionBench& bench, nlohmann::json& results) {
  const auto backend = cuda_backend(0, bench.deterministic);
  for (const int head_size : bench.head_sizes) {
    for (const int length : bench.lengths) {
      Case one(*backend, bench, static_cast<std::size_t>(length), static_cast<std::size_t>(head_size));
      for (nlohmann::json r : {one.prefill(), one.step()}) {
        r["mode"] = bench.mode;
        r["kernels"] = backend->kernels();
        r["head_size"] = head_size;
        r["heads"] = one.params().heads;
        r["kv_heads"] = one.params().kv_heads;
        r["tokens"] = length;
        r["sequences"] = one.sequences();
        fmt::print("{:<15} {} heads of {} ({} of keys), {:>3} x {:<6} {:>9.3f} ms  {}\n",
                   r["work"].get<std::string>(), one.params().heads, head_size, one.params().kv_heads,
                   one.sequences(), length, r["seconds"].get<double>() * 1e3,
                   r.contains("tflops")
                       ? fmt::format("{:.0f} TFLOP/s", r["tflops"].get<double>())
                       : fmt::format("{:.0f} GB/s", r["gigabytes_per_second"].get<double>()));
        std::fflush(stdout);
        results.push_back(std::move(r));
      }
    }
  }
}

}  // namespace deciban
