#include "engine/op_case_data.h"

#include <algorithm>
#include <numbers>

namespace deciban::op_case {

Random::Random(std::string_view name) : state_(0xcbf29ce484222325u) {
  for (const char c : name) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;  // FNV-1a
}

double Random::uniform() {
  state_ += 0x9e3779b97f4a7c15u;  // splitmix64
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return (static_cast<double>(z >> 12) + 0.5) * 0x1p-52;
}

Values Random::normals(std::size_t count, double deviation, double mean) {
  Values values(count);
  for (std::size_t i = 0; i < count; i += 2) {  // Box and Muller
    const double radius = deviation * std::sqrt(-2 * std::log(uniform())),
                 angle = 2 * std::numbers::pi * uniform();
    values[i] = static_cast<float>(mean + radius * std::cos(angle));
    if (i + 1 < count) values[i + 1] = static_cast<float>(mean + radius * std::sin(angle));
  }
  return values;
}

Values Random::uniforms(std::size_t count, double low, double high) {
  Values values(count);
  for (float& value : values) value = static_cast<float>(low + (high - low) * uniform());
  return values;
}

namespace {

// To `bits` significant bits, fewer below 2^least.
float round_bits(float value, int bits, int least) {
  if (value == 0) return value;
  const int exponent = std::max(std::ilogb(value), least);
  return static_cast<float>(std::ldexp(
      std::nearbyint(std::ldexp(static_cast<double>(value), bits - 1 - exponent)), exponent - bits + 1));
}

}  // namespace

float round_to(WeightFormat format, float value) {
  if (format == WeightFormat::bf16) return round_bits(value, 8, -126);
  if (format == WeightFormat::f16) return round_bits(value, 11, -14);
  return value;
}

Values on_grid(NumericMode mode, Values w, std::size_t outputs, std::size_t inputs, bool transposed) {
  const bool bytes = mode.weights == WeightFormat::i8g32 ||
                     (mode.weights == WeightFormat::i8 && mode.activations == ActivationFormat::f32);
  const std::size_t group = bytes ? 32 : group_of(mode.weights);
  if (group == 0) return w;
  const auto bf16 = [](float value) { return round_to(WeightFormat::bf16, value); };
  for (std::size_t n = 0; n < outputs; ++n) {
    const auto at = [&](std::size_t k) -> float& { return w[transposed ? k * outputs + n : n * inputs + k]; };
    float row_most = 0;
    for (std::size_t k = 0; k < inputs; ++k) row_most = std::max(row_most, std::abs(at(k)));
    const float row_step = bf16(row_most / 127);
    for (std::size_t first = 0; first < inputs; first += group) {
      const std::size_t end = std::min(inputs, first + group);
      std::size_t low = first, high = first, most = first;
      for (std::size_t k = first; k < end; ++k) {
        if (at(k) < at(low)) low = k;
        if (at(k) > at(high)) high = k;
        if (std::abs(at(k)) > std::abs(at(most))) most = k;
      }
      if (bytes) {  // one step for the row: that is a right choice whether rows or groups have scales
        for (std::size_t k = first; k < end; ++k) {
          const float steps = k == most ? std::copysign(127.0f, at(k)) : std::nearbyint(at(k) / row_step);
          at(k) = row_most == 0 ? 0 : std::clamp(steps, -127.0f, 127.0f) * row_step;
        }
        continue;
      }
      const float least = bf16(at(low)), step = bf16((at(high) - at(low)) / 15);
      for (std::size_t k = first; k < end; ++k) {
        const float steps = k == low    ? 0
                            : k == high ? 15
                            : step == 0 ? 0
                                        : std::clamp(std::nearbyint((at(k) - least) / step), 0.0f, 15.0f);
        at(k) = steps * step + least;
      }
    }
  }
  return w;
}

Values rounded(ActivationFormat format, Values values) {
  const Tensor::Type type = Ops::product_type(format);
  if (type == Tensor::Type::f32) return values;
  const WeightFormat to = type == Tensor::Type::f16 ? WeightFormat::f16 : WeightFormat::bf16;
  for (float& value : values) value = round_to(to, value);
  return values;
}

ActivationFormat inner_format(const OpCase& c) {
  return c.has(kInner) ? c.mode.activations : ActivationFormat::f32;
}

ActivationFormat narrow_format(const OpCase& c) {
  return c.mode.activations == ActivationFormat::f16 ? ActivationFormat::f16 : ActivationFormat::bf16;
}

StoredTensor stored_matrix(const Values& values, std::size_t rows, std::size_t columns, bool transposed) {
  StoredTensor tensor;
  tensor.name = "op case";
  tensor.shape = {rows, columns};
  if (transposed) {
    tensor.strides = {1, static_cast<std::ptrdiff_t>(rows)};
  } else {
    tensor.strides = {static_cast<std::ptrdiff_t>(columns), 1};
  }
  tensor.encoding = Encoding::f32;
  tensor.data = reinterpret_cast<const std::byte*>(values.data());
  return tensor;
}

Tensor upload(Ops& ops, const Values& values, std::size_t rows, std::size_t columns,
              ActivationFormat format) {
  const Tensor tensor = ops.allocate(rows, columns, Ops::product_type(format));
  ops.write(tensor, 0, rows, values.data());
  return tensor;
}

Values download(Ops& ops, const Tensor& tensor) {
  Values values(tensor.rows * tensor.columns);
  ops.read(tensor, 0, tensor.rows, values.data());
  return values;
}

Sequences sequences(Pieces pieces, std::size_t rows) {
  constexpr std::size_t kLengths[] = {1, 5, 1, 2, 17, 3, 33, 1, 16};
  Sequences result;
  for (std::size_t row = 0, i = 0; row < rows; ++i) {
    std::size_t count = pieces == Pieces::one       ? rows
                        : pieces == Pieces::singles ? 1
                                                    : kLengths[i % std::size(kLengths)];
    count = std::min(count, rows - row);
    result.pieces.push_back({row, count, 0});
    row += count;
  }
  const std::size_t n = result.pieces.size();
  for (std::size_t i = 0; i < n; ++i) result.pieces[i].slot = n - i;  // slot 0 stays unused
  result.slots = n + 1;
  return result;
}

GuardedState::GuardedState(Ops& ops, std::size_t slots, std::size_t floats)
    : ops_(ops), slots_(slots), floats_(floats), all_(ops.allocate_state(slots, floats + 2 * kGuard)) {}

void GuardedState::write(const Values& states) {
  for (std::size_t slot = 0; slot < slots_; ++slot) {
    Values block(floats_ + 2 * kGuard, kGuardValue);
    std::copy_n(states.begin() + slot * floats_, floats_, block.begin() + kGuard);
    ops_.write_state(all_, slot, block);
  }
}

Values GuardedState::read() {
  Values states(slots_ * floats_);
  for (std::size_t slot = 0; slot < slots_; ++slot) {
    ops_.read_state(view(), slot, std::span(states).subspan(slot * floats_, floats_));
  }
  return states;
}

Values GuardedState::guards() {
  Values result, block(floats_ + 2 * kGuard);
  for (std::size_t slot = 0; slot < slots_; ++slot) {
    ops_.read_state(all_, slot, block);
    result.insert(result.end(), block.begin(), block.begin() + kGuard);
    result.insert(result.end(), block.end() - kGuard, block.end());
  }
  return result;
}

Expected guards_intact(std::size_t slots) {
  const std::size_t count = slots * 2 * GuardedState::kGuard;
  return {"floats beside the state", std::vector<double>(count, GuardedState::kGuardValue),
          std::vector<double>(count, 0.0)};
}

HostNorm random_norm(Random& random, std::size_t size, float eps) {
  return {random.normals(size, 0.3, 1.0), random.normals(size, 0.2), eps};
}

void normalise(const double* x, const double* x_error, std::size_t n, const HostNorm& norm, std::size_t first,
               double* value, double* error) {
  double mean = 0, mean_size = 0, mean_error = 0, variance = 0, square_error = 0;
  for (std::size_t i = 0; i < n; ++i) {
    mean += x[i];
    mean_size += std::abs(x[i]);
    mean_error += x_error[i];
    square_error += x_error[i] * x_error[i];
  }
  mean /= n;
  mean_size /= n;
  mean_error /= n;
  for (std::size_t i = 0; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean);
  const double inverse = 1 / std::sqrt(variance / n + norm.eps), rms_error = std::sqrt(square_error / n);
  const double rounding = kEps * (8 + std::sqrt(static_cast<double>(n)));
  for (std::size_t i = 0; i < n; ++i) {
    const double z = (x[i] - mean) * inverse, weight = norm.weight[first + i], bias = norm.bias[first + i];
    const double z_error = inverse * (x_error[i] + mean_error + std::abs(z) * rms_error) +
                           rounding * ((std::abs(x[i]) + mean_size) * inverse + std::abs(z));
    value[i] = z * weight + bias;
    error[i] = z_error * std::abs(weight) + 2 * kEps * (std::abs(z * weight) + std::abs(bias));
  }
}

Expected stored(std::string what, Bounded result, ActivationFormat format) {
  const Tensor::Type type = Ops::product_type(format);
  if (type != Tensor::Type::f32) {
    const double eps = type == Tensor::Type::f16 ? kHalfEps : kNarrowEps;
    const double tiny = type == Tensor::Type::f16 ? kHalfTiny : 0;
    for (std::size_t i = 0; i < result.value.size(); ++i) {
      result.error[i] += eps * (std::abs(result.value[i]) + result.error[i]) + tiny;
    }
  }
  return {std::move(what), std::move(result.value), std::move(result.error)};
}

}  // namespace deciban::op_case
