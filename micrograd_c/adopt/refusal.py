# SPDX-License-Identifier: MIT
"""Why a class, or what a script does with it, cannot be had on this engine: one line."""

import os
import sys

# What stands between a line of the script and this module: this package, and Python's library.
BETWEEN = tuple(os.path.dirname(path) + os.sep for path in (os.path.dirname(__file__), os.__file__))
# Every one so far: a script must not go on after one, whatever it catches.
told: list["Refusal"] = []


class Refusal(BaseException):
    """Not an Exception: the script must not catch it."""


def refuse(what, frame=None):
    """Ends the script, with the line of it that asks for something that cannot be had."""
    told.append(Refusal(located(what, frame or sys._getframe(1))))
    raise told[-1]


def located(what, frame):
    while frame.f_back and frame.f_code.co_filename.startswith(BETWEEN):
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}: {what}"
