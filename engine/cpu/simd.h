// One name for the vector operations of each instruction set.  Included only by sources that are compiled
// once per ISA (kernels.cc); everything here is internal to such a source.
//
// Fused multiply-add is always asked for by name (fma()), never left to the compiler: kernels are compiled
// with -ffp-contract=off, so that one row's roundings do not depend on how a loop around it was unrolled.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace deciban::simd {

#if defined(__AVX512F__)
using V = __m512;
using I = __m512i;  // kWidth lanes of i32, or of four bytes
using M = __mmask16;
inline constexpr int kWidth = 16;
inline V load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, V a) { _mm512_storeu_ps(p, a); }
inline V set(float a) { return _mm512_set1_ps(a); }
inline V zero() { return _mm512_setzero_ps(); }
inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }    // a * b + c
inline V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b
inline V add(V a, V b) { return _mm512_add_ps(a, b); }
inline V sub(V a, V b) { return _mm512_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm512_mul_ps(a, b); }
inline V div(V a, V b) { return _mm512_div_ps(a, b); }
inline V max(V a, V b) { return _mm512_max_ps(a, b); }
inline V min(V a, V b) { return _mm512_min_ps(a, b); }
inline M greater(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
inline bool any(M m) { return m != 0; }
inline V select(M m, V yes, V no) { return _mm512_mask_blend_ps(m, no, yes); }
inline V round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// a * 2^n for whole n in [-126, 127].
inline V scale2(V a, V n) { return _mm512_scalef_ps(a, n); }
inline V abs(V a) {
  return _mm512_castsi512_ps(_mm512_and_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff)));
}
inline V copysign(V magnitude, V sign) {
  const __m512i s = _mm512_and_epi32(_mm512_castps_si512(sign), _mm512_set1_epi32(INT32_MIN));
  return _mm512_castsi512_ps(_mm512_or_epi32(_mm512_castps_si512(magnitude), s));
}
// kWidth pairs of bf16 (32 bits a lane) to the f32 of each pair's first and second.
inline V first_of_pairs(I pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
inline V second_of_pairs(I pairs) {
  return _mm512_castsi512_ps(_mm512_and_epi32(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
inline V first_of_pairs(const void* p) { return first_of_pairs(_mm512_loadu_si512(p)); }
inline V second_of_pairs(const void* p) { return second_of_pairs(_mm512_loadu_si512(p)); }
inline V load_f16(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline I load_int(const void* p) { return _mm512_loadu_si512(p); }
inline void store_int(void* p, I a) { _mm512_storeu_si512(p, a); }
inline I set_int(std::int32_t a) { return _mm512_set1_epi32(a); }
inline I sub_int(I a, I b) { return _mm512_sub_epi32(a, b); }
inline V to_float(I a) { return _mm512_cvtepi32_ps(a); }
inline I to_int(V a) { return _mm512_cvtps_epi32(a); }  // to nearest
// Lane by lane: acc + the four products of x's unsigned and w's signed bytes.
inline I dot4(I acc, I x, I w) {
#if defined(__AVX512VNNI__)
  // By hand: GCC 12 copies and stores the accumulator at every use of the intrinsic.
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
  return acc;
#else
  const I even = _mm512_madd_epi16(_mm512_and_si512(x, _mm512_set1_epi16(0xff)),
                                   _mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8));
  const I odd = _mm512_madd_epi16(_mm512_srli_epi16(x, 8), _mm512_srai_epi16(w, 8));
  return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
#endif
}
// The low bytes of kWidth lanes, which hold 0 … 255.
inline void store_bytes(std::uint8_t* p, I a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
}
inline I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
inline I and_int(I a, I b) { return _mm512_and_si512(a, b); }
inline I or_int(I a, I b) { return _mm512_or_si512(a, b); }
template <int Bits>
inline I left(I a) {
  return _mm512_slli_epi32(a, Bits);
}
template <int Bits>
inline I right(I a) {  // zeros come in
  return _mm512_srli_epi32(a, Bits);
}
inline I bits(V a) { return _mm512_castps_si512(a); }
inline V as_float(I a) { return _mm512_castsi512_ps(a); }
// Rows to columns of a square.
inline void transpose(V (&r)[kWidth]) {
  V t[kWidth];
  for (int i = 0; i < kWidth; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < kWidth; i += 4) {  // r[i + j]: columns 4 l + j of rows i … i + 3 in 128-bit lane l
    for (int j = 0; j < 2; ++j) {
      const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + 2 + j]);
      r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  for (int j = 0; j < 4; ++j) {
    const V a = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88),
            b = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88);
    const V c = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd),
            d = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);
    t[j] = _mm512_shuffle_f32x4(a, b, 0x88);
    t[4 + j] = _mm512_shuffle_f32x4(c, d, 0x88);
    t[8 + j] = _mm512_shuffle_f32x4(a, b, 0xdd);
    t[12 + j] = _mm512_shuffle_f32x4(c, d, 0xdd);
  }
  for (int i = 0; i < kWidth; ++i) r[i] = t[i];
}
// Rounds to bf16, to nearest even; no NaN expected.
inline void store_bf16(std::uint16_t* p, V a) {
  const __m512i u = _mm512_castps_si512(a);
  const __m512i odd = _mm512_and_epi32(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

#elif defined(__AVX2__)
using V = __m256;
using I = __m256i;
using M = __m256;
inline constexpr int kWidth = 8;
inline V load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, V a) { _mm256_storeu_ps(p, a); }
inline V set(float a) { return _mm256_set1_ps(a); }
inline V zero() { return _mm256_setzero_ps(); }
inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
inline V add(V a, V b) { return _mm256_add_ps(a, b); }
inline V sub(V a, V b) { return _mm256_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm256_mul_ps(a, b); }
inline V div(V a, V b) { return _mm256_div_ps(a, b); }
inline V max(V a, V b) { return _mm256_max_ps(a, b); }
inline V min(V a, V b) { return _mm256_min_ps(a, b); }
inline M greater(V a, V b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
inline bool any(M m) { return _mm256_movemask_ps(m) != 0; }
inline V select(M m, V yes, V no) { return _mm256_blendv_ps(no, yes, m); }
inline V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline V scale2(V a, V n) {
  const __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(a, _mm256_castsi256_ps(bits));
}
inline V abs(V a) { return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff))); }
inline V copysign(V magnitude, V sign) {
  return _mm256_or_ps(magnitude, _mm256_and_ps(sign, _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MIN))));
}
inline V first_of_pairs(I pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
inline V second_of_pairs(I pairs) {
  return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}
inline V first_of_pairs(const void* p) {
  return first_of_pairs(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
inline V second_of_pairs(const void* p) {
  return second_of_pairs(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
inline V load_f16(const std::uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline I load_int(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store_int(void* p, I a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }
inline I set_int(std::int32_t a) { return _mm256_set1_epi32(a); }
inline I sub_int(I a, I b) { return _mm256_sub_epi32(a, b); }
inline V to_float(I a) { return _mm256_cvtepi32_ps(a); }
inline I to_int(V a) { return _mm256_cvtps_epi32(a); }
inline I dot4(I acc, I x, I w) {
  const I even = _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(0xff)),
                                   _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
  const I odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(w, 8));
  return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
}
inline void store_bytes(std::uint8_t* p, I a) {
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
inline I add_int(I a, I b) { return _mm256_add_epi32(a, b); }
inline I and_int(I a, I b) { return _mm256_and_si256(a, b); }
inline I or_int(I a, I b) { return _mm256_or_si256(a, b); }
template <int Bits>
inline I left(I a) {
  return _mm256_slli_epi32(a, Bits);
}
template <int Bits>
inline I right(I a) {
  return _mm256_srli_epi32(a, Bits);
}
inline I bits(V a) { return _mm256_castps_si256(a); }
inline V as_float(I a) { return _mm256_castsi256_ps(a); }
inline void transpose(V (&r)[kWidth]) {
  V t[kWidth];
  for (int i = 0; i < kWidth; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < kWidth; i += 4) {
    for (int j = 0; j < 2; ++j) {
      r[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + 2 + j], 0x44);
      r[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + 2 + j], 0xee);
    }
  }
  for (int j = 0; j < 4; ++j) {
    t[j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x20);
    t[4 + j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x31);
  }
  for (int i = 0; i < kWidth; ++i) r[i] = t[i];
}
inline void store_bf16(std::uint16_t* p, V a) {
  const __m256i u = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}

#else  // baseline x86-64: SSE2, no fused multiply-add
using V = __m128;
using I = __m128i;
using M = __m128;
inline constexpr int kWidth = 4;
inline V load(const float* p) { return _mm_loadu_ps(p); }
inline void store(float* p, V a) { _mm_storeu_ps(p, a); }
inline V set(float a) { return _mm_set1_ps(a); }
inline V zero() { return _mm_setzero_ps(); }
inline V fma(V a, V b, V c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
inline V fnma(V a, V b, V c) { return _mm_sub_ps(c, _mm_mul_ps(a, b)); }
inline V add(V a, V b) { return _mm_add_ps(a, b); }
inline V sub(V a, V b) { return _mm_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm_mul_ps(a, b); }
inline V div(V a, V b) { return _mm_div_ps(a, b); }
inline V max(V a, V b) { return _mm_max_ps(a, b); }
inline V min(V a, V b) { return _mm_min_ps(a, b); }
inline M greater(V a, V b) { return _mm_cmpgt_ps(a, b); }
inline bool any(M m) { return _mm_movemask_ps(m) != 0; }
inline V select(M m, V yes, V no) { return _mm_or_ps(_mm_and_ps(m, yes), _mm_andnot_ps(m, no)); }
inline V round(V a) { return _mm_cvtepi32_ps(_mm_cvtps_epi32(a)); }  // |a| < 2^31 wherever it is used
inline V scale2(V a, V n) {
  const __m128i bits = _mm_slli_epi32(_mm_add_epi32(_mm_cvtps_epi32(n), _mm_set1_epi32(127)), 23);
  return _mm_mul_ps(a, _mm_castsi128_ps(bits));
}
inline V abs(V a) { return _mm_and_ps(a, _mm_castsi128_ps(_mm_set1_epi32(0x7fffffff))); }
inline V copysign(V magnitude, V sign) {
  return _mm_or_ps(magnitude, _mm_and_ps(sign, _mm_castsi128_ps(_mm_set1_epi32(INT32_MIN))));
}
inline V first_of_pairs(I pairs) { return _mm_castsi128_ps(_mm_slli_epi32(pairs, 16)); }
inline V second_of_pairs(I pairs) {
  return _mm_castsi128_ps(_mm_and_si128(pairs, _mm_set1_epi32(static_cast<int>(0xffff0000u))));
}
inline V first_of_pairs(const void* p) {
  return first_of_pairs(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
inline V second_of_pairs(const void* p) {
  return second_of_pairs(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
// Half to single without F16C: shift into place and multiply by 2^112, which also mends subnormals (no inf,
// no NaN).
inline V load_f16(const std::uint16_t* p) {
  const __m128i h =
      _mm_unpacklo_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)), _mm_setzero_si128());
  const __m128i magnitude = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x7fff)), 13);
  const __m128 value = _mm_mul_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(0x1p112f));
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x8000)), 16);
  return _mm_or_ps(value, _mm_castsi128_ps(sign));
}
inline I load_int(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline void store_int(void* p, I a) { _mm_storeu_si128(static_cast<__m128i*>(p), a); }
inline I set_int(std::int32_t a) { return _mm_set1_epi32(a); }
inline I sub_int(I a, I b) { return _mm_sub_epi32(a, b); }
inline V to_float(I a) { return _mm_cvtepi32_ps(a); }
inline I to_int(V a) { return _mm_cvtps_epi32(a); }
inline I dot4(I acc, I x, I w) {
  const I even =
      _mm_madd_epi16(_mm_and_si128(x, _mm_set1_epi16(0xff)), _mm_srai_epi16(_mm_slli_epi16(w, 8), 8));
  const I odd = _mm_madd_epi16(_mm_srli_epi16(x, 8), _mm_srai_epi16(w, 8));
  return _mm_add_epi32(acc, _mm_add_epi32(even, odd));
}
inline void store_bytes(std::uint8_t* p, I a) {
  const __m128i words = _mm_packs_epi32(a, a);
  const std::int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  std::memcpy(p, &bytes, sizeof bytes);
}
inline I add_int(I a, I b) { return _mm_add_epi32(a, b); }
inline I and_int(I a, I b) { return _mm_and_si128(a, b); }
inline I or_int(I a, I b) { return _mm_or_si128(a, b); }
template <int Bits>
inline I left(I a) {
  return _mm_slli_epi32(a, Bits);
}
template <int Bits>
inline I right(I a) {
  return _mm_srli_epi32(a, Bits);
}
inline I bits(V a) { return _mm_castps_si128(a); }
inline V as_float(I a) { return _mm_castsi128_ps(a); }
inline void transpose(V (&r)[kWidth]) { _MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]); }
inline void store_bf16(std::uint16_t* p, V a) {
  alignas(16) std::uint32_t u[4];
  _mm_store_si128(reinterpret_cast<__m128i*>(u), _mm_castps_si128(a));
  for (int i = 0; i < 4; ++i) p[i] = static_cast<std::uint16_t>((u[i] + 0x7fff + ((u[i] >> 16) & 1)) >> 16);
}
#endif

// 1 + q / 2^Bits, where q is the J-th `Bits` bits of each lane: set into the top of a float's fraction.
template <int Bits, int J>
inline V one_and_fraction(I words) {
  constexpr int kUp = 23 - Bits - Bits * J;
  I moved = words;
  if constexpr (kUp > 0) moved = left<kUp>(words);
  if constexpr (kUp < 0) moved = right<-kUp>(words);
  const I fraction = set_int(((1 << Bits) - 1) << (23 - Bits)), one = set_int(0x3f800000);
#if defined(__AVX512F__)
  return as_float(_mm512_ternarylogic_epi32(moved, fraction, one, 0xea));  // moved & fraction | one
#else
  return as_float(or_int(and_int(moved, fraction), one));
#endif
}

// The sum of a vector's lanes: halves are added until one is left.
inline float sum(V a) {
#if defined(__AVX512F__)
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
#elif defined(__AVX2__)
  const __m256 eight = a;
#endif
#if defined(__AVX2__)
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#else
  const __m128 four = a;
#endif
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// The largest of a vector's lanes; of a NaN nothing is said.
inline float largest(V a) {
#if defined(__AVX512F__)
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
#elif defined(__AVX2__)
  const __m256 eight = a;
#endif
#if defined(__AVX2__)
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#else
  const __m128 four = a;
#endif
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// How far from exact these functions are was measured over all exponents against float64 on every instruction
// set (kernel_functions_test.cc holds the limits).  NaN comes out as NaN: min and max give their second
// operand for one.

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
