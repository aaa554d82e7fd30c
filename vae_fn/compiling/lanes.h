// Lanes of a register: masks of the first ones, and 16 registers transposed.

#pragma once

#include <immintrin.h>

#include <algorithm>

inline __mmask16 first(long count) { return count >= 16 ? 0xffff : (1u << std::max(count, 0l)) - 1; }

inline __mmask8 first_of_8(long count) { return (1u << count) - 1; }

[[gnu::always_inline]] inline void transpose(__m512 (&rows)[16]) {
  __m512 other[16];
  for (int i = 0; i < 8; ++i) {
    other[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
    other[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 2; ++j) {
      const __m512d x = _mm512_castps_pd(other[4 * i + j]), y = _mm512_castps_pd(other[4 * i + 2 + j]);
      rows[4 * i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
      rows[4 * i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
    }
  for (int i = 0; i < 8; ++i) {
    const int from = i / 4 * 8 + i % 4;
    other[i / 4 * 8 + i % 4] = _mm512_shuffle_f32x4(rows[from], rows[from + 4], 0x88);
    other[i / 4 * 8 + i % 4 + 4] = _mm512_shuffle_f32x4(rows[from], rows[from + 4], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    rows[i] = _mm512_shuffle_f32x4(other[i], other[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_f32x4(other[i], other[i + 8], 0xdd);
  }
}
