// The host's side of step programs: operations to stages.
#include <algorithm>

#include "engine/cuda/step_program.h"
#include "engine/cuda/step_stages.h"

namespace deciban::cuda {

struct StepRecorder::State {
  int multiprocessors = 0;
  std::vector<StepStage> stages;
  bool pending = false;  // `mix` is recorded, and whether products begin with it is not known yet
  StepStage mix;
  std::vector<Tensor> mix_outs;
  bool again = false;            // products have begun with `mix`, a norm alone, and others may
  const void* joined = nullptr;  // the row that attention left in shares
  StepShares shares;
  // Rows that a mix did not write, because the products that follow make them for themselves.
  std::vector<const void*> unwritten;
  std::vector<DeviceBuffer> scratch;
  bool typed = false;
  Tensor::Type type = Tensor::Type::f32;
  const float* moved_from = nullptr;  // what the next stage has to move
  float* moved_to = nullptr;
  int moved = 0;

  StepStage& append(const StepStage& stage) {
    StepStage& s = stages.emplace_back(stage);
    s.moved_from = moved_from, s.moved_to = moved_to, s.moved = moved;
    moved_from = nullptr, moved_to = nullptr, moved = 0;
    return s;
  }
  void flush() {
    if (!pending) return;
    pending = false;
    for (const Tensor& out : mix_outs) writes(out);
    append(mix);
  }
  void reads(const void* data) const {
    if (data != nullptr && std::find(unwritten.begin(), unwritten.end(), data) != unwritten.end())
      throw NotRecorded{};
  }
  void reads(const Tensor& t) const { reads(t.data); }
  void writes(const Tensor& t) {
    std::erase(unwritten, t.data);
    again =
        again && t.data != mix.mix.x &&
        std::none_of(mix_outs.begin(), mix_outs.end(), [&](const Tensor& out) { return out.data == t.data; });
    if (t.data == joined) joined = nullptr;
  }
  bool beside_attention(const StepStage& s, const Product& p);
  // All that products read has one type in a program.
  void product_type(Tensor::Type t) {
    if (typed && t != type) throw NotRecorded{};
    typed = true;
    type = t;
  }
  // What lies between products and recurrences: CudaOps::inner_type().
  void inner_type(Tensor::Type t) const {
    if (!typed || t != (type == Tensor::Type::f32 ? Tensor::Type::f32 : Tensor::Type::f16))
      throw NotRecorded{};
  }
};

namespace {

void one_row(const Tensor& t) {
  if (t.rows != 1) throw NotRecorded{};
}
// A row that is normalised, four columns at a time.
void normed_row(const Tensor& t) {
  one_row(t);
  if (t.columns % 4 != 0 || t.columns > StepStage::kMostColumns) throw NotRecorded{};
}
const Piece& one_piece(Layout layout) {
  if (layout.size() != 1 || layout[0].count != 1 || layout[0].row != 0) throw NotRecorded{};
  return layout[0];
}
std::size_t element_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return 4;
    case WeightFormat::bf16:
    case WeightFormat::f16:
      return 2;
    case WeightFormat::i8:
      return 1;
    default:
      throw NotRecorded{};
  }
}

}  // namespace

StepRecorder::StepRecorder(int multiprocessors) : state_(std::make_unique<State>()) {
  state_->multiprocessors = multiprocessors;
}
StepRecorder::~StepRecorder() = default;

void StepRecorder::embed(const CudaTable& table, const Norm* norm, const Tensor& x) {
  normed_row(x);
  if (norm != nullptr && (norm->kind != Norm::Kind::layer || norm->bias == nullptr)) throw NotRecorded{};
  state_->flush();
  StepStage s;
  s.kind = StepStage::Kind::embed;
  s.table = table.data();
  s.table_type = table.type();
  s.mix.x = x.f32();
  s.mix.columns = static_cast<int>(x.columns);
  if (norm != nullptr) {
    s.mix.weight = norm->weight->data(), s.mix.bias = norm->bias->data(), s.mix.eps = norm->eps;
  }
  state_->writes(x);
  state_->append(s);
}

void StepRecorder::norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                            std::span<const Vector* const> mixes, std::span<const Tensor> outs,
                            const Tensor* h, const Tensor* h_prev) {
  normed_row(x);
  const Piece& piece = one_piece(layout);
  if (norm.kind != Norm::Kind::layer || norm.bias == nullptr || mixes.size() > StepStage::kMostMixes) {
    throw NotRecorded{};
  }
  state_->flush();
  state_->reads(x);
  StepStage s;
  s.kind = StepStage::Kind::mix;
  StepStage::Mix& m = s.mix;
  m.x = x.f32();
  m.columns = static_cast<int>(x.columns);
  m.weight = norm.weight->data(), m.bias = norm.bias->data(), m.eps = norm.eps;
  m.shift = shift.slot(piece.slot);
  m.count = static_cast<int>(mixes.size());
  for (std::size_t i = 0; i < mixes.size(); ++i) m.by[i] = mixes[i]->data(), m.out[i] = view(outs[i]);
  if (h != nullptr) m.normed = view(*h), state_->writes(*h);
  if (h_prev != nullptr) m.before = view(*h_prev), state_->writes(*h_prev);
  state_->mix = s;
  state_->again = false;
  state_->mix_outs.assign(outs.begin(), outs.end());
  state_->pending = true;
  if (h != nullptr || h_prev != nullptr) state_->flush();
}

void StepRecorder::norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm,
                             const Tensor& out) {
  normed_row(x);
  one_row(out);
  if (rows.size() != 1) throw NotRecorded{};
  StepStage s;
  s.kind = StepStage::Kind::mix;
  StepStage::Mix& m = s.mix;
  m.x = x.f32();
  m.columns = static_cast<int>(x.columns);
  m.weight = norm.weight->data(), m.bias = norm.bias == nullptr ? nullptr : norm.bias->data();
  m.eps = norm.eps;
  m.centred = norm.kind == Norm::Kind::layer;
  m.count = 1;
  m.out[0] = view(out);
  // Two norms of one row are one stage.
  StepStage::Mix& before = state_->mix.mix;
  if (state_->pending && before.count == 1 && before.by[0] == nullptr && before.shift == nullptr &&
      before.x == m.x && before.eps == m.eps && before.centred == m.centred &&
      state_->mix_outs[0].data != out.data) {
    before.second_weight = m.weight, before.second_bias = m.bias;
    before.out[1] = m.out[0];
    before.count = 2;
    state_->mix_outs.push_back(out);
    return;
  }
  state_->flush();
  state_->reads(x);
  state_->mix = s;
  state_->again = false;
  state_->mix_outs.assign(1, out);
  state_->pending = true;
}

void StepRecorder::products(std::span<const Product> group) {
  State& all = *state_;
  if (group.empty() || group.size() > StepStage::kMostProducts) throw NotRecorded{};
  StepStage s;
  s.kind = StepStage::Kind::products;
  bool begins_with_mix = all.pending || all.again;
  std::size_t least_inputs = group[0].x.columns;
  for (const Product& p : group) {
    one_row(p.x);
    all.product_type(p.x.type);
    least_inputs = std::min(least_inputs, p.x.columns);
    const auto made = std::find_if(all.mix_outs.begin(), all.mix_outs.end(),
                                   [&](const Tensor& out) { return out.data == p.x.data; });
    begins_with_mix = begins_with_mix && made != all.mix_outs.end() && made->type == p.x.type;
  }
  if (!begins_with_mix) all.flush();
  for (const Product& p : group) {
    const auto& w = static_cast<const CudaWeight&>(*p.w);
    element_bytes(w.format());
    int mixed = -1;
    if (begins_with_mix) {
      mixed = static_cast<int>(std::find_if(all.mix_outs.begin(), all.mix_outs.end(),
                                            [&](const Tensor& out) { return out.data == p.x.data; }) -
                               all.mix_outs.begin());
    } else {
      // Rows are multiplied up to a multiple of 16 inputs, and nobody writes what lies behind others.
      if (p.x.columns % 16 != 0) throw NotRecorded{};
      if (p.x.data == all.joined) {
        if (s.joined >= 0) throw NotRecorded{};
        s.joined = s.count;
        s.shares = all.shares;
      } else {
        all.reads(p.x);
      }
    }
    const Epilogue& e = p.epilogue;
    for (const Tensor& t : {e.gate, e.base, e.target}) all.reads(t);
    if (e.combine == Epilogue::Combine::add || e.combine == Epilogue::Combine::gate_add) all.reads(p.y);
    s.outputs += static_cast<int>(w.rows());
    s.mixed[s.count] = mixed;
    s.at[s.count++] = {w.data(),
                       w.stride(),
                       p.x.data,
                       p.x.stride,
                       static_cast<int>(w.columns()),
                       static_cast<int>(w.rows()),
                       s.outputs,
                       w.format(),
                       p.x.type,
                       cuda::finish(e, p.y, w.scales())};
  }
  if (begins_with_mix) {
    s.mix = all.mix.mix;
    all.pending = false;
    all.again = s.mix.shift == nullptr && s.mix.by[0] == nullptr;
    for (const Tensor& out : all.mix_outs) all.unwritten.push_back(out.data);
    if (s.mix.shift != nullptr)
      s.mix.h = all.scratch.emplace_back(s.mix.columns * sizeof(float), "a step").as<float>();
  }
  unsigned elements = 0;
  for (int i = 0; i < s.count; ++i) {
    if (begins_with_mix) {
      s.place[i] = s.mixed[i] * s.mix.columns;
    } else {
      s.place[i] = static_cast<int>(elements);
      elements += (s.at[i].inputs + 15) / 16 * 16;
    }
  }
  if (begins_with_mix) {
    if (s.mix.columns % 16 != 0) throw NotRecorded{};
    elements = s.mix.count * s.mix.columns;
  }
  s.parameters = elements * static_cast<unsigned>(Tensor::element_bytes(all.type));
  s.shared = s.parameters + (begins_with_mix ? (2 + s.mix.count) * s.mix.columns * 4u : 0u);
  if (s.shared > StepStage::kMostShared) throw NotRecorded{};
  // Blocks write results while others still read inputs.
  for (const Product& p : group) {
    const void* y = p.y.data;
    const bool read =
        std::any_of(group.begin(), group.end(), [y](const Product& q) { return q.x.data == y; });
    if (read || (begins_with_mix && y == s.mix.x)) throw NotRecorded{};
    all.writes(p.y);
  }
  // Few outputs: several warps share one, so that all memory channels have work.
  s.a_block = (s.outputs + all.multiprocessors - 1) / all.multiprocessors;
  while (s.split < 3 && s.a_block << (s.split + 1) <= StepStage::kWarps &&
         least_inputs >= std::size_t{512} << s.split) {
    ++s.split;
  }
  if (all.multiprocessors > StepStage::kMostBlocks) throw NotRecorded{};
  for (int block = 0; block < all.multiprocessors; ++block) {
    const int first = block * s.a_block, end = std::min(first + s.a_block, s.outputs);
    for (int i = s.count - 1; i >= 0; --i) {
      if (std::max(first, s.at[i].end - s.at[i].outputs) >= std::min(end, s.at[i].end)) continue;
      s.first_product[block] = static_cast<unsigned char>(i);
      if (begins_with_mix) s.needed[block] |= static_cast<unsigned char>(1u << s.mixed[i]);
    }
  }
  if (all.beside_attention(s, group[0])) return;
  all.append(s);
  if (s.mix.h != nullptr) {
    all.moved_from = s.mix.h, all.moved_to = s.mix.shift, all.moved = s.mix.columns;
  }
}

// Of x += A attention(...) and x += B inner, the second product does not wait for attention: it is computed
// in attention's stage, while the first one's stage is left with little to read.
bool StepRecorder::State::beside_attention(const StepStage& s, const Product& p) {
  if (stages.size() < 2 || moved != 0) return false;
  StepStage& attention = stages[stages.size() - 2];
  const StepStage& output = stages.back();
  if (attention.kind != StepStage::Kind::attention || attention.count != 0 ||
      output.kind != StepStage::Kind::products || output.count != 1 || output.joined != 0 || s.count != 1 ||
      s.mix.columns != 0 || s.joined >= 0 || p.epilogue.combine != Epilogue::Combine::add ||
      output.at[0].finish.combine != Epilogue::Combine::add || output.at[0].finish.y.data != p.y.data) {
    return false;
  }
  StepStage both = s;
  both.kind = StepStage::Kind::attention;
  both.attention = attention.attention;
  both.attention.memory = (s.shared + 15) / 16 * 16;
  both.shared = both.attention.memory + static_cast<unsigned>(sizeof(StepAttentionMemory));
  if (both.shared > StepStage::kMostShared) return false;
  both.moved_from = attention.moved_from, both.moved_to = attention.moved_to, both.moved = attention.moved;
  attention = both;
  return true;
}

void StepRecorder::attention(const Attention& params, const Tensor& q, const Tensor& k, const Tensor& v,
                             Layout layout, const KvView& kv, const Tensor& out) {
  constexpr std::size_t kMostSplits = 16;
  // Heads of a group read the same keys one after the other: long contexts are better off elsewhere.
  constexpr int kMostSharedPages = 64;
  State& all = *state_;
  one_row(q);
  one_piece(layout);
  all.flush();
  for (const Tensor& t : {q, k, v}) all.reads(t), all.inner_type(t.type);
  if (all.moved != 0) throw NotRecorded{};
  const bool grouped = params.heads != params.kv_heads;
  if (kv.type == Tensor::Type::f32 || !all.typed || kv.type != all.type || out.type != all.type ||
      kv.padded != kv.size || kv.size % 8 != 0 || kv.size > StepAttentionMemory::kMostSize ||
      params.q_norm.weight != nullptr || params.k_norm.weight != nullptr ||
      (grouped && kv.most_pages > kMostSharedPages)) {
    throw NotRecorded{};
  }
  StepStage s;
  s.kind = StepStage::Kind::attention;
  StepAttention& a = s.attention;
  a.kv = kv;
  a.q = q.data, a.k = k.data, a.v = v.data;
  a.heads = static_cast<int>(params.heads);
  a.group = static_cast<int>(params.heads / params.kv_heads);
  a.splits = static_cast<int>(
      std::clamp<std::size_t>(static_cast<std::size_t>(all.multiprocessors) / params.heads, 1, kMostSplits));
  while (a.lanes < kv.size / 8) a.lanes *= 2;
  a.window = static_cast<int>(params.window);
  a.rotary = static_cast<int>(params.rotary);
  a.interleaved = params.interleaved;
  a.frequencies = params.rotary == 0 ? nullptr : params.frequencies->data();
  a.slopes = params.slopes == nullptr ? nullptr : params.slopes->data();
  a.magnitude = params.magnitude, a.scale = params.scale;
  const auto places = static_cast<std::size_t>(a.heads * a.splits), size = static_cast<std::size_t>(kv.size);
  if (all.shares.size != kv.size ||
      all.shares.splits != a.splits) {  // layers take turns with the same memory
    all.shares = {all.scratch.emplace_back(places * size * sizeof(float), "a step").as<float>(),
                  all.scratch.emplace_back(places * sizeof(float2), "a step").as<float2>(), a.splits,
                  kv.size};
  }
  a.sums = const_cast<float*>(all.shares.sums), a.ends = const_cast<float2*>(all.shares.ends);
  s.shared = static_cast<unsigned>(sizeof(StepAttentionMemory));
  all.append(s);
  all.joined = out.data;
  all.unwritten.push_back(out.data);
}

void StepRecorder::wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
                        Layout layout, StateView state, const Tensor& out) {
  one_row(r);
  const Piece& piece = one_piece(layout);
  state_->flush();
  for (const Tensor& t : {r, k, v}) state_->reads(t), state_->inner_type(t.type);
  state_->product_type(out.type);
  StepStage s;
  s.kind = StepStage::Kind::wkv4;
  s.heads.r = r.data, s.heads.k = k.data, s.heads.v = v.data;
  s.heads.decay = w.data(), s.heads.bonus = u.data();
  s.heads.size = static_cast<int>(r.columns);
  s.heads.state = state.slot(piece.slot);
  s.heads.out = out.data;
  state_->writes(out);
  state_->append(s);
}

namespace {

// Sizes that the stage's threads are laid out for.
void head_size(std::size_t size) {
  if (size > 64 || size % 8 != 0) throw NotRecorded{};
}

StepStage heads_stage(int version, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                      const Tensor& g, const Norm& group, std::size_t heads, std::size_t size, float* state,
                      const Tensor& out) {
  head_size(size);
  StepStage s;
  s.kind = StepStage::Kind::heads;
  s.version = version;
  HeadsArgs& a = s.heads;
  a.r = r.data, a.k = k.data, a.v = v.data, a.g = g.data, a.w = w.f32();
  a.group_weight = group.weight->data(), a.group_bias = group.bias->data(), a.group_eps = group.eps;
  a.heads = static_cast<int>(heads), a.size = static_cast<int>(size);
  a.state = state;
  a.out = out.data;
  return s;
}

}  // namespace

void StepRecorder::wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v,
                        const Tensor& w, const Tensor& g, Layout layout, StateView state, const Tensor& out) {
  one_row(r);
  const Piece& piece = one_piece(layout);
  state_->flush();
  for (const Tensor& t : {r, k, v}) state_->reads(t), state_->inner_type(t.type);
  state_->reads(w), state_->reads(g);
  if (g.data != nullptr) state_->inner_type(g.type);
  state_->product_type(out.type);
  StepStage s = heads_stage(5, r, k, v, w, g, params.group, params.heads, params.head_size,
                            state.slot(piece.slot), out);
  s.heads.decay = params.decay == nullptr ? nullptr : params.decay->data();
  s.heads.bonus = params.bonus->data();
  state_->writes(out);
  state_->append(s);
}

void StepRecorder::wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k,
                        const Tensor& v, const Tensor& a, const Tensor& g, Layout layout, StateView state,
                        const Tensor& out) {
  one_row(r);
  const Piece& piece = one_piece(layout);
  state_->flush();
  for (const Tensor& t : {r, k, v, a, g}) state_->reads(t), state_->inner_type(t.type);
  state_->reads(w);
  state_->product_type(out.type);
  StepStage s = heads_stage(7, r, k, v, w, g, params.group, params.heads, params.head_size,
                            state.slot(piece.slot), out);
  s.heads.a = a.data;
  s.heads.k_k = params.k_k->data(), s.heads.k_a = params.k_a->data(), s.heads.r_k = params.r_k->data();
  state_->writes(out);
  state_->append(s);
}

std::unique_ptr<StepProgram> StepRecorder::finish() {
  state_->flush();
  if (state_->stages.empty() || !state_->typed || state_->moved != 0) throw NotRecorded{};
  return std::make_unique<StepProgram>(state_->stages, state_->type, std::move(state_->scratch),
                                       state_->multiprocessors);
}

}  // namespace deciban::cuda
