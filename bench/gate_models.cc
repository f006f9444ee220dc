#include "bench/gate_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "engine/rwkv_model.h"
#include "engine/tokenizer.h"

namespace deciban {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kValuesFormat = "deciban gate values";

// What sequences were given, scored; rows of logits too if wanted.
class Collector final : public SequenceSource, public ScoreSink {
 public:
  Collector(const std::vector<std::vector<Token>>& texts, bool rows) : texts_(texts), wants_rows_(rows) {
    scores.resize(texts.size());
  }
  bool next(Sequence& out) override {
    if (at_ == texts_.size()) return false;
    out = Sequence{texts_[at_++], 1, 0};
    return true;
  }
  void scored(std::size_t index, std::span<const TokenScore> s) override {
    scores[index].assign(s.begin(), s.end());
  }
  void failed(std::size_t, const std::string& reason) override { throw std::runtime_error(reason); }
  bool wants_rows() const override { return wants_rows_; }
  void rows(std::size_t, std::size_t, const LogitRows& tile) override {
    logits.insert(logits.end(), tile.data, tile.data + tile.rows * tile.columns);
  }

  std::vector<std::vector<TokenScore>> scores;
  std::vector<float> logits;  // of all, in order: for one text

 private:
  const std::vector<std::vector<Token>>& texts_;
  bool wants_rows_;
  std::size_t at_ = 0;
};

std::vector<std::vector<TokenScore>> score_all(LanguageModel& model,
                                               const std::vector<std::vector<Token>>& texts) {
  Collector collector(texts, false);
  model.score(collector, collector);
  return std::move(collector.scores);
}

// Largest difference of two scorings in nats; infinite if they are no numbers or their best tokens differ by
// more than rounding.
double difference(const std::vector<TokenScore>& a, const std::vector<TokenScore>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double off = std::max(std::abs(static_cast<double>(a[i].logprob) - b[i].logprob),
                                std::abs(static_cast<double>(a[i].best_logprob) - b[i].best_logprob));
    worst = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(worst, off);
  }
  return worst;
}

// What may differ where the same bits are not promised: sums in another order.
double inexact(const std::string& mode) { return mode == "f32" ? 1e-3 : 5e-2; }

ModelFinding judged(std::string what, double value, double allowed, const std::string& unit) {
  ModelFinding finding{std::move(what), value, allowed, value <= allowed, ""};
  finding.message = value == 0
                        ? "the same bits"
                        : fmt::format("differs by up to {:.3g} {}, allowed {:.2g}", value, unit, allowed);
  return finding;
}

double prefill_against_steps(LanguageModel& model, const std::vector<Token>& text) {
  const std::vector<std::vector<Token>> one{text};
  Collector whole(one, true);
  model.score(whole, whole);
  const auto batch = model.start_batch(2);
  if (!batch) throw std::runtime_error("the model cannot step");
  const std::size_t columns = model.info().vocabulary;
  double worst = 0;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const Token both[2] = {text[i], text[(i * 7 + 3) % text.size()]};  // the other sequence must not matter
    const LogitRows step = batch->step(both);
    for (std::size_t c = 0; c < columns; ++c) {
      const double off = std::abs(static_cast<double>(step.row(0)[c]) - whole.logits.at(i * columns + c));
      worst = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(worst, off);
    }
  }
  return worst;
}

double rung_for(const std::string& mode) {
  if (mode == "bf16") return kNoiseRung;  // the demo's weights are stored as bf16: nothing is rounded
  if (mode == "f16") return kWeightsRung;
  return mode == "fp8" || mode.starts_with("int4") ? kCoarseRung : kActivationsRung;
}

}  // namespace

std::string rung_of(double bits) {
  const double size = std::abs(bits);
  if (size <= kNoiseRung) return "noise";
  if (size <= kWeightsRung) return "8-bit weights";
  if (size <= kActivationsRung) return "8-bit weights and activations";
  if (size <= kCoarseRung) return "4-bit weights";
  return "broken";
}

std::string to_json(const StoredBitsFile& file) {
  ordered_json values = ordered_json::array();
  for (const StoredBits& v : file.values) {
    values.push_back(
        {{"model", v.model}, {"mode", v.mode}, {"kernels", v.kernels}, {"bits_per_byte", v.bits_per_byte}});
  }
  return ordered_json{{"format", kValuesFormat},
                      {"numerics_version", file.numerics_version},
                      {"text_bytes", file.text_bytes},
                      {"values", std::move(values)}}
             .dump(1) +
         "\n";
}

StoredBitsFile read_stored_bits(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(fmt::format("{}: cannot be read", path.string()));
  try {
    const json object = json::parse(in);
    if (!object.is_object() || object.value("format", "") != kValuesFormat)
      throw std::runtime_error("no values of 'deciban gate correctness --store'");
    StoredBitsFile file;
    file.numerics_version = object.at("numerics_version");
    file.text_bytes = object.at("text_bytes");
    for (const json& v : object.at("values"))
      file.values.push_back({v.at("model"), v.at("mode"), v.at("kernels"), v.at("bits_per_byte")});
    return file;
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{}: {}", path.string(), error.what()));
  }
}

std::unique_ptr<LanguageModel> load(const ModelUnderTest& model, int threads, std::size_t chunk_rows) {
  ModelOptions options;
  options.threads = threads;
  options.chunk_rows = chunk_rows;
  ModelInfo info;
  info.name = model.model;
  return load_rwkv(*model.official, byte_tokenizer(), model.backend(), model.mode, options, std::move(info));
}

std::vector<ModelFinding> check_model(const ModelUnderTest& under,
                                      const std::vector<std::vector<Token>>& texts) {
  constexpr std::size_t kTokens = 97;  // no multiple of any tile
  const double logits = under.exact ? 0 : inexact(under.mode) * 10,
               scores = under.exact ? 0 : inexact(under.mode);
  std::vector<std::vector<Token>> cut;  // of different lengths, so that pieces of them share chunks
  for (std::size_t i = 0; i < std::min<std::size_t>(5, texts.size()); ++i) {
    const std::size_t wanted = std::min(texts[i].size(), kTokens - 13 * i);
    cut.emplace_back(texts[i].begin(), texts[i].begin() + static_cast<std::ptrdiff_t>(wanted));
  }
  const auto model = load(under);
  std::vector<ModelFinding> findings;
  findings.push_back(
      judged("prefill = step", prefill_against_steps(*model, cut[0]), logits, "in the logits"));
  const auto together = score_all(*model, cut);
  double alone = 0;
  for (std::size_t i = 0; i < cut.size(); ++i)
    alone = std::max(alone, difference(together[i], score_all(*model, {cut[i]})[0]));
  findings.push_back(judged("batch invariance", alone, scores, "nats"));
  const auto chunked = score_all(*load(under, 2, 7), cut);
  double chunks = 0;
  for (std::size_t i = 0; i < cut.size(); ++i) chunks = std::max(chunks, difference(together[i], chunked[i]));
  findings.push_back(judged("chunk invariance", chunks, scores, "nats"));
  return findings;
}

double bits_per_byte(LanguageModel& model, const std::vector<std::vector<Token>>& texts) {
  double nats = 0, bytes = 0;
  for (const std::vector<TokenScore>& scores : score_all(model, texts)) {
    for (const TokenScore& s : scores) nats -= s.logprob;
    bytes += static_cast<double>(scores.size());
  }
  return nats / std::log(2.0) / bytes;
}

std::vector<ModelFinding> check_bits(double bits, std::optional<double> reference, const std::string& model,
                                     const std::string& mode, const std::string& kernels,
                                     const StoredBitsFile& stored) {
  std::vector<ModelFinding> findings;
  const auto compare = [&](const std::string& what, double against, double allowed, const std::string& with) {
    const double off = std::abs(bits - against);
    ModelFinding finding{what, off, allowed, off <= allowed, ""};
    finding.message = fmt::format("{:.7f} bits per byte, {} {:.7f}: {:+.1e}, {}; allowed {:.1e}", bits, with,
                                  against, bits - against, rung_of(off), allowed);
    findings.push_back(std::move(finding));
  };
  const StoredBits* same = nullptr;
  const StoredBits* other = nullptr;
  for (const StoredBits& v : stored.values) {
    if (v.model != model || v.mode != mode) continue;
    (v.kernels == kernels ? same : other) = &v;
  }
  if (same) {
    compare("stored bits per byte", same->bits_per_byte, kNoiseRung, "stored");
  } else if (other) {
    // Exact modes differ between kernels by the order of sums alone.
    const bool exact = mode == "f32" || mode == "bf16";
    compare("stored bits per byte", other->bits_per_byte, exact ? kNoiseRung : kWeightsRung,
            fmt::format("stored for {}", other->kernels));
  }
  if (reference && mode != "f32") compare("bits per byte against f32", *reference, rung_for(mode), "in f32");
  return findings;
}

}  // namespace deciban
