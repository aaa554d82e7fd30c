// Products of matrices that fit into the caches, c = a b + bias, on processors with AVX-512.
//
// Panels of one factor are copied next to each other, 32 columns wide and up to DEPTH deep; the other factor's elements
// are read where they lie and multiplied into tiles of 8 x 32 sums, which stay in registers. Threads share the panels
// and split the rows, in the order in which the update of the parameters splits them: what a core wrote it reads again.
// Every sum runs through its terms in one order, so that the bits depend neither on threads nor on other sizes.

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <memory>
#include <new>

#include "lanes.h"
#include "numbers.h"
#include "panels.h"
#include "tiles.h"

namespace {

constexpr long ROWS = 8;            // of a tile, which is as wide as a panel
constexpr long DEPTH = 1024;        // of a panel, in words
constexpr long BLOCK = 256;         // words whose terms are summed up in registers
constexpr long NARROW = 2 * WIDTH;  // columns of the panels that a thread has for itself
constexpr long ROOM = 1 << 18;      // words in the panels of one pass: 1 MB, as a core's L2
constexpr long ALONE = 100'000;     // multiplications below which one thread is done before two met

using Sums = __m512[ROWS][2];

constexpr std::align_val_t PAGE{4096};

struct Free {
  void operator()(float* floats) const { operator delete[](floats, PAGE); }
};

float* room() {
  thread_local std::unique_ptr<float, Free> floats(new (PAGE) float[ROOM]);
  return floats.get();
}

// The sums of a tile of R rows: word (r, k) of the other factor lies `r * down_bytes` bytes and `k * RIGHT` words from a. They
// are formed block by block, as a long sum in one register rounds more.
template <class T, int R, long RIGHT, class Columns>
void multiply(const Word* a, long down_bytes, long depth, Columns columns, Sums& sums) {
  for (long done = 0; done < depth; done += BLOCK) {
    __m512 held[R][2];
    for (int r = 0; r < R; ++r) held[r][0] = held[r][1] = _mm512_setzero_ps();
    const long end = std::min(depth, done + BLOCK);
    for (long k = done; k < end; ++k, a += RIGHT) {
      __m512 left, right;
      columns.next(left, right);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const __m512 factor = _mm512_set1_ps(*(const Word*)((const char*)a + r * down_bytes));
        held[r][0] = T::add(held[r][0], factor, left);
        held[r][1] = T::add(held[r][1], factor, right);
      }
    }
    for (int r = 0; r < R; ++r)
      for (int h = 0; h < 2; ++h) sums[r][h] = done ? _mm512_add_ps(sums[r][h], held[r][h]) : held[r][h];
  }
}

template <class T, long RIGHT, int R = ROWS>
void multiply(long rows, const Word* a, long down_bytes, long depth, const float* panel, Sums& sums) {
  if (rows == R) return multiply<T, R, RIGHT>(a, down_bytes, depth, Packed{panel}, sums);
  if constexpr (R > 1) multiply<T, RIGHT, R - 1>(rows, a, down_bytes, depth, panel, sums);
}

// Where a tile's sums go: c[row, column] = sums + (what is there, or the bias).
template <class T>
struct Result {
  typename T::Number* data;
  long stride;                     // between the rows of c
  const typename T::Number* bias;  // by columns of c, or null
  bool turned;                     // the tile's rows are columns of c

  Result from(long column) const {
    return {data + column * (turned ? stride : 1), stride, bias && !turned ? bias + column : bias, turned};
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

void meet(long team) {
  if (team > 1) {
#pragma omp barrier
  }
}

// What one of a team does of c = a b, with `rows` rows and `columns` columns: copy some panels and compute some rows. Who
// is alone with a weight whose columns lie side by side copies it in passing, while the first tile is multiplied.
template <class T>
void share(long rows, long columns, long depth, const Matrix<T>& a, const Matrix<T>& b, const Result<T>& c, float* panels,
           long most, long team, long me) {
  alignas(64) float copied[DEPTH * ROWS];
  const bool in_passing = team == 1 && a.right == 1 && a.down != 1 && b.right == 1 && rows >= ROWS;
  for (long k = 0; k < depth; k += DEPTH) {
    const long deep = std::min(DEPTH, depth - k);
    for (long j = 0; j < columns; j += most) {
      const long wide = std::min(most, columns - j), halves = (wide + WIDTH - 1) / WIDTH * 2;
      for (long h = in_passing ? halves : halves * me / team; h < halves * (me + 1) / team; ++h) {
        float* half = panels + h / 2 * deep * WIDTH + h % 2 * HALF;
        pack<T>({b.at(k * T::TERMS, j + h * HALF), b.down, b.right}, deep, wide - h * HALF, half);
      }
      meet(team);
      const long tiles = (rows + ROWS - 1) / ROWS;
      for (long i = tiles * me / team * ROWS; i < std::min(rows, tiles * (me + 1) / team * ROWS); i += ROWS) {
        const long tall = std::min(ROWS, rows - i);
        const auto* from = a.at(i, k * T::TERMS);
        if (a.down == 1)  // a tile's rows lie side by side: neighbours in k would fall into few sets of the cache
          for (long q = 0; q < deep; ++q)
            _mm256_store_ps(copied + q * ROWS, T::words(from + q * T::TERMS * a.right, a.right, first_of_8(tall)));
        for (long p = 0; p < wide; p += WIDTH) {
          Sums sums;
          if (a.down == 1)
            multiply<T, ROWS>(tall, copied, sizeof *copied, deep, panels + p * deep, sums);
          else if (in_passing && i == 0)
            multiply<T, ROWS, 1>((const Word*)from, a.down * sizeof *from, deep,
                                 Unpacked<T>({b.at(k * T::TERMS, j + p), b.down, 1}, wide - p, panels + p * deep), sums);
          else
            multiply<T, 1>(tall, (const Word*)from, a.down * sizeof *from, deep, panels + p * deep, sums);
          c.store(i, j + p, tall, wide - p, k > 0, sums);
        }
      }
      if (j + most < columns || k + DEPTH < depth) meet(team);  // before the panels are written anew
    }
  }
}

// c = a b. Where b is much the larger factor, as a layer's weight is beside its batch, the threads share it out instead of
// its panels: none reads what another has copied.
template <class T>
void product(long rows, long columns, long depth, const Matrix<T>& a, const Matrix<T>& b, const Result<T>& c, int threads) {
  const long deep = std::min(DEPTH, depth), most = ROOM / deep / WIDTH * WIDTH;
  float* shared = room();
#pragma omp parallel num_threads(threads)
  {
    const long team = omp_get_num_threads(), me = omp_get_thread_num();
    if (columns < 2 * rows) {
      share(rows, columns, depth, a, b, c, shared, most, team, me);
    } else {
      const long panels = (columns + WIDTH - 1) / WIDTH, from = panels * me / team * WIDTH,
                 to = std::min(columns, panels * (me + 1) / team * WIDTH);
      share(rows, to - from, depth, a, {b.at(0, from), b.down, b.right}, c.from(from), room(), NARROW, 1, 0);
    }
  }
}

template <class T>
void product(const Product& p) {
  using Number = typename T::Number;
  const Matrix<T> a{(const Number*)p.a, p.a_down, p.a_right}, b{(const Number*)p.b, p.b_down, p.b_right};
  const Result<T> c{(Number*)p.c, p.n, (const Number*)p.bias, p.b_right != 1};
  const int threads = p.m * p.n * p.k < ALONE ? 1 : p.threads;
  if (c.turned)
    product<T>(p.n, p.m, p.k / T::TERMS, {b.data, b.right, b.down}, {a.data, a.right, a.down}, c, threads);
  else
    product<T>(p.m, p.n, p.k / T::TERMS, a, b, c, threads);
}

}  // namespace

bool multiplies(long bytes) {
#ifdef __AVX512BF16__
  if (bytes == 2) return true;
#endif
  return bytes == 4;
}

void multiply(const Product& p) {
#ifdef __AVX512BF16__
  if (p.bytes == 2) return product<BFloat16>(p);
#endif
  product<Float32>(p);
}
