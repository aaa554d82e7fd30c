// What the factors of a product are made of. Along the terms of its sums all is counted in words of 32 bits: a float, or
// two numbers of bfloat16, whose products one instruction adds to a float.

#pragma once

#include <immintrin.h>

using Word [[gnu::aligned(2), gnu::may_alias]] = float;

struct Float32 {
  using Number = float;
  static constexpr long TERMS = 1;  // in a word

  // Numbers as floats.
  static __m512 load(const Number* place, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, place); }
  static __m256 load(const Number* place, __mmask8 mask) { return _mm256_maskz_loadu_ps(mask, place); }

  // Words of neighbouring columns, from this row and, where a word has two terms, the next.
  static __m512 words(const Number* row, long, __mmask16 mask) { return load(row, mask); }
  static __m256 words(const Number* row, long, __mmask8 mask) { return load(row, mask); }

  static __m512 add(__m512 sum, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, sum); }

  // Stores with a mask are slow even where nothing is masked.
  static void store(Number* place, __mmask16 mask, __m512 values) {
    mask == 0xffff ? _mm512_storeu_ps(place, values) : _mm512_mask_storeu_ps(place, mask, values);
  }
  static void store(Number* place, __mmask8 mask, __m256 values) {
    mask == 0xff ? _mm256_storeu_ps(place, values) : _mm256_mask_storeu_ps(place, mask, values);
  }
};

#ifdef __AVX512BF16__
struct BFloat16 {
  using Number = unsigned short;
  static constexpr long TERMS = 2;

  static __m512 load(const Number* place, __mmask16 mask) { return _mm512_castsi512_ps(upper(place, mask)); }
  static __m256 load(const Number* place, __mmask8 mask) { return _mm256_castsi256_ps(upper(place, mask)); }

  static __m512 words(const Number* row, long down, __mmask16 mask) {
    return _mm512_castsi512_ps(_mm512_or_si512(lower(row, mask), upper(row + down, mask)));
  }
  static __m256 words(const Number* row, long down, __mmask8 mask) {
    return _mm256_castsi256_ps(_mm256_or_si256(lower(row, mask), upper(row + down, mask)));
  }

  static __m512 add(__m512 sum, __m512 a, __m512 b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

  static void store(Number* place, __mmask16 mask, __m512 values) {
    const auto rounded = (__m256i)_mm512_cvtneps_pbh(values);
    mask == 0xffff ? _mm256_storeu_si256((__m256i*)place, rounded) : _mm256_mask_storeu_epi16(place, mask, rounded);
  }
  static void store(Number* place, __mmask8 mask, __m256 values) {
    const auto rounded = (__m128i)_mm256_cvtneps_pbh(values);
    mask == 0xff ? _mm_storeu_si128((__m128i*)place, rounded) : _mm_mask_storeu_epi16(place, mask, rounded);
  }

 private:
  static __m512i lower(const Number* place, __mmask16 mask) {
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, place));
  }
  static __m256i lower(const Number* place, __mmask8 mask) {
    return _mm256_cvtepu16_epi32(_mm_maskz_loadu_epi16(mask, place));
  }
  static __m512i upper(const Number* place, __mmask16 mask) { return _mm512_slli_epi32(lower(place, mask), 16); }
  static __m256i upper(const Number* place, __mmask8 mask) { return _mm256_slli_epi32(lower(place, mask), 16); }
};
#endif
