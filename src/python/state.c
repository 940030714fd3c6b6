/* SPDX-License-Identifier: MIT */
#include "python/state.h"

Tape tape;
PyTypeObject *ValueType;
PyTypeObject *LeakedType;
PyObject *free_handles;
Py_ssize_t free_count;
uint32_t disturbances;
uint32_t special;
int is_recording;
