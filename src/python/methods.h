/* SPDX-License-Identifier: MIT
 *
 * Value's methods for the operations of one, two and three operands: those rows of the table whose symbol is
 * their name. A PyMethodDef holds no data, so each operation needs a C function of its own; all of them
 * lead to three in record.pyx.
 */
#ifndef MICROGRAD_C_METHODS_H
#define MICROGRAD_C_METHODS_H

#include <Python.h>

#include "ops/ops.h"

typedef PyObject *(*RecordUnary)(PyObject *self, int op);
typedef PyObject *(*RecordBinary)(PyObject *self, PyObject *other, int op);
typedef PyObject *(*RecordTernary)(PyObject *self, PyObject *others, int op);
static RecordUnary record_unary_method;
static RecordBinary record_binary_method;
static RecordTernary record_ternary_method;

#define METHOD1(id, ...)                                              \
    static PyObject *method_##id(PyObject *self, PyObject *no_args) { \
        (void)no_args;                                                \
        return record_unary_method(self, OP_##id);                    \
    }
#define METHOD2(id, ...) \
    static PyObject *method_##id(PyObject *self, PyObject *other) { return record_binary_method(self, other, OP_##id); }
#define METHOD3(id, ...)                                             \
    static PyObject *method_##id(PyObject *self, PyObject *others) { \
        return record_ternary_method(self, others, OP_##id);         \
    }
FOR_EACH_UNARY(METHOD1)
FOR_EACH_BINARY(METHOD2)
FOR_EACH_TERNARY(METHOD3)
#undef METHOD1
#undef METHOD2
#undef METHOD3

static PyMethodDef methods[OP_COUNT + 1]; /* ended by an empty one */

/* document(op) gives the text of a method's __doc__, which has to stay. */
static inline void make_methods(const char *(*document)(int op)) {
    static const PyCFunction functions[OP_COUNT] = {
#define FUNCTION(id, ...) [OP_##id] = method_##id,
        FOR_EACH_UNARY(FUNCTION) FOR_EACH_BINARY(FUNCTION) FOR_EACH_TERNARY(FUNCTION)
#undef FUNCTION
    };
    PyMethodDef *method = methods;
    for (int op = 0; op < OP_COUNT; op++) {
        if (!op_is_method(op)) continue;
        Shape shape = op_info[op].shape;
        int flags = shape == UNARY ? METH_NOARGS : shape == BINARY ? METH_O : METH_VARARGS;
        *method++ = (PyMethodDef){op_info[op].name, functions[op], flags, document(op)};
    }
}

#endif
