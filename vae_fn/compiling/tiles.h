#pragma once

// c (m x n, dense) = a (m x k) b (k x n) + bias (n, or null), with strides between rows (down) and columns (right). One
// stride of each factor is 1; where `b_right` is not, `a_right` is. Numbers of 4 bytes are float32; of 2 bytes bfloat16,
// for which k is even and at most 2048. Factors that leave are given back to memory.
struct Product {
  const void *a, *b, *bias;
  void* c;
  long m, n, k, a_down, a_right, b_down, b_right, bytes, threads, a_leaves, b_leaves;
};

// Whether it was compiled for numbers of so many bytes.
bool multiplies(long bytes);

void multiply(const Product& product);
