// Naive float64 definitions of Mamba-1 and Hyena, one token and one sum after the other, from a checkpoint's
// own tensors.  Written from the papers, not from plugins/.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/lm.h"

namespace deciban {

class Definition {
 public:
  explicit Definition(const std::filesystem::path& folder)
      : file_(Checkpoint::open(folder)), config_(nlohmann::json::parse(file_.config)) {}

  // Log-probability of each token after the first.
  std::vector<double> logprobs(const std::vector<Token>& ids) const {
    const bool mamba = config_.at("model_type") == "mamba";
    const Rows logits = mamba ? mamba_logits(ids) : hyena_logits(ids);
    std::vector<double> out;
    for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
      double most = -1e300, total = 0;
      for (const double v : logits[t]) most = std::max(most, v);
      for (const double v : logits[t]) total += std::exp(v - most);
      out.push_back(logits[t][static_cast<std::size_t>(ids[t + 1])] - most - std::log(total));
    }
    return out;
  }

 private:
  using Row = std::vector<double>;
  using Rows = std::vector<Row>;

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  Row values(const std::string& name) const {
    const std::vector<float> v = file_.at(name).read_all();
    return {v.begin(), v.end()};
  }
  std::size_t number(const char* key) const { return config_.at(key).get<std::size_t>(); }

  static double silu(double x) { return x / (1 + std::exp(-x)); }
  // W x + b; W as [outputs][inputs], b empty for none.
  static Row affine(const Row& w, const Row& b, const Row& x) {
    Row y(w.size() / x.size());
    for (std::size_t o = 0; o < y.size(); ++o) {
      y[o] = b.empty() ? 0 : b[o];
      for (std::size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
    }
    return y;
  }
  Row affine(const std::string& name, const Row& x) const {
    return affine(values(name + ".weight"), has(name + ".bias") ? values(name + ".bias") : Row(), x);
  }
  static Row norm(const Row& x, const Row& weight, const Row& bias, double eps, bool centred) {
    double mean = 0, square = 0;
    if (centred)
      for (const double v : x) mean += v / static_cast<double>(x.size());
    for (const double v : x) square += (v - mean) * (v - mean) / static_cast<double>(x.size());
    Row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      y[i] = (x[i] - mean) / std::sqrt(square + eps) * weight[i] + (bias.empty() ? 0 : bias[i]);
    return y;
  }
  static Row row_of(const Row& table, std::size_t width, Token id) {
    const auto begin = table.begin() + static_cast<std::ptrdiff_t>(width) * id;
    return {begin, begin + static_cast<std::ptrdiff_t>(width)};
  }

  Rows mamba_logits(const std::vector<Token>& ids) const {
    const std::size_t width = number("hidden_size"), inner = number("intermediate_size"),
                      states = number("state_size"), taps = number("conv_kernel"),
                      rank = number("time_step_rank");
    const double eps = config_.at("layer_norm_epsilon");
    const Row table = values("backbone.embeddings.weight");
    Rows x;
    for (const Token id : ids) x.push_back(row_of(table, width, id));
    for (std::size_t l = 0; l < number("num_hidden_layers"); ++l) {
      const std::string b = "backbone.layers." + std::to_string(l) + ".", m = b + "mixer.";
      const Row conv = values(m + "conv1d.weight"), log_a = values(m + "A_log"), d = values(m + "D"),
                x_proj = values(m + "x_proj.weight"), weight = values(b + "norm.weight");
      const Row conv_bias = has(m + "conv1d.bias") ? values(m + "conv1d.bias") : Row(inner);
      Rows inputs;
      Row h(inner * states);
      for (Row& token : x) {
        const Row xz = affine(m + "in_proj", norm(token, weight, {}, eps, false));
        inputs.emplace_back(xz.begin(), xz.begin() + static_cast<std::ptrdiff_t>(inner));
        Row u = conv_bias;
        for (std::size_t c = 0; c < inner; ++c) {
          for (std::size_t back = 0; back < taps && back < inputs.size(); ++back)
            u[c] += conv[c * taps + taps - 1 - back] * inputs[inputs.size() - 1 - back][c];
          u[c] = silu(u[c]);
        }
        const Row all = affine(x_proj, {}, u);
        const Row step =
            affine(m + "dt_proj", Row(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(rank)));
        Row y(inner);
        for (std::size_t c = 0; c < inner; ++c) {
          const double dt = std::log1p(std::exp(step[c]));
          y[c] = d[c] * u[c];
          for (std::size_t n = 0; n < states; ++n) {
            double& s = h[c * states + n];
            s = std::exp(-dt * std::exp(log_a[c * states + n])) * s + dt * all[rank + n] * u[c];
            y[c] += s * all[rank + states + n];
          }
          y[c] *= silu(xz[inner + c]);
        }
        const Row out = affine(m + "out_proj", y);
        for (std::size_t c = 0; c < width; ++c) token[c] += out[c];
      }
    }
    const Row last = values("backbone.norm_f.weight"),
              head = has("lm_head.weight") ? values("lm_head.weight") : table;
    for (Row& token : x) token = affine(head, {}, norm(token, last, {}, eps, false));
    return x;
  }

  // The filter's values at times 0 … count - 1.
  Rows hyena_filter(const std::string& f, std::size_t count) const {
    const std::size_t width = number("d_model"), places = number("emb_dim"), mlps = number("num_inner_mlps");
    const auto length = static_cast<double>(number("max_seq_len"));
    const Row frequency = values(f + "implicit_filter.1.freq");
    const Row given = has(f + "pos_emb.z") ? values(f + "pos_emb.z") : Row();
    const Row deltas = has(f + "modulation.deltas") ? values(f + "modulation.deltas") : Row();
    Rows out;
    for (std::size_t i = 0; i < count; ++i) {
      const double t = static_cast<double>(i) / (length - 1);
      Row z{t};
      const std::size_t bands = (places - 1) / 2;
      for (std::size_t part = 0; part < 2; ++part) {
        for (std::size_t k = 0; k < bands; ++k) {
          const double last = static_cast<double>(bands) - 1;
          const double w = bands == 1 ? 1e-4 : 1e-4 + (last - 1e-4) * static_cast<double>(k) / last;
          const double angle = -w * 2 * std::numbers::pi * static_cast<double>(i) / length;
          z.push_back(part == 0 ? std::cos(angle) : std::sin(angle));
        }
      }
      if (!given.empty())
        for (std::size_t k = 0; k < places; ++k) z[k] = given[i * places + k];
      for (std::size_t j = 0; j <= mlps; ++j) {
        z = affine(f + "implicit_filter." + std::to_string(2 * j), z);
        for (std::size_t k = 0; k < z.size(); ++k) z[k] = std::sin(frequency[k] * z[k]);
      }
      z = affine(f + "implicit_filter." + std::to_string(2 * mlps + 2), z);
      for (std::size_t c = 0; c < width; ++c) {
        const double slow = std::log(100.0) / 1.5, fast = std::log(100.0) / 0.3;
        const double delta =
            deltas.empty() ? slow + (fast - slow) * static_cast<double>(c) / (static_cast<double>(width) - 1)
                           : std::abs(deltas[c]);
        z[c] *= std::exp(-t * delta) + 0.05;
      }
      out.push_back(z);
    }
    return out;
  }

  Rows hyena_logits(const std::vector<Token>& ids) const {
    const std::size_t width = number("d_model"), taps = number("short_filter_order");
    const std::string p = "hyena.backbone.";
    const Row table = values(p + "embeddings.word_embeddings.weight");
    Rows x;
    for (const Token id : ids) x.push_back(row_of(table, width, id));
    const auto layer_norm = [&](const std::string& name, const Row& v, double eps) {
      return norm(v, values(name + ".weight"), values(name + ".bias"), eps, true);
    };
    for (std::size_t l = 0; l < number("n_layer"); ++l) {
      const std::string b = p + "layers." + std::to_string(l) + ".";
      const Rows k = hyena_filter(b + "mixer.filter_fn.", ids.size());
      const Row bias = values(b + "mixer.filter_fn.bias"), conv = values(b + "mixer.short_filter.weight"),
                conv_bias = values(b + "mixer.short_filter.bias");
      Rows z, products;
      for (std::size_t t = 0; t < ids.size(); ++t) {
        z.push_back(affine(b + "mixer.in_proj", layer_norm(b + "norm1", x[t], 1e-5)));
        Row u = conv_bias;
        for (std::size_t c = 0; c < 3 * width; ++c)
          for (std::size_t back = 0; back < taps && back <= t; ++back)
            u[c] += conv[c * taps + taps - 1 - back] * z[t - back][c];
        Row product(width), y(width);
        for (std::size_t c = 0; c < width; ++c) product[c] = u[width + c] * u[2 * width + c];
        products.push_back(product);
        for (std::size_t c = 0; c < width; ++c) {
          y[c] = bias[c] * product[c];
          for (std::size_t j = 0; j <= t; ++j) y[c] += k[t - j][c] * products[j][c];
          y[c] *= u[c];
        }
        const Row out = affine(b + "mixer.out_proj", y);
        for (std::size_t c = 0; c < width; ++c) x[t][c] += out[c];
        Row hidden = affine(b + "mlp.fc1", layer_norm(b + "norm2", x[t], 1e-5));
        for (double& v : hidden)
          v = v / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v)));
        const Row more = affine(b + "mlp.fc2", hidden);
        for (std::size_t c = 0; c < width; ++c) x[t][c] += more[c];
      }
    }
    const Row head = has("lm_head.weight") ? values("lm_head.weight") : table;
    for (Row& token : x)
      token = affine(head, {}, layer_norm(p + "ln_f", token, config_.at("layer_norm_epsilon")));
    return x;
  }

  Checkpoint file_;
  nlohmann::json config_;
};

}  // namespace deciban
