// Products of matrices that fit into the caches, c = a b + bias, on processors with AVX-512.
//
// Panels of one factor are copied next to each other, 32 columns wide and up to DEPTH deep; the other factor's elements
// are read where they lie and multiplied into tiles of 8 x 32 sums, which stay in registers. Threads split a weight's
// gradient, and mostly the weight, by rows, as the update of the parameters does: what a core wrote it reads again. None
// reads what another has copied. Every sum runs through its terms in one order, so that the bits depend neither on
// threads nor on other sizes.

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <memory>
#include <new>

#include "lines.h"
#include "panels.h"
#include "result.h"
#include "tiles.h"

namespace {

constexpr long DEPTH = 1024;        // of a panel, in words
constexpr long BLOCK = 256;         // words whose terms are summed up in registers
constexpr long NARROW = 2 * WIDTH;  // columns of the panels of a large factor, which few rows use
constexpr long OWN = 1 << 20;       // bytes of a core's own cache on Zen 4
constexpr long ROOM = OWN / 4;      // words in the panels of one pass
constexpr long ALONE = 100'000;     // multiplications below which one thread is done before two met

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

// c = a b by one thread, which copies some panels and computes their tiles, and then the next. Where the columns of b lie
// side by side they are copied in passing, while the first tile is multiplied.
template <class T>
void multiply(long rows, long columns, long depth, const Matrix<T>& a, const Matrix<T>& b, const Result<T>& c, long most) {
  if (rows <= 0 || columns <= 0) return;
  float* panels = room();
  alignas(64) float copied[DEPTH * ROWS];
  const bool in_passing = b.right == 1 && rows >= ROWS;
  for (long k = 0; k < depth; k += DEPTH) {
    const long deep = std::min(DEPTH, depth - k);
    for (long j = 0; j < columns; j += most) {
      const long wide = std::min(most, columns - j), halves = (wide + WIDTH - 1) / WIDTH * 2;
      for (long h = in_passing ? halves : 0; h < halves; ++h) {
        float* half = panels + h / 2 * deep * WIDTH + h % 2 * HALF;
        pack<T>({b.at(k * T::TERMS, j + h * HALF), b.down, b.right}, deep, wide - h * HALF, half);
      }
      for (long i = 0; i < rows; i += ROWS) {
        const long tall = std::min(ROWS, rows - i);
        const auto* from = a.at(i, k * T::TERMS);
        if (a.down == 1)  // a tile's rows lie side by side: neighbours in k would fall into few sets of the cache
          for (long q = 0; q < deep; ++q)
            _mm256_store_ps(copied + q * ROWS, T::words(from + q * T::TERMS * a.right, a.right, first_of_8(tall)));
        for (long p = 0; p < wide; p += WIDTH) {
          Sums sums;
          float* panel = panels + p * deep;
          const auto lying = [&] { return Unpacked<T>({b.at(k * T::TERMS, j + p), b.down, 1}, wide - p, panel); };
          const auto* words = (const Word*)from;
          const bool first_tile = in_passing && i == 0;
          if (a.down == 1 && first_tile)
            multiply<T, ROWS, ROWS>(copied, sizeof *copied, deep, lying(), sums);
          else if (a.down == 1)
            multiply<T, ROWS>(tall, copied, sizeof *copied, deep, panel, sums);
          else if (first_tile)
            multiply<T, ROWS, 1>(words, a.down * sizeof *from, deep, lying(), sums);
          else
            multiply<T, 1>(tall, words, a.down * sizeof *from, deep, panel, sums);
          c.store(i, j + p, tall, wide - p, k > 0, sums);
        }
      }
    }
  }
}

// A matrix whose lines may be given back to memory after the product.
template <class T>
struct Factor : Matrix<T> {
  bool leaves;
  Factor turned() const { return {{this->data, this->right, this->down}, leaves}; }
};

// One of the threads that are at a product.
struct Thread {
  long me, team;
};

// A thread's part of a range, in whole pieces.
struct Part {
  long from, to;
  Part(long size, long piece, Thread thread) {
    const long pieces = (size + piece - 1) / piece;
    from = pieces * thread.me / thread.team * piece, to = std::min(size, pieces * (thread.me + 1) / thread.team * piece);
  }
  long size() const { return to - from; }
};

// c = a b. A factor that is much the larger one, as a layer's weight beside its batch, is shared out among the threads; so
// are a weight's gradient and a product of few columns, by rows.
template <class T>
void product(long rows, long columns, long depth, const Factor<T>& a, const Factor<T>& b, const Result<T>& c, int threads) {
  const bool gradient = a.down == 1;
#pragma omp parallel num_threads(threads)
  {
    const Thread thread{omp_get_thread_num(), omp_get_num_threads()};
    if (gradient ? rows < ROWS * thread.team : columns >= 2 * rows) {
      const Part part(columns, WIDTH, thread);
      multiply<T>(rows, part.size(), depth, a, {b.at(0, part.from), b.down, b.right}, c.from(0, part.from), NARROW);
    } else {
      const Part part(rows, ROWS, thread);
      multiply<T>(part.size(), columns, depth, {a.at(part.from, 0), a.down, a.right}, b, c.from(part.from, 0),
                  ROOM / std::min(DEPTH, depth) / WIDTH * WIDTH);
    }
    const long left = a.leaves ? a.bytes(rows, depth * T::TERMS) : 0, right = b.leaves ? b.bytes(depth * T::TERMS, columns) : 0;
    if (thread.team > 1 && left + right > 0 && left + right <= thread.team * OWN) {
#pragma omp barrier
      forget(a.data, left, thread.me, thread.team);
      forget(b.data, right, thread.me, thread.team);
    }
  }
}

template <class T>
void product(const Product& p) {
  using Number = typename T::Number;
  const Factor<T> a{{(const Number*)p.a, p.a_down, p.a_right}, p.a_leaves != 0};
  const Factor<T> b{{(const Number*)p.b, p.b_down, p.b_right}, p.b_leaves != 0};
  const Result<T> c{(Number*)p.c, p.n, (const Number*)p.bias, p.b_right != 1};
  const int threads = p.m * p.n * p.k < ALONE ? 1 : p.threads;
  if (c.turned)
    product<T>(p.n, p.m, p.k / T::TERMS, b.turned(), a.turned(), c, threads);
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
