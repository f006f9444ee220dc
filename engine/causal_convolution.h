// Causal convolutions of many channels by Eigen's FFT, several channels a transform.  For sources that are
// compiled once for each instruction set (cmake/IsaVariant.cmake), since everything here is inlined.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <complex>
#include <cstddef>
#include <unsupported/Eigen/FFT>
#include <vector>

namespace deciban {

// The same real number of kWidth channels: what takes the place of float in Eigen's FFT, so that one
// transform in vector registers does the work of kWidth scalar ones.
struct Lanes {
  static constexpr std::size_t kWidth = 8;
  typedef float Values __attribute__((vector_size(kWidth * sizeof(float))));
  Values v{};

  Lanes() = default;
  Lanes(double value) : v(Values{} + static_cast<float>(value)) {}  // implicit: Eigen's FFT mixes both
  explicit Lanes(Values values) : v(values) {}
  Lanes& operator+=(const Lanes& o) { return v += o.v, *this; }
  Lanes& operator-=(const Lanes& o) { return v -= o.v, *this; }
  Lanes& operator*=(const Lanes& o) { return v *= o.v, *this; }
  friend Lanes operator+(const Lanes& a, const Lanes& b) { return Lanes(a.v + b.v); }
  friend Lanes operator-(const Lanes& a, const Lanes& b) { return Lanes(a.v - b.v); }
  friend Lanes operator*(const Lanes& a, const Lanes& b) { return Lanes(a.v * b.v); }
  friend Lanes operator-(const Lanes& a) { return Lanes(-a.v); }
};

// out[t] = sum over j <= t of kernel[t - j] * in[j], each channel with a kernel of its own; rows are times.
// Two channels share a complex transform, the one as its real, the other as its imaginary part.
class CausalConvolution {
 public:
  static constexpr std::size_t kChannels = 2 * Lanes::kWidth;  // convolved at once

  // For `total` inputs of which the outputs from `from` on are wanted.
  CausalConvolution(std::size_t total, std::size_t from)
      : total_(total), from_(from), size_(transform_size(2 * total - 1 - from)) {
    forward_.make_twiddles(static_cast<int>(size_), false);
    forward_.factorize(static_cast<int>(size_));
    backward_.make_twiddles(static_cast<int>(size_), true);
    backward_.factorize(static_cast<int>(size_));
    time_.resize(size_);
    kernel_.resize(size_);
    signal_.resize(size_);
  }

  std::size_t bytes() const { return 5 * size_ * sizeof(Complex); }

  // At most kChannels channels, neighbours in a row; strides in floats; `out` begins at time `from`.
  void run(const float* in, std::size_t in_stride, const float* kernel, std::size_t kernel_stride,
           std::size_t channels, float* out, std::size_t out_stride) {
    transform(kernel, kernel_stride, channels, kernel_);
    transform(in, in_stride, channels, signal_);
    multiply();
    backward_.work(0, time_.data(), signal_.data(), 1, 1);
    const float scale = 1.0f / static_cast<float>(size_);
    for (std::size_t t = from_; t < total_; ++t) {
      const float* pair =
          reinterpret_cast<const float*>(&time_[t]);  // all real parts, then all imaginary ones
      float* row = out + (t - from_) * out_stride;
      for (std::size_t c = 0; c < channels; ++c) row[c] = pair[c] * scale;
    }
  }

 private:
  using Complex = std::complex<Lanes>;
  using Fft = Eigen::internal::kiss_cpx_fft<Lanes>;

  // The least 2^a, 3 * 2^a or 5 * 2^a that is long enough: outputs that are wanted must not be met by those
  // that wrap around.
  static std::size_t transform_size(std::size_t least) {
    std::size_t best = 0;
    for (const std::size_t odd : {1, 3, 5}) {
      std::size_t size = 4 * odd;
      while (size < least) size *= 2;
      if (best == 0 || size < best) best = size;
    }
    return best;
  }

  void transform(const float* rows, std::size_t stride, std::size_t channels, std::vector<Complex>& out) {
    for (std::size_t t = 0; t < total_; ++t) {
      float* pair = reinterpret_cast<float*>(&time_[t]);
      const float* row = rows + t * stride;
      for (std::size_t c = 0; c < channels; ++c) pair[c] = row[c];
      for (std::size_t c = channels; c < kChannels; ++c) pair[c] = 0;
    }
    std::fill(time_.begin() + static_cast<std::ptrdiff_t>(total_), time_.end(), Complex());
    forward_.work(0, out.data(), time_.data(), 1, 1);
  }

  // With a and b the spectra of the two real channels, Z = a + i b and conj Z(-f) = a - i b.
  void multiply() {
    const Lanes half(0.5);
    for (std::size_t f = 0; 2 * f <= size_; ++f) {
      const std::size_t g = f == 0 ? 0 : size_ - f;
      const auto split = [&](const std::vector<Complex>& z, Complex& a, Complex& b) {
        const Complex p = z[f], q = z[g];
        a = {(p.real() + q.real()) * half, (p.imag() - q.imag()) * half};
        b = {(p.imag() + q.imag()) * half, (q.real() - p.real()) * half};
      };
      Complex ua, ub, ka, kb;
      split(signal_, ua, ub);
      split(kernel_, ka, kb);
      const Lanes ar = ua.real() * ka.real() - ua.imag() * ka.imag(),
                  ai = ua.real() * ka.imag() + ua.imag() * ka.real(),
                  br = ub.real() * kb.real() - ub.imag() * kb.imag(),
                  bi = ub.real() * kb.imag() + ub.imag() * kb.real();
      signal_[f] = {ar - bi, ai + br};
      signal_[g] = {ar + bi, br - ai};
    }
  }

  std::size_t total_, from_, size_;
  Fft forward_, backward_;
  std::vector<Complex> time_, kernel_, signal_;
};

}  // namespace deciban
