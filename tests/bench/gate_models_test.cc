// The models' part of the gate on the demo's models: unchanged code passes on every kernel table, and a
// mistake that only shows where steps, chunks or values meet is caught.
#include "bench/gate_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "engine/forwarding_ops.h"
#include "engine/rwkv_model.h"
#include "engine/rwkv_names.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

std::filesystem::path demo() { return source_dir() / "datasets/demo"; }

std::vector<std::vector<Token>> texts(std::size_t bytes) {
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(demo() / "texts")) files.push_back(file.path());
  std::sort(files.begin(), files.end());
  std::vector<std::vector<Token>> all;
  for (const auto& path : files) {
    std::ifstream in(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    std::vector<Token> tokens{0};
    for (const unsigned char c : text.substr(0, bytes)) tokens.push_back(c);
    all.push_back(std::move(tokens));
  }
  return all;
}

// A backend whose Ops have one mistake.
template <typename Broken>
class BrokenBackend final : public Backend {
 public:
  explicit BrokenBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}
  std::string device() const override { return inner_->device(); }
  std::string kernels() const override { return inner_->kernels(); }
  std::unique_ptr<Weight> matrix(const StoredTensor& t, NumericMode mode) override {
    return inner_->matrix(t, mode);
  }
  std::unique_ptr<Vector> vector(std::span<const float> values) override { return inner_->vector(values); }
  std::unique_ptr<EmbeddingTable> table(const StoredTensor& t) override { return inner_->table(t); }
  std::unique_ptr<Ops> open(int threads) override { return std::make_unique<Broken>(inner_->open(threads)); }
  std::uint64_t weight_bytes() const override { return inner_->weight_bytes(); }
  std::string refusal(NumericMode mode) const override { return inner_->refusal(mode); }

 private:
  std::unique_ptr<Backend> inner_;
};
struct OwningOps : ForwardingOps {
  explicit OwningOps(std::unique_ptr<Ops> inner) : ForwardingOps(*inner), owned(std::move(inner)) {}
  std::unique_ptr<Ops> owned;
};
// The token shift forgets what came before a piece: right for whole sequences in one chunk, wrong else.
struct ForgetfulShift final : OwningOps {
  using OwningOps::OwningOps;
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    for (const Piece& piece : layout) inner_.write_state(shift, piece.slot, std::vector<float>(x.columns));
    inner_.norm_mix(x, norm, layout, shift, mixes, outs, h, h_prev);
  }
};
// A layer norm's eps in the group norm: the same for all, so only values show it.
struct LayerEps final : OwningOps {
  using OwningOps::OwningOps;
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    Wkv7Params other = params;
    other.group.eps = 1e-5f;
    inner_.wkv7(other, r, w, k, v, a, g, layout, state, out);
  }
};

struct Demo {
  Checkpoint official = official_rwkv(Checkpoint::open(demo() / "rwkv7/model.pth"));
  ModelUnderTest under(const std::string& mode, const std::string& isa) const {
    return {"rwkv7", mode, &official, [isa] { return cpu_backend(isa); }, true};
  }
  template <typename Broken>
  ModelUnderTest broken() const {
    return {"rwkv7", "f32", &official, [] { return std::make_unique<BrokenBackend<Broken>>(cpu_backend()); },
            true};
  }
};

std::size_t failures(const std::vector<ModelFinding>& findings) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(), [](const ModelFinding& f) { return !f.passed; }));
}

TEST(GateModels, UnchangedCodePasses) {
  const Demo model;
  for (const std::string& isa : supported_isas()) {
    for (const char* mode : {"f32", "bf16a", "int8a"}) {
      const auto findings = check_model(model.under(mode, isa), texts(100));
      EXPECT_EQ(findings.size(), 3u);
      for (const ModelFinding& f : findings)
        EXPECT_TRUE(f.passed) << isa << ' ' << mode << ' ' << f.what << ": " << f.message;
    }
  }
}

TEST(GateModels, CatchesAStateThatIsForgotten) {
  EXPECT_GT(failures(check_model(Demo().broken<ForgetfulShift>(), texts(100))), 1u);
}

TEST(GateModels, StoredValuesHoldAndCatchAnotherEps) {
  const StoredBitsFile stored = read_stored_bits(demo() / "gate.json");
  EXPECT_EQ(stored.numerics_version, kNumericsVersion);
  const auto all = texts(stored.text_bytes);
  const Demo model;
  const std::string kernels = cpu_backend()->kernels();
  const double bits = bits_per_byte(*load(model.under("f32", kernels)), all);
  const auto right = check_bits(bits, bits, "rwkv7", "f32", kernels, stored);
  ASSERT_EQ(right.size(), 1u);
  EXPECT_TRUE(right[0].passed) << right[0].message;
  const double other = bits_per_byte(*load(model.broken<LayerEps>()), all);
  EXPECT_EQ(failures(check_bits(other, other, "rwkv7", "f32", kernels, stored)), 1u);
}

TEST(GateModels, ValuesOfOtherKernelsServeWhereThereAreNone) {
  const StoredBitsFile stored{1, 1, {{"m", "f32", "avx2", 1.5}, {"m", "int8", "avx2", 1.5}}};
  EXPECT_EQ(failures(check_bits(1.500001, {}, "m", "f32", "new", stored)), 0u);
  EXPECT_EQ(failures(check_bits(1.50001, {}, "m", "f32", "new", stored)), 1u);
  EXPECT_EQ(failures(check_bits(1.50001, {}, "m", "int8", "new", stored)), 0u);
  EXPECT_EQ(failures(check_bits(1.51, 1.5, "m", "int8", "avx2", stored)), 2u);
  EXPECT_EQ(failures(check_bits(std::nan(""), {}, "m", "f32", "avx2", stored)), 1u);
}

TEST(GateModels, RungsAreNamed) {
  EXPECT_EQ(rung_of(-1e-7), "noise");
  EXPECT_EQ(rung_of(1e-4), "8-bit weights");
  EXPECT_EQ(rung_of(-5e-3), "8-bit weights and activations");
  EXPECT_EQ(rung_of(0.04), "4-bit weights");
  EXPECT_EQ(rung_of(0.05), "broken");
}

TEST(StoredBits, RefusesWhatIsNone) {
  EXPECT_THROW(read_stored_bits("no/such/file"), std::runtime_error);
  EXPECT_THROW(read_stored_bits(demo() / "rwkv7/meta.json"), std::runtime_error);
}

}  // namespace
}  // namespace deciban
