// The op cases must notice: each double below makes one mistake that is easy to make, and its case must fail.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <vector>

#include "engine/forwarding_ops.h"
#include "engine/op_case_data.h"
#include "engine/op_cases.h"

namespace deciban {
namespace {

using op_case::download;
using op_case::Values;

// Everything that a double may need, besides the Ops it forwards to.
struct Double : ForwardingOps {
  using ForwardingOps::ForwardingOps;

  // A copy of a tensor with its values changed.
  Tensor changed(const Tensor& t, const std::function<void(Values&)>& change) {
    if (t.data == nullptr) return t;
    Values values = download(inner_, t);
    change(values);
    const Tensor copy = inner_.allocate(t.rows, t.columns, t.type);
    inner_.write(copy, 0, t.rows, values.data());
    return copy;
  }
};

// h_prev of a piece's first token is the row before, as if all rows were one sequence.
struct ShiftAcrossPieces final : Double {
  using Double::Double;
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    const Piece all{0, x.rows, layout[0].slot};
    Double::norm_mix(x, norm, std::span(&all, 1), shift, mixes, outs, h, h_prev);
  }
};
// The state keeps the h it had.
struct StaleShift final : Double {
  using Double::Double;
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    std::vector<Values> old(layout.size(), Values(x.columns));
    for (std::size_t i = 0; i < layout.size(); ++i) read_state(shift, layout[i].slot, old[i]);
    Double::norm_mix(x, norm, layout, shift, mixes, outs, h, h_prev);
    for (std::size_t i = 0; i < layout.size(); ++i) write_state(shift, layout[i].slot, old[i]);
  }
};
// One parameter of attention is not what was asked for.
struct OtherAttention : Double {
  using Double::Double;
  virtual void spoil(Attention& params) = 0;
  void attention(const Attention& params, const Tensor& q, const Tensor& k, const Tensor& v, Layout layout,
                 KvCache& cache, std::size_t layer, Tensor out) override {
    Attention other = params;
    spoil(other);
    Double::attention(other, q, k, v, layout, cache, layer, out);
  }
};
struct NarrowWindow final : OtherAttention {
  using OtherAttention::OtherAttention;
  void spoil(Attention& params) override { --params.window; }
};
struct OtherPairs final : OtherAttention {
  using OtherAttention::OtherAttention;
  void spoil(Attention& params) override { params.interleaved = !params.interleaved; }
};
struct FewerTurned final : OtherAttention {
  using OtherAttention::OtherAttention;
  void spoil(Attention& params) override { params.rotary -= 2; }
};
struct NoSlopes final : OtherAttention {
  using OtherAttention::OtherAttention;
  void spoil(Attention& params) override { params.slopes = nullptr; }
};
struct NoHeadNorm final : OtherAttention {
  using OtherAttention::OtherAttention;
  void spoil(Attention& params) override { params.k_norm.weight = nullptr; }
};
struct UnevenScale final : OtherAttention {
  using OtherAttention::OtherAttention;
  void spoil(Attention& params) override { params.scale *= 1.0001f; }
};
// States are taken by the piece's number, not by its slot.
struct WrongSlot final : Double {
  using Double::Double;
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    std::vector<Piece> pieces(layout.begin(), layout.end());
    for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i].slot = i;
    Double::norm_mix(x, norm, pieces, shift, mixes, outs, h, h_prev);
  }
};
// One layer norm's eps for another's: off by a factor of two, or the group norm's.
struct OtherEps final : Double {
  using Double::Double;
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    Double::norm_mix(x, {norm.weight, norm.bias, 64e-5f}, layout, shift, mixes, outs, h, h_prev);
  }
  void norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm, Tensor out) override {
    Double::norm_rows(x, rows, {norm.weight, norm.bias, 2e-5f}, out);
  }
  void embed(const EmbeddingTable& table, std::span<const Token> tokens, const Norm* norm,
             Tensor x) override {
    Norm other = norm ? Norm{norm->weight, norm->bias, 2e-5f} : Norm{};
    Double::embed(table, tokens, norm ? &other : nullptr, x);
  }
  void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, Tensor out) override {
    Wkv5Params other = params;
    other.group.eps = 1e-5f;
    Double::wkv5(other, r, k, v, w, g, layout, state, out);
  }
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    Wkv7Params other = params;
    other.group.eps = 1e-5f;
    Double::wkv7(other, r, w, k, v, a, g, layout, state, out);
  }
};
struct RowTooLow final : Double {
  using Double::Double;
  void norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm, Tensor out) override {
    std::vector<std::size_t> lower(rows.begin(), rows.end());
    for (std::size_t& row : lower) row = row > 0 ? row - 1 : row;
    Double::norm_rows(x, lower, norm, out);
  }
};
struct TokenTooLow final : Double {
  using Double::Double;
  void embed(const EmbeddingTable& table, std::span<const Token> tokens, const Norm* norm,
             Tensor x) override {
    std::vector<Token> lower(tokens.begin(), tokens.end());
    lower[0] -= 1;
    Double::embed(table, lower, norm, x);
  }
};

// The last input of a product is left out, as by a loop that only takes whole pairs or blocks.
struct DroppedInput final : Double {
  using Double::Double;
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    Double::linear(w, changed(x, [&](Values& v) { drop(v, x); }), y, epilogue);
  }
  void score_head(const Weight& w, const Tensor& x, std::span<const Token> targets,
                  std::span<TokenScore> scores) override {
    Double::score_head(w, changed(x, [&](Values& v) { drop(v, x); }), targets, scores);
  }
  static void drop(Values& values, const Tensor& x) {
    for (std::size_t r = 0; r < x.rows; ++r) values[(r + 1) * x.columns - 1] = 0;
  }
};
// The last output keeps what lay there.
struct DroppedOutput final : Double {
  using Double::Double;
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    const Values before = download(inner_, y);
    Double::linear(w, x, y, epilogue);
    Values after = download(inner_, y);
    for (std::size_t r = 0; r < y.rows; ++r) after[(r + 1) * y.columns - 1] = before[(r + 1) * y.columns - 1];
    inner_.write(y, 0, y.rows, after.data());
  }
};
// An epilogue that was changed.
template <typename Change>
struct OtherEpilogue final : Double {
  using Double::Double;
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    Epilogue other = epilogue;
    Change{}(other);
    Double::linear(w, x, y, other);
  }
};
struct NoBias {
  void operator()(Epilogue& e) const { e.bias = nullptr; }
};
struct Overwrites {
  void operator()(Epilogue& e) const {
    if (e.combine == Epilogue::Combine::add) e.combine = Epilogue::Combine::store;
  }
};
struct LerpBackwards {
  void operator()(Epilogue& e) const { std::swap(e.base, e.target); }
};
struct SiluWithoutP {
  void operator()(Epilogue& e) const {
    if (e.act == Epilogue::Act::silu) e.act = Epilogue::Act::sigmoid;
  }
};
// Inputs rounded to bf16 where the mode keeps f32.
struct NarrowInputs final : Double {
  using Double::Double;
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    const auto narrow = [](Values& v) { v = op_case::rounded(ActivationFormat::bf16, std::move(v)); };
    Double::linear(w, changed(x, narrow), y, epilogue);
  }
};

// One i8 scale for all rows, where each token has its own.
struct SharedScale final : Double {
  using Double::Double;
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    const auto quantise = [](Values& values) {
      float top = 0;
      for (const float value : values) top = std::max(top, std::abs(value));
      for (float& value : values) value = std::nearbyint(value * 127 / top) * top / 127;
    };
    Double::linear(w, changed(x, quantise), y, epilogue);
  }
};

// RWKV-4 without the running exponent: e^k is summed as it is.
struct Unstabilised final : Double {
  using Double::Double;
  void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
            Layout layout, StateView state, Tensor out) override {
    const Values rs = download(inner_, r), ks = download(inner_, k), vs = download(inner_, v);
    const std::size_t n = r.columns;
    Values result(r.rows * n), s(4 * n);
    for (const Piece& piece : layout) {
      inner_.read_state(state, piece.slot, s);
      for (std::size_t c = 0; c < n; ++c) {
        float a = s[c] * std::exp(s[2 * n + c]), b = s[n + c] * std::exp(s[2 * n + c]);
        for (std::size_t i = piece.row * n + c; i < (piece.row + piece.count) * n; i += n) {
          const float now = std::exp(u.data()[c] + ks[i]), key = std::exp(ks[i]),
                      decay = std::exp(w.data()[c]);
          result[i] = rs[i] * (a + now * vs[i]) / (b + now);
          a = decay * a + key * vs[i];
          b = decay * b + key;
        }
        s[c] = a;
        s[n + c] = b;
        s[2 * n + c] = s[3 * n + c] = 0;
      }
      inner_.write_state(state, piece.slot, s);
    }
    inner_.write(out, 0, out.rows, result.data());
  }
};
struct NoFirstBonus final : Double {
  NoFirstBonus(Ops& inner, Backend& backend) : Double(inner), backend_(backend) {}
  void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
            Layout layout, StateView state, Tensor out) override {
    const auto zero = backend_.vector(Values(u.size()));
    Double::wkv4(r, k, v, w, *zero, layout, state, out);
  }
  void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, Tensor out) override {
    const auto zero = backend_.vector(Values(params.bonus->size()));
    Wkv5Params other = params;
    other.bonus = zero.get();
    Double::wkv5(other, r, k, v, w, g, layout, state, out);
  }
  Backend& backend_;
};
// The decay of the token before.
struct LateDecay final : Double {
  using Double::Double;
  void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, Tensor out) override {
    Double::wkv5(params, r, k, v, changed(w, [&](Values& values) { late(values, w.columns); }), g, layout,
                 state, out);
  }
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    Double::wkv7(params, r, changed(w, [&](Values& values) { late(values, w.columns); }), k, v, a, g, layout,
                 state, out);
  }
  static void late(Values& values, std::size_t columns) {
    std::copy_backward(values.begin(), values.end() - static_cast<std::ptrdiff_t>(columns), values.end());
  }
};
// S taken for [value][key].
struct TransposedState final : Double {
  using Double::Double;
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    transpose(params, layout, state);
    Double::wkv7(params, r, w, k, v, a, g, layout, state, out);
    transpose(params, layout, state);
  }
  void transpose(const Wkv7Params& p, Layout layout, StateView state) {
    const std::size_t n = p.head_size;
    Values s(p.heads * n * n), t(s.size());
    for (const Piece& piece : layout) {
      inner_.read_state(state, piece.slot, s);
      for (std::size_t i = 0; i < s.size(); ++i) t[i / (n * n) * n * n + i % n * n + i / n % n] = s[i];
      inner_.write_state(state, piece.slot, t);
    }
  }
};
// Normalises the key that was already scaled by (1 + (a - 1) k_a): kk must come from the key as it was.
struct KkFromScaledKey final : Double {
  KkFromScaledKey(Ops& inner, Backend& backend) : Double(inner), backend_(backend) {}
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    const Values rate = download(inner_, a);
    const Tensor scaled = changed(k, [&](Values& values) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] *= 1 + (rate[i] - 1) * params.k_a->data()[i % k.columns];
      }
    });
    const auto none = backend_.vector(Values(k.columns));
    Wkv7Params other = params;
    other.k_a = none.get();
    Double::wkv7(other, r, w, scaled, v, a, g, layout, state, out);
  }
  Backend& backend_;
};

// A head written by hand over the logits, right or with one mistake.
enum class HeadMistake { none, last_of_equals, last_row_missing, block_maximum_forgotten };
template <HeadMistake M>
struct OtherHead final : Double {
  using Double::Double;
  void score_head(const Weight& w, const Tensor& x, std::span<const Token> targets,
                  std::span<TokenScore> scores) override {
    const Tensor y = inner_.allocate(x.rows, w.rows(), Tensor::Type::f32);
    inner_.linear(w, x, y, {});
    const Values logits = download(inner_, y);
    const std::size_t n = w.rows() - (M == HeadMistake::last_row_missing ? 1 : 0);
    for (std::size_t r = 0; r < x.rows; ++r) {
      const float* row = logits.data() + r * w.rows();
      std::size_t best = 0;
      for (std::size_t v = 1; v < n; ++v) {
        if (row[v] > row[best] || (M == HeadMistake::last_of_equals && row[v] == row[best])) best = v;
      }
      double total = 0;
      for (std::size_t v = 0; v < n; ++v) total += std::exp(static_cast<double>(row[v]) - row[best]);
      if (M == HeadMistake::block_maximum_forgotten &&
          n > 4096) {  // the second block's sum, as if its maximum were ours
        const float other = *std::max_element(row + 4096, row + n);
        for (std::size_t v = 4096; v < n; ++v) {
          total += std::exp(static_cast<double>(row[v]) - other) -
                   std::exp(static_cast<double>(row[v]) - row[best]);
        }
      }
      scores[r] = {static_cast<float>(row[targets[r]] - row[best] - std::log(total)),
                   static_cast<float>(-std::log(total)), static_cast<Token>(best)};
    }
  }
};

struct ShortCopy final : Double {
  using Double::Double;
  void copy_state(StateView state, std::size_t floats, std::size_t from, std::size_t to) override {
    Double::copy_state(state, floats - 1, from, to);
  }
};
struct LongCopy final : Double {
  using Double::Double;
  void copy_state(StateView state, std::size_t floats, std::size_t from, std::size_t to) override {
    inner_.write_state(state, to, Values(floats + 1));
    Double::copy_state(state, floats, from, to);
  }
};
// Cuts bf16 off instead of rounding it.
struct TruncatingWrite final : Double {
  using Double::Double;
  void write(const Tensor& tensor, std::size_t row, std::size_t count, const float* values) override {
    Values cut(values, values + count * tensor.columns);
    if (tensor.type == Tensor::Type::bf16) {
      for (float& value : cut) {
        const float nearest = op_case::round_to(WeightFormat::bf16, value);
        value = std::abs(nearest) > std::abs(value)
                    ? nearest - std::copysign(std::ldexp(1.0f, std::ilogb(value) - 7), value)
                    : nearest;
      }
    }
    Double::write(tensor, row, count, cut.data());
  }
};

struct Sabotage {
  const char* what;
  const char* caught_by;  // the name of a case
  std::function<std::unique_ptr<Ops>(Ops&, Backend&)> make;
};
template <typename T>
std::unique_ptr<Ops> plain(Ops& inner, Backend&) {
  return std::make_unique<T>(inner);
}
template <typename T>
std::unique_ptr<Ops> with_backend(Ops& inner, Backend& backend) {
  return std::make_unique<T>(inner, backend);
}

const Sabotage kSabotages[] = {
    {"token shift across pieces", "norm_mix 7x1x16 f32/f32 mixed", plain<ShiftAcrossPieces>},
    {"token shift keeps the old state", "norm_mix 1x1x16 f32/f32", plain<StaleShift>},
    {"states by piece, not by slot", "norm_mix 7x6x48 f32/f32 mixed", plain<WrongSlot>},
    {"group norm's eps in a layer norm", "norm_mix 130x6x1040 bf16/bf16", plain<OtherEps>},
    {"attention: a window too narrow", "attention 130x64/16 kv2 rope16 window17 after1 f32/f32 head-norm",
     plain<NarrowWindow>},
    {"attention: pairs of the other kind",
     "attention 130x128/32 kv2 rope32 window0 after63 f32/f32 interleaved", plain<OtherPairs>},
    {"attention: fewer channels turned", "attention 130x192/64 kv3 rope16 window0 after0 f32/f32",
     plain<FewerTurned>},
    {"attention: no slopes", "attention 130x256/64 kv4 rope0 window0 after130 f32/f32 alibi",
     plain<NoSlopes>},
    {"attention: keys not normed", "attention 130x64/16 kv2 rope16 window17 after1 f32/f32 head-norm",
     plain<NoHeadNorm>},
    {"attention: a scale off by 1e-4", "attention 130x384/64 kv1 rope64 window70 after200 f32/f32",
     plain<UnevenScale>},
    {"norm_rows: eps 2e-5", "norm_rows 13x1025 f32/f32", plain<OtherEps>},
    {"embed: eps 2e-5", "embed 13x257x768 f32/f32 normed", plain<OtherEps>},
    {"wkv5: eps 1e-5 for 64e-5", "wkv5 130x128/64 f32/f32", plain<OtherEps>},
    {"wkv7: eps 1e-5 for 64e-5", "wkv7 130x128/64 f32/f32 mixed", plain<OtherEps>},
    {"norm_rows: the row before", "norm_rows 1x64 bf16/bf16", plain<RowTooLow>},
    {"embed: the id before", "embed 1x257x1 f32/f32", plain<TokenTooLow>},
    {"product without its last input", "linear 130x257x3000 f32/f32 none store", plain<DroppedInput>},
    {"bf16 product without the odd input", "linear 1x1x1025 bf16/bf16 none store", plain<DroppedInput>},
    {"head without its last input", "score_head 13x50277x32 f16/f32", plain<DroppedInput>},
    {"product without its last output", "linear 13x65x64 bf16/f32 none store", plain<DroppedOutput>},
    {"bias forgotten", "linear 7x67x48 f32/f32 exp_neg_exp store bias", plain<OtherEpilogue<NoBias>>},
    {"add overwrites", "linear 7x67x48 f32/f32 none add", plain<OtherEpilogue<Overwrites>>},
    {"lerp backwards", "linear 7x67x48 bf16/bf16 sigmoid lerp bias narrow",
     plain<OtherEpilogue<LerpBackwards>>},
    {"silu without p", "linear 7x67x1025 f16/f32 silu gate_add", plain<OtherEpilogue<SiluWithoutP>>},
    {"inputs rounded unasked", "linear 6x17x31 bf16/f32 none store", plain<NarrowInputs>},
    {"one i8 scale for all rows", "linear 7x65x1025 i8/i8 none store", plain<SharedScale>},
    {"wkv4 without the running exponent", "wkv4 130x64 f32/f32 large", plain<Unstabilised>},
    {"wkv4 without u", "wkv4 6x16 bf16/bf16", with_backend<NoFirstBonus>},
    {"wkv5 without u", "wkv5 7x128/16 bf16/bf16 gate", with_backend<NoFirstBonus>},
    {"wkv5 with the decay before", "wkv5 7x128/64 f32/f32 token-decay", plain<LateDecay>},
    {"wkv7 with the decay before", "wkv7 7x128/64 f32/f32", plain<LateDecay>},
    {"wkv7's state transposed", "wkv7 7x128/32 f32/f32 mixed", plain<TransposedState>},
    {"wkv7: kk from the scaled key", "wkv7 7x128/128 f32/f32", with_backend<KkFromScaledKey>},
    {"head: the last of equal logits", "score_head 13x257x64 f32/f32 ties",
     plain<OtherHead<HeadMistake::last_of_equals>>},
    {"head: the last row missing", "score_head 13x4097x64 f32/f32",
     plain<OtherHead<HeadMistake::last_row_missing>>},
    {"head: a block's maximum forgotten", "score_head 13x8200x48 bf16/f32",
     plain<OtherHead<HeadMistake::block_maximum_forgotten>>},
    {"copy_state one float short", "transfer 1x2x31 f32/f32", plain<ShortCopy>},
    {"copy_state one float long", "transfer 1x2x31 f32/f32", plain<LongCopy>},
    {"write cuts off", "transfer 13x5x257 bf16/bf16", plain<TruncatingWrite>},
};

const OpCase& find_case(const std::string& wanted) {
  for (const OpCase& c : op_cases()) {
    if (name(c) == wanted) return c;
  }
  throw std::logic_error("no case is called '" + wanted + "'");
}

OpVerdict verdict_of(const OpCase& c, const std::function<std::unique_ptr<Ops>(Ops&, Backend&)>& make) {
  const auto backend = cpu_backend();
  const auto ops = backend->open(1);
  const auto doubled = make(*ops, *backend);
  const auto problem = make_problem(c);
  const auto run = problem->bind(*backend, *doubled);
  run->run();
  return judge(problem->expected(), run->outputs());
}

TEST(OpCaseSabotage, EveryMistakeIsCaught) {
  for (const Sabotage& s : kSabotages) {
    const OpVerdict verdict = verdict_of(find_case(s.caught_by), s.make);
    EXPECT_NE(verdict.complaint, "") << s.what << " passes '" << s.caught_by << "'";
    EXPECT_GT(verdict.worst, 3) << s.what << " is caught by a hair";
    std::cout << s.what << ": " << verdict.worst << " times the tolerance\n";
  }
}

// The doubles themselves change nothing but their mistake: forwarding alone passes, and so does a right head
// by hand.
TEST(OpCaseSabotage, DoublesWithoutAMistakePass) {
  for (const Sabotage& s : kSabotages) {
    EXPECT_EQ(verdict_of(find_case(s.caught_by), plain<ForwardingOps>).complaint, "") << s.caught_by;
  }
  EXPECT_EQ(verdict_of(find_case("score_head 13x8200x48 bf16/f32 ties"), plain<OtherHead<HeadMistake::none>>)
                .complaint,
            "");
}

}  // namespace
}  // namespace deciban
