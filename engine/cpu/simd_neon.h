// Vector operations of 64-bit ARM (Advanced SIMD, "NEON") under the names of simd.h.  Included by simd.h
// alone.
//
// Where x86 and ARM define an operation differently for NaN or beyond i32, nothing here depends on it: such
// values are looked for before (pack, quantise) or make the row's score NaN either way.
#pragma once

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace deciban::simd {

using V = float32x4_t;
using I = int32x4_t;  // kWidth lanes of i32, or of four bytes
using M = uint32x4_t;
inline constexpr int kWidth = 4;
inline V load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, V a) { vst1q_f32(p, a); }
inline V set(float a) { return vdupq_n_f32(a); }
inline V zero() { return vdupq_n_f32(0.0f); }
inline V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }   // a * b + c
inline V fnma(V a, V b, V c) { return vfmsq_f32(c, a, b); }  // c - a * b
inline V add(V a, V b) { return vaddq_f32(a, b); }
inline V sub(V a, V b) { return vsubq_f32(a, b); }
inline V mul(V a, V b) { return vmulq_f32(a, b); }
inline V div(V a, V b) { return vdivq_f32(a, b); }
inline V max(V a, V b) { return vmaxq_f32(a, b); }
inline V min(V a, V b) { return vminq_f32(a, b); }
inline M greater(V a, V b) { return vcgtq_f32(a, b); }
inline bool any(M m) { return vmaxvq_u32(m) != 0; }
inline V select(M m, V yes, V no) { return vbslq_f32(m, yes, no); }
inline V round(V a) { return vrndnq_f32(a); }
// a * 2^n for whole n in [-126, 127].
inline V scale2(V a, V n) {
  const I exponent = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
  return vmulq_f32(a, vreinterpretq_f32_s32(exponent));
}
inline V abs(V a) { return vabsq_f32(a); }
inline V copysign(V magnitude, V sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }
// kWidth pairs of bf16 (32 bits a lane) to the f32 of each pair's first and second.
inline V first_of_pairs(I pairs) { return vreinterpretq_f32_s32(vshlq_n_s32(pairs, 16)); }
inline V second_of_pairs(I pairs) {
  return vreinterpretq_f32_s32(vandq_s32(pairs, vdupq_n_s32(static_cast<int>(0xffff0000u))));
}
inline I load_int(const void* p) {
  return vreinterpretq_s32_u8(vld1q_u8(static_cast<const std::uint8_t*>(p)));
}
inline void store_int(void* p, I a) { vst1q_u8(static_cast<std::uint8_t*>(p), vreinterpretq_u8_s32(a)); }
inline V first_of_pairs(const void* p) { return first_of_pairs(load_int(p)); }
inline V second_of_pairs(const void* p) { return second_of_pairs(load_int(p)); }
inline V load_f16(const std::uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
// kWidth bf16 in a row to f32.
inline V load_bf16(const std::uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
inline I set_int(std::int32_t a) { return vdupq_n_s32(a); }
inline I sub_int(I a, I b) { return vsubq_s32(a, b); }
inline V to_float(I a) { return vcvtq_f32_s32(a); }
inline I to_int(V a) { return vcvtnq_s32_f32(a); }  // to nearest
// The low bytes of kWidth lanes, which hold 0 … 255.
inline void store_bytes(std::uint8_t* p, I a) {
  const uint16x4_t words = vmovn_u32(vreinterpretq_u32_s32(a));
  const std::uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);
  std::memcpy(p, &bytes, sizeof bytes);
}
inline I add_int(I a, I b) { return vaddq_s32(a, b); }
inline I and_int(I a, I b) { return vandq_s32(a, b); }
inline I or_int(I a, I b) { return vorrq_s32(a, b); }
inline I and_or_int(I a, I b, I c) { return or_int(and_int(a, b), c); }  // a & b | c
template <int Bits>
inline I left(I a) {
  return vshlq_n_s32(a, Bits);
}
template <int Bits>
inline I right(I a) {  // zeros come in
  return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), Bits));
}
inline I bits(V a) { return vreinterpretq_s32_f32(a); }
inline V as_float(I a) { return vreinterpretq_f32_s32(a); }
// Rows to columns of a square.
inline void transpose(V (&r)[kWidth]) {
  const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r[0], r[1])),
                    b = vreinterpretq_f64_f32(vtrn2q_f32(r[0], r[1])),
                    c = vreinterpretq_f64_f32(vtrn1q_f32(r[2], r[3])),
                    d = vreinterpretq_f64_f32(vtrn2q_f32(r[2], r[3]));
  r[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
  r[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
  r[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
  r[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}
// Rounds to bf16, to nearest even; no NaN expected.
inline void store_bf16(std::uint16_t* p, V a) {
  const uint32x4_t u = vreinterpretq_u32_f32(a);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
  vst1_u16(p, vshrn_n_u32(vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16));
}

// The sum of a vector's lanes: halves are added until one is left.
inline float sum(V a) {
  const float32x2_t two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
// The largest of a vector's lanes; of a NaN nothing is said.
inline float largest(V a) { return vmaxvq_f32(a); }

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
// A dot product of pairs of bf16: acc + (a's first * b's first + a's second * b's second), lane by lane; sums
// round to odd (BFDOT of the Arm ARM), and what is below 2^-126 becomes 0.
#define DECIBAN_DOT_PAIRS
using Pairs = bfloat16x8_t;
inline Pairs load_pairs(const void* p) { return vreinterpretq_bf16_s32(load_int(p)); }
inline Pairs set_pairs(std::int32_t pair) { return vreinterpretq_bf16_s32(vdupq_n_s32(pair)); }
inline V dot_pairs(V acc, Pairs a, Pairs b) { return vbfdotq_f32(acc, a, b); }
#endif

}  // namespace deciban::simd

#endif
