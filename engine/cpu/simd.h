// One name for the vector operations of each instruction set.  Included only by sources that are compiled
// once per ISA (kernels.cc); everything here is internal to such a source.
//
// Fused multiply-add is always asked for by name (fma()), never left to the compiler: kernels are compiled
// with -ffp-contract=off, so that one row's roundings do not depend on how a loop around it was unrolled.
#pragma once

#if defined(__aarch64__)
#include "engine/cpu/simd_neon.h"
#else
#include "engine/cpu/simd_x86.h"
#endif

namespace deciban::simd {

// Brings a cache line closer: to where work goes on, or (far) only to the second level.
inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
inline void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }

// 1 + q / 2^Bits, where q is the J-th `Bits` bits of each lane: set into the top of a float's fraction.
template <int Bits, int J>
inline V one_and_fraction(I words) {
  constexpr int kUp = 23 - Bits - Bits * J;
  I moved = words;
  if constexpr (kUp > 0) moved = left<kUp>(words);
  if constexpr (kUp < 0) moved = right<-kUp>(words);
  const I fraction = set_int(((1 << Bits) - 1) << (23 - Bits)), one = set_int(0x3f800000);
  return as_float(and_or_int(moved, fraction, one));
}

// How far from exact these functions are was measured over all exponents against float64 on every instruction
// set (kernel_functions_test.cc holds the limits).  NaN comes out as NaN: of one, min and max give their
// second operand (x86) or NaN (ARM).

// e^x, at most 1.01 ulp: 0 for x < -87.33654 (results below 2^-126), saturated at e^88.37 = 2.4e38.  Range
// reduction by ln 2 in two parts, then a degree-7 polynomial (minimax on +-ln 2 / 2).
inline V exp(V x) {
  const M tiny = greater(set(-87.33654f), x);
  x = min(set(88.37f), max(set(-87.33654f), x));
  const V n = round(mul(x, set(1.44269504088896341f)));
  V r = fnma(n, set(0.693145751953125f), x);
  r = fnma(n, set(1.42860682030941723e-6f), r);
  V p = set(1.9875691500e-4f);
  p = fma(p, r, set(1.3981999507e-3f));
  p = fma(p, r, set(8.3334519073e-3f));
  p = fma(p, r, set(4.1665795894e-2f));
  p = fma(p, r, set(1.6666665459e-1f));
  p = fma(p, r, set(5.0000001201e-1f));
  const V more = fma(p, mul(r, r), r);  // e^r - 1
  return select(tiny, zero(), scale2(add(more, set(1.0f)), n));
}

// e^x in fewer steps, for sums of exponentials: at most 1.3 ulp for x from -86 to 88; below it stays e^-86,
// and NaN is NaN.  A polynomial of degree 6.
inline V exp_term(V x) {
  x = max(set(-86.0f), x);
  const V n = round(mul(x, set(1.44269504088896341f)));
  V r = fnma(n, set(0.693145751953125f), x);
  r = fnma(n, set(1.42860682030941723e-6f), r);
  V p = set(1.3836845755577087e-3f);
  p = fma(p, r, set(8.374815806746483e-3f));
  p = fma(p, r, set(4.166822507977486e-2f));
  p = fma(p, r, set(1.6666419804096222e-1f));
  p = fma(p, r, set(4.9999991059303284e-1f));
  p = fma(p, r, set(1.0f));
  p = fma(p, r, set(1.0f));
  return scale2(p, n);
}

// 1 / (1 + e^-x), at most 1.8 ulp; 0 for x < -87.33654.  From e^-|x| <= 1, whose error counts least; what the
// denominator lost to rounding is put back as if it were 1, which mends it where it counts.
inline V sigmoid(V x) {
  const V e = exp(sub(zero(), abs(x)));
  const V denominator = add(set(1.0f), e);
  const V lost = sub(e, sub(denominator, set(1.0f)));
  const V s = div(select(greater(x, zero()), set(1.0f), e), denominator);
  return fnma(s, lost, s);
}

// tanh x, at most 1.3 ulp: an odd polynomial for |x| < 0.625, 1 - 2 / (e^{2|x|} + 1) beyond.
inline V tanh(V x) {
  const V a = abs(x);
  const V z = mul(x, x);
  V p = set(-5.70498872745e-3f);
  p = fma(p, z, set(2.06390887954e-2f));
  p = fma(p, z, set(-5.37397155531e-2f));
  p = fma(p, z, set(1.33314422036e-1f));
  p = fma(p, z, set(-3.33332819422e-1f));
  const V small = fma(mul(p, z), x, x);
  const V e = exp(mul(min(set(20.0f), a), set(2.0f)));
  const V large = copysign(sub(set(1.0f), div(set(2.0f), add(e, set(1.0f)))), x);
  return select(greater(set(0.625f), a), small, large);
}

// x (1 + erf(x / sqrt 2)) / 2, to 1e-7 of |x|: erf as an odd polynomial for |x| < sqrt 2; beyond, erfc(z) =
// e^{-z^2} Q(1 / (1 + z / 2)), whose relative error is small, so that the tail for negative x keeps its
// digits.
inline V gelu(V x) {
  const V magnitude = abs(x);
  const V z = mul(magnitude, set(0.70710678118f));
  const V square = mul(z, z);
  V p = set(7.853831630200148e-05f);
  p = fma(p, square, set(-0.0008010184392333031f));
  p = fma(p, square, set(0.005188326817005873f));
  p = fma(p, square, set(-0.026853810995817184f));
  p = fma(p, square, set(0.1128358542919159f));
  p = fma(p, square, set(-0.3761262595653534f));
  p = fma(p, square, set(1.1283791065216064f));
  const V half = mul(set(0.5f), x);
  const V inner = fma(mul(half, copysign(z, x)), p, half);
  const V t = div(set(1.0f), fma(set(0.5f), min(set(4.2f), z), set(1.0f)));
  V q = set(-0.06381691247224808f);
  q = fma(q, t, set(-0.026518501341342926f));
  q = fma(q, t, set(0.3657393157482147f));
  q = fma(q, t, set(0.12610752880573273f));
  q = fma(q, t, set(0.32183489203453064f));
  q = fma(q, t, set(0.2753394842147827f));
  q = fma(q, t, set(0.00047091723536141217f));
  const V tail = mul(mul(mul(set(0.5f), magnitude), exp(sub(zero(), square))), q);
  const V outer = sub(max(zero(), x), tail);  // in this order a NaN stays one
  return select(greater(set(1.0f), z), inner, outer);
}

}  // namespace deciban::simd
