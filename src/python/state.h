/* SPDX-License-Identifier: MIT
 *
 * The state that all units of the boundary share. It stands in C, where the linker knows its address: a
 * variable that one Cython module takes from another is reached through a pointer.
 */
#ifndef MICROGRAD_C_STATE_H
#define MICROGRAD_C_STATE_H

#include <Python.h>
#include <stddef.h>

#include "tape/tape.h"

#if defined(__GNUC__)
#define SHARED extern __attribute__((visibility("hidden")))
#else
#define SHARED extern
#endif

/* A handle: what class Handle in value.pyx lays out, for code that touches no reference count. */
typedef struct {
    PyObject_HEAD Anchor anchor;
    PyObject *weakrefs; /* of a dropped handle: the next in the free list */
} HandleObject;

#define HANDLE_OF(anchor_) ((PyObject *)((char *)(anchor_) - offsetof(HandleObject, anchor)))

SHARED Tape tape;
SHARED PyTypeObject *ValueType; /* the class Value, made in value.pyx                                */
SHARED PyTypeObject *LeakedType; /* what a Value becomes that outlives its recording, see leaked.pyx   */
SHARED PyObject *free_handles;   /* see handles.pyx                                                    */
SHARED Py_ssize_t free_count;
SHARED uint32_t disturbances;    /* times that Python code may have run in make_handle or has_room     */
SHARED uint32_t special;         /* threads in no_grad(); not 0: recording takes the long way          */
SHARED int is_recording;         /* whether functions are being recorded for compile(), in any thread  */

#endif
