// Lines of the caches that more than one core has read.

#pragma once

#include <immintrin.h>

// Give one part of some lines back to memory, of as many parts as there are threads.
//
// A core that writes to a line which another core has read has to ask that one first, line after line, and to ask ahead
// does not help. Where the two share no third-level cache that takes five times as long as to write the line back and to
// fetch it again (benchmarks/NOTES.md).
inline void forget(const void* place, long bytes, long me, long team) {
  const long lines = bytes / 64;
  for (long i = lines * me / team; i < lines * (me + 1) / team; ++i) _mm_clflushopt((char*)place + i * 64);
}
