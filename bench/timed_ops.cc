#include "bench/timed_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/forwarding_ops.h"

namespace deciban {
namespace {

const char* name(Epilogue::Act act) {
  switch (act) {
    case Epilogue::Act::none:
      return "";
    case Epilogue::Act::relu2:
      return " relu2";
    case Epilogue::Act::sigmoid:
      return " sigmoid";
    case Epilogue::Act::tanh:
      return " tanh";
    case Epilogue::Act::silu:
      return " silu";
    case Epilogue::Act::exp_neg_exp:
      return " exp(-exp)";
    case Epilogue::Act::decay7:
      return " decay7";
    case Epilogue::Act::relu:
      return " relu";
    case Epilogue::Act::gelu:
      return " gelu";
    case Epilogue::Act::gelu_tanh:
      return " gelu_tanh";
  }
  return "";
}

double product(const Weight& w, std::size_t rows) {
  return 2.0 * static_cast<double>(w.rows()) * static_cast<double>(w.columns()) * static_cast<double>(rows);
}

// An operation's time as long as it lives.
class Note {
 public:
  Note(TimeSheet& sheet, std::string what, double flops = 0)
      : sheet_(sheet), what_(std::move(what)), flops_(flops), start_(Clock::now()) {}
  ~Note() { sheet_.add(what_, std::chrono::duration<double>(Clock::now() - start_).count(), flops_); }
  Note(const Note&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  TimeSheet& sheet_;
  std::string what_;
  double flops_;
  Clock::time_point start_;
};

class TimedOps final : public ForwardingOps {
 public:
  TimedOps(std::unique_ptr<Ops> inner, TimeSheet& sheet)
      : ForwardingOps(*inner), owned_(std::move(inner)), sheet_(sheet) {}

  void read(const Tensor& tensor, std::size_t row, std::size_t count, float* out) override {
    const Note note(sheet_, "read");
    inner_.read(tensor, row, count, out);
  }
  void embed(const Table& table, std::span<const Token> tokens, const Norm* norm, Tensor x) override {
    const Note note(sheet_, "embed");
    inner_.embed(table, tokens, norm, x);
  }
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    const Note note(sheet_, fmt::format("norm_mix, {} outputs", mixes.size()));
    inner_.norm_mix(x, norm, layout, shift, mixes, outs, h, h_prev);
  }
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    const Note note(sheet_, fmt::format("linear {} -> {}{}", w.columns(), w.rows(), name(epilogue.act)),
                    product(w, x.rows));
    inner_.linear(w, x, y, epilogue);
    count(y, epilogue);
  }
  void products(std::span<const Product> calls) override {
    double flops = 0;
    std::string what = fmt::format("{} products {} ->", calls.size(), calls[0].w->columns());
    for (const Product& call : calls) {
      flops += product(*call.w, call.x.rows);
      what += fmt::format(" {}", call.w->rows());
    }
    const Note note(sheet_, what, flops);
    inner_.products(calls);
    for (const Product& call : calls) count(call.y, call.epilogue);
  }
  void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
            Layout layout, StateView state, Tensor out) override {
    const Note note(sheet_, "wkv4", 14.0 * static_cast<double>(r.rows * r.columns));
    inner_.wkv4(r, k, v, w, u, layout, state, out);
  }
  void wkv5(const Wkv5Params& p, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, Tensor out) override {
    const Note note(sheet_, "wkv5", 7.0 * static_cast<double>(r.rows * r.columns * p.head_size));
    inner_.wkv5(p, r, k, v, w, g, layout, state, out);
  }
  void wkv7(const Wkv7Params& p, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    const Note note(sheet_, "wkv7", 9.0 * static_cast<double>(r.rows * r.columns * p.head_size));
    inner_.wkv7(p, r, w, k, v, a, g, layout, state, out);
  }
  void norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm, Tensor out) override {
    const Note note(sheet_, "norm_rows");
    inner_.norm_rows(x, rows, norm, out);
  }
  void score_head(const Weight& w, const Tensor& x, std::span<const Token> targets,
                  std::span<TokenScore> scores) override {
    const Note note(sheet_, fmt::format("score_head {} -> {}", w.columns(), w.rows()), product(w, x.rows));
    inner_.score_head(w, x, targets, scores);
  }

 private:
  void count(const Tensor& y, const Epilogue& epilogue) {
    if (!sheet_.counting() || epilogue.act != Epilogue::Act::relu2) return;
    std::vector<float> values(y.rows * y.columns);
    inner_.read(y, 0, y.rows, values.data());
    sheet_.add_zeros(static_cast<double>(std::count(values.begin(), values.end(), 0.0f)),
                     static_cast<double>(values.size()));
  }

  std::unique_ptr<Ops> owned_;
  TimeSheet& sheet_;
};

}  // namespace

void TimeSheet::add(const std::string& what, double seconds, double flops) {
  const std::lock_guard lock(mutex_);
  if (paused_) return;
  OpTime& entry = entries_[what];
  entry.what = what;
  ++entry.calls;
  entry.seconds += seconds;
  entry.flops += flops;
}

void TimeSheet::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

void TimeSheet::pause(bool paused) {
  const std::lock_guard lock(mutex_);
  paused_ = paused;
}

void TimeSheet::add_zeros(double zeros, double all) {
  const std::lock_guard lock(mutex_);
  zeros_.zeros += zeros;
  zeros_.all += all;
}

Zeros TimeSheet::zeros() const {
  const std::lock_guard lock(mutex_);
  return zeros_;
}

std::vector<OpTime> TimeSheet::by_seconds() const {
  const std::lock_guard lock(mutex_);
  std::vector<OpTime> all;
  for (const auto& [what, entry] : entries_) all.push_back(entry);
  std::sort(all.begin(), all.end(), [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return all;
}

TimedBackend::TimedBackend(std::unique_ptr<Backend> inner, TimeSheet& sheet)
    : inner_(std::move(inner)), sheet_(sheet) {}
std::string TimedBackend::device() const { return inner_->device(); }
std::string TimedBackend::kernels() const { return inner_->kernels(); }
std::unique_ptr<Weight> TimedBackend::matrix(const StoredTensor& tensor, NumericMode mode) {
  return inner_->matrix(tensor, mode);
}
std::unique_ptr<Vector> TimedBackend::vector(std::span<const float> values) { return inner_->vector(values); }
std::unique_ptr<Table> TimedBackend::table(const StoredTensor& tensor) { return inner_->table(tensor); }
std::unique_ptr<Ops> TimedBackend::open(int threads) {
  return std::make_unique<TimedOps>(inner_->open(threads), sheet_);
}
std::uint64_t TimedBackend::weight_bytes() const { return inner_->weight_bytes(); }
std::string TimedBackend::refusal(NumericMode mode) const { return inner_->refusal(mode); }
std::string TimedBackend::usual_mode(const std::string& stored) const { return inner_->usual_mode(stored); }

}  // namespace deciban
