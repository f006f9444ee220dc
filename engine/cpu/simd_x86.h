// Vector operations of AVX-512, AVX2 and SSE2 under the names of simd.h.  Included by simd.h alone.
#pragma once

#if defined(__x86_64__)

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

#if defined(__AVX512BF16__)
// A dot product of pairs of bf16: acc + a's first * b's first + a's second * b's second, lane by lane.
#define DECIBAN_DOT_PAIRS
using Pairs = __m512bh;
inline Pairs load_pairs(const void* p) { return (__m512bh)_mm512_loadu_si512(p); }
inline Pairs set_pairs(std::int32_t pair) { return (__m512bh)_mm512_set1_epi32(pair); }
inline V dot_pairs(V acc, Pairs a, Pairs b) { return _mm512_dpbf16_ps(acc, a, b); }
#endif

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

inline I and_or_int(I a, I b, I c) {  // a & b | c
#if defined(__AVX512F__)
  return _mm512_ternarylogic_epi32(a, b, c, 0xea);
#else
  return or_int(and_int(a, b), c);
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

}  // namespace deciban::simd

#endif
