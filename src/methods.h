/* SPDX-License-Identifier: MIT
 *
 * Value's methods for the operations of one operand, one per row of the table. A PyMethodDef holds
 * no data, so each operation needs a C function of its own; all of them lead to one in _core.pyx.
 * The cells of each row stand here as text, too: help.pxi writes the methods' documents from them.
 */
#ifndef MICROGRAD_C_METHODS_H
#define MICROGRAD_C_METHODS_H

#include <Python.h>

#include "ops.h"

typedef PyObject *(*RecordUnary)(PyObject *self, int op);
static RecordUnary record_unary_method;

#define METHOD(id, ...)                                                 \
    static PyObject *method_##id(PyObject *self, PyObject *no_args) {   \
        (void)no_args;                                                  \
        return record_unary_method(self, OP_##id);                      \
    }
FOR_EACH_UNARY(METHOD)
#undef METHOD

#define DEFINITION(id, ...) {#id, method_##id, METH_NOARGS, NULL},
static PyMethodDef unary_methods[] = {FOR_EACH_UNARY(DEFINITION){NULL, NULL, 0, NULL}};
#undef DEFINITION

typedef struct {
    const char *value, *gain;
} Cells;

#define TEXT(id, symbol, refuse, lo, hi, value, gain) {#value, #gain},
static const Cells unary_cells[] = {FOR_EACH_UNARY(TEXT)}; /* in the order of unary_methods */
#undef TEXT

#endif
