/* SPDX-License-Identifier: MIT
 *
 * Fields and macros of Python's C API that Cython's own declarations leave out.
 */
#ifndef MICROGRAD_C_OBJECTS_H
#define MICROGRAD_C_OBJECTS_H

#include <Python.h>
#include <structmember.h>

#define SET_VECTORCALL(type, function) ((type)->tp_vectorcall = (function))
#define TYPE_INIT(type) ((void *)(type)->tp_init)
#define TYPE_ALLOC(type) ((type)->tp_alloc(type, 0))
#define TYPE_OF(object) (Py_TYPE(object))
#define HAS_DICT(type) ((type)->tp_dictoffset != 0)
#define DICT_OF(type) ((type)->tp_dict)
#define HAS_LENGTH(type)                                              \
    (((type)->tp_as_sequence && (type)->tp_as_sequence->sq_length) || \
     ((type)->tp_as_mapping && (type)->tp_as_mapping->mp_length))
#define GETATTRO(type) ((type)->tp_getattro)
#define SET_GETATTRO(type, function) ((type)->tp_getattro = (function))
#define DESCRIPTOR_SET(object) (Py_TYPE(object)->tp_descr_set)
/* Where __slots__ has put a field; 0: it is no such field. */
#define SLOT_OFFSET(found) \
    ((found) && Py_IS_TYPE(found, &PyMemberDescr_Type) ? ((PyMemberDescrObject *)(found))->d_member->offset : 0)
#define LIST_ITEMS(list) (((PyListObject *)(list))->ob_item)

#endif
