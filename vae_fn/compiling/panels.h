// Panels of a factor: its columns next to each other, 32 wide, as tiles of sums read them.

#pragma once

#include <immintrin.h>

#include <algorithm>

#include "lanes.h"
#include "numbers.h"

constexpr long HALF = 16, WIDTH = 2 * HALF;  // columns of a panel
constexpr long AHEAD = 16;                   // rows that are asked for before they are read, as they lie far apart

template <class T>
struct Matrix {
  const typename T::Number* data;
  long down, right;  // strides
  const typename T::Number* at(long row, long column) const { return data + row * down + column * right; }
  long bytes(long rows, long columns) const { return (at(rows - 1, columns - 1) + 1 - data) * sizeof *data; }
};

// 16 columns of b, side by side: depth x 16 of a panel's depth x 32. What lies outside is zero.
template <class T>
void pack(const Matrix<T>& b, long depth, long columns, float* panel) {
  if (b.right == 1) {
    const __mmask16 mask = first(columns);
    for (long k = 0; k < depth; ++k) _mm512_store_ps(panel + k * WIDTH, T::words(b.at(k * T::TERMS, 0), b.down, mask));
    return;
  }
  for (long k = 0; k < depth; k += 16) {
    __m512 rows[16];
    const __mmask16 mask = first(depth - k);
    for (long j = 0; j < 16; ++j)
      rows[j] = j < columns ? _mm512_maskz_loadu_ps(mask, b.at(k * T::TERMS, j)) : _mm512_setzero_ps();
    transpose(rows);
    for (long i = 0; i < std::min(16l, depth - k); ++i) _mm512_store_ps(panel + (k + i) * WIDTH, rows[i]);
  }
}

// The words of 32 columns of b, row by row, out of a panel.
struct Packed {
  const float* panel;
  void next(__m512& left, __m512& right) {
    left = _mm512_load_ps(panel), right = _mm512_load_ps(panel + HALF);
    panel += WIDTH;
  }
};

// The same from where they lie side by side, and into the panel: memory is read while the first tile is multiplied.
template <class T>
struct Unpacked {
  const typename T::Number* row;
  long down;
  __mmask16 left_mask, right_mask;
  float* panel;

  Unpacked(const Matrix<T>& b, long columns, float* panel)
      : row(b.data), down(b.down), left_mask(first(columns)), right_mask(first(columns - HALF)), panel(panel) {}

  void next(__m512& left, __m512& right) {
    _mm_prefetch((const char*)(row + AHEAD * T::TERMS * down), _MM_HINT_T0);
    left = T::words(row, down, left_mask), right = T::words(row + HALF, down, right_mask);
    _mm512_store_ps(panel, left), _mm512_store_ps(panel + HALF, right);
    panel += WIDTH, row += T::TERMS * down;
  }
};
