// Tiles of sums, and where they go.

#pragma once

#include <immintrin.h>

#include <algorithm>
#include <utility>

#include "lanes.h"
#include "numbers.h"
#include "panels.h"

constexpr long ROWS = 8;  // of a tile, which is as wide as a panel

using Sums = __m512[ROWS][2];

// Where a tile's sums go: c[row, column] = sums + (what is there, or the bias).
template <class T>
struct Result {
  typename T::Number* data;
  long stride;                     // between the rows of c
  const typename T::Number* bias;  // by columns of c, or null
  bool turned;                     // the tile's rows are columns of c

  Result from(long row, long column) const {
    const auto [down, right] = turned ? std::pair(1l, stride) : std::pair(stride, 1l);
    return {data + row * down + column * right, stride, bias ? bias + (turned ? row : column) : bias, turned};
  }

  void store(long row, long column, long rows, long columns, bool more, Sums& sums) const {
    for (long h = 0; h < 2; ++h) {
      const long wide = std::min(HALF, columns - h * HALF);
      if (wide <= 0) return;
      if (turned)
        down(column + h * HALF, row, wide, rows, more, h, sums);
      else
        across(row, column + h * HALF, rows, wide, more, h, sums);
    }
  }

 private:
  void across(long row, long column, long rows, long wide, bool more, long h, Sums& sums) const {
    const __mmask16 mask = first(wide);
    const __m512 added = bias ? T::load(bias + column, mask) : _mm512_setzero_ps();
    for (long r = 0; r < rows; ++r) {
      auto* place = data + (row + r) * stride + column;
      const __m512 before = more ? T::load(place, mask) : added;
      T::store(place, mask, _mm512_add_ps(sums[r][h], before));
    }
  }

  void down(long row, long column, long rows, long wide, bool more, long h, Sums& sums) const {
    const __mmask8 mask = first(wide);
    const __m256 added = bias ? T::load(bias + column, mask) : _mm256_setzero_ps();
    __m512 turn[16];
    for (long r = 0; r < 16; ++r) turn[r] = r < wide ? sums[r][h] : _mm512_setzero_ps();
    transpose(turn);
    for (long r = 0; r < rows; ++r) {
      auto* place = data + (row + r) * stride + column;
      const __m256 before = more ? T::load(place, mask) : added;
      T::store(place, mask, _mm256_add_ps(_mm512_castps512_ps256(turn[r]), before));
    }
  }
};
