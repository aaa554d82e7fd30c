// The function of `tiles.cpp` as a module of Python, whose calls cost about as much as those of torch.
//
// Where a tensor's numbers lie is asked of a function of torch, whose address is told once: no header of torch is needed,
// and what its compiled kernels ask is asked here.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern "C" void vae_fn_product(long m, long n, long k, const float* a, long a_down, long a_right, const float* b,
                               long b_down, long b_right, const float* bias, float* c, int threads);

namespace {

float* (*numbers)(PyObject* tensor);

PyObject* ask(PyObject*, PyObject* address) {
  numbers = reinterpret_cast<decltype(numbers)>(PyLong_AsVoidPtr(address));
  if (PyErr_Occurred()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* product(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 12 || !numbers) {
    PyErr_SetString(PyExc_TypeError, "product(a, b, bias, out, m, n, k, a_down, a_right, b_down, b_right, threads)");
    return nullptr;
  }
  const float *a = numbers(args[0]), *b = numbers(args[1]), *bias = Py_IsNone(args[2]) ? nullptr : numbers(args[2]);
  float* out = numbers(args[3]);
  long sizes[8];
  for (int i = 0; i < 8; ++i) sizes[i] = PyLong_AsLong(args[4 + i]);
  if (PyErr_Occurred()) return nullptr;
  const auto [m, n, k, a_down, a_right, b_down, b_right, threads] = sizes;
  Py_BEGIN_ALLOW_THREADS;
  vae_fn_product(m, n, k, a, a_down, a_right, b, b_down, b_right, bias, out, static_cast<int>(threads));
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"ask", ask, METH_O, "Where to ask for a tensor's numbers: the address of a function."},
    {"product", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(product)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module{PyModuleDef_HEAD_INIT, "tiles", nullptr, -1, methods};

}  // namespace

PyMODINIT_FUNC PyInit_tiles() { return PyModule_Create(&module); }
