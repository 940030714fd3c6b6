# SPDX-License-Identifier: MIT
"""The same numbers in every kind of array that a compiled function takes."""

import array
import ctypes

import numpy as np


def strided(a):
    wide = np.zeros((a.shape[0] * 2 + 1, *a.shape[1:]))
    wide[1 : 1 + 2 * a.shape[0] : 2] = a
    return wide[1 : 1 + 2 * a.shape[0] : 2]


def backwards(a):
    return np.ascontiguousarray(a[::-1])[::-1]


def columns(a):
    if a.ndim == 1:
        wide = np.zeros((len(a), 3))
        wide[:, 1] = a
        return wide[:, 1]
    wide = np.zeros((a.shape[0], 2 * a.shape[1] + 1))
    wide[:, 1::2] = a
    return wide[:, 1::2]


def repeated(a):
    """A stride of 0: the first sample, as often as there are samples."""
    return np.broadcast_to(a[:1], a.shape) if len(a) else a


def misaligned(a, dtype=np.float64):
    size = np.dtype(dtype).itemsize * a.size
    raw = np.zeros(size + 1, dtype=np.uint8)
    raw[1:] = np.frombuffer(np.ascontiguousarray(a, dtype=dtype).tobytes(), dtype=np.uint8)
    return raw[1:].view(dtype).reshape(a.shape)


def field(a):
    """Numbers with something else between them, 9 bytes apart."""
    records = np.zeros(a.shape, dtype=[("flag", "u1"), ("x", "<f8")])
    records["x"] = a
    return records["x"]


def ctypes_array(kind):
    def convert(a):
        numbers = kind * len(a) if a.ndim == 1 else (kind * a.shape[1]) * len(a)
        result = numbers()
        for k, row in enumerate(a.tolist()):
            result[k] = row if a.ndim == 1 else (kind * len(row))(*row)
        return result

    return convert


def whole(a):
    return np.rint(np.clip(np.nan_to_num(a), -100, 100))


def tuples(a):
    return tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist())


# kind -> (its feature, conversion)
KINDS = {
    "float64": ("arrays", lambda a: np.array(a)),
    "float32": ("arrays", lambda a: a.astype(np.float32)),
    "Fortran": ("arrays", np.asfortranarray),
    "read-only": ("arrays", lambda a: np.frombuffer(a.tobytes()).reshape(a.shape)),
    "strided": ("strided", strided),
    "strided float32": ("strided", lambda a: strided(a).astype(np.float32)[::1]),
    "backwards": ("strided", backwards),
    "columns": ("strided", columns),
    "repeated": ("strided", repeated),
    "misaligned": ("misaligned", misaligned),
    "misaligned float32": ("misaligned", lambda a: misaligned(a, np.float32)),
    "field": ("misaligned", field),
    "big-endian": ("big_endian", lambda a: a.astype(">f8")),
    "big-endian float32": ("big_endian", lambda a: a.astype(">f4")),
    "ctypes double": ("ctypes", ctypes_array(ctypes.c_double)),
    "ctypes float": ("ctypes", ctypes_array(ctypes.c_float)),
    "ctypes int": ("ctypes", lambda a: ctypes_array(ctypes.c_int)(whole(a).astype(int))),
    "memoryview": ("sequences", lambda a: memoryview(np.array(a))),
    "list": ("sequences", lambda a: a.tolist()),
    "tuples": ("sequences", tuples),
    "rows": ("sequences", lambda a: list(np.array(a))),
    "int64": ("sequences", lambda a: whole(a).astype(np.int64)),
    "uint8": ("sequences", lambda a: np.abs(whole(a)).astype(np.uint8)),
    "bool": ("sequences", lambda a: a > 0),
    "ints": ("sequences", lambda a: whole(a).astype(int).tolist()),
    "array": ("sequences", lambda a: array.array("d", a.tolist()) if a.ndim == 1 else a),
    "array float": ("sequences", lambda a: array.array("f", a.tolist()) if a.ndim == 1 else a),
    "array int": (
        "sequences",
        lambda a: array.array("l", whole(a).astype(int).tolist()) if a.ndim == 1 else a,
    ),
}


def numbers_of(buffer, shape):
    """What the numbers are, as float64."""
    if isinstance(buffer, (list, tuple)):
        buffer = [list(map(float, row)) for row in buffer] if len(shape) == 2 else list(buffer)
    elif isinstance(buffer, ctypes.Array):
        buffer = [list(row) for row in buffer] if len(shape) == 2 else list(buffer)
    return np.array(buffer, dtype=np.float64).reshape(shape)


def convert(a, chance, features):
    """(a buffer of some kind, the numbers that it holds as a float64 array)."""
    kinds = [name for name, (feature, _) in KINDS.items() if feature in features]
    if (a.ndim == 2 and a.shape[1] == 0) or a.size == 0 or not kinds:
        return a, a
    buffer = KINDS[chance.choice(kinds)][1](a)
    return buffer, numbers_of(buffer, a.shape)
