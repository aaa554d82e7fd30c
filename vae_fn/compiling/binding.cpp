// The function of `tiles.cpp` as a module of Python, whose calls cost about as much as those of torch.
//
// Where a tensor's numbers lie is asked of a function of torch, whose address is told once: no header of torch is needed,
// and what its compiled kernels ask is asked here.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>

#include "tiles.h"

namespace {

void* (*numbers)(PyObject* tensor);  // throws where there are none

PyObject* ask(PyObject*, PyObject* address) {
  numbers = reinterpret_cast<decltype(numbers)>(PyLong_AsVoidPtr(address));
  if (PyErr_Occurred()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* product(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 15) {
    PyErr_SetString(PyExc_TypeError,
                    "product(a, b, bias, out, m, n, k, a_down, a_right, b_down, b_right, bytes, threads, a_leaves, b_leaves)");
    return nullptr;
  }
  void* places[4] = {};
  try {
    for (int i = 0; i < 4; ++i)
      if (!Py_IsNone(args[i]) || i != 2) places[i] = numbers(args[i]);
  } catch (const std::exception& fault) {
    PyErr_SetString(PyExc_RuntimeError, fault.what());
    return nullptr;
  }
  long sizes[11];
  for (int i = 0; i < 11; ++i) sizes[i] = PyLong_AsLong(args[4 + i]);
  if (PyErr_Occurred()) return nullptr;
  const auto [a, b, bias, out] = places;
  const auto [m, n, k, a_down, a_right, b_down, b_right, bytes, threads, a_leaves, b_leaves] = sizes;
  if (!multiplies(bytes)) {
    PyErr_Format(PyExc_ValueError, "numbers of %ld bytes are not multiplied here", bytes);
    return nullptr;
  }
  Py_BEGIN_ALLOW_THREADS;
  multiply({a, b, bias, out, m, n, k, a_down, a_right, b_down, b_right, bytes, threads, a_leaves, b_leaves});
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"ask", ask, METH_O, "Where to ask for a tensor's numbers: the address of a function."},
    {"product", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(product)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyModuleDef module{PyModuleDef_HEAD_INIT, "tiles", nullptr, 0, methods, slots};

}  // namespace

PyMODINIT_FUNC PyInit_tiles() { return PyModuleDef_Init(&module); }  // which leaves sys.modules alone
