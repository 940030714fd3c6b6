# SPDX-License-Identifier: MIT
"""What stands behind the line that follows a class statement: a class in, its stand-in out."""

import contextlib
import io
import os
import sys
import time
import warnings

from .. import _core
from .._core import Value
from .graft import Graft
from .refusal import Refusal, told
from .stand_in import Lost
from .watch import Watch

NAMING = ("__name__", "__qualname__", "__doc__")


class Adopter:
    """Called with a class, right after its statement: gives what takes its place.

    mentions: see source.py. strict: a class that cannot be replaced ends the script with a Refusal;
    else it stays, and `notes` says why.
    """

    def __init__(self, mentions, strict=True):
        self.mentions, self.strict = mentions, strict
        self.adopted = {}  # module -> the name of its class that has been replaced
        self.notes = []
        self.seconds = 0.0  # spent here, not in the script
        self.pristine = dict(vars(Value)), {name: getattr(Value, name) for name in NAMING}

    def __call__(self, kind, again=False):
        """again: another class statement of the name follows."""
        start = time.perf_counter()
        try:
            return self.adopt(kind)
        except (Exception, Refusal) as why:
            self.put_back()
            if again and not self.adopted:
                return kind
            if not isinstance(why, Refusal):
                why = f"{kind.__name__} cannot be asked: {type(why).__name__}: {why}"
            code = sys._getframe(1)
            file = os.path.basename(code.f_code.co_filename)
            refusal = Refusal(f"{file}, line {code.f_lineno}: {why}")
        finally:
            self.seconds += time.perf_counter() - start
        if not self.strict:
            self.notes.append(str(refusal))
            return kind
        told.append(refusal)
        raise refusal

    def adopt(self, kind):
        name = kind.__name__
        if self.adopted and kind.__module__ not in self.adopted:
            other = next(iter(self.adopted))
            raise Refusal(f"a second class {name}: the one of module {other} is replaced already")
        self.put_back()
        watch, before = Watch(kind), len(told)
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Graft(kind, watch, self.mentions).make()
        finally:
            watch.names[name] = kind
            watch.put_back()
            del told[before:]  # those of trying
        seen = watch.others & self.mentions
        if seen:
            raise Refusal(f"class {name} changes {min(seen)}, which this engine's Value would not")
        for attribute in watch.own:
            setattr(Value, attribute, Lost(attribute, name))
        self.adopted[kind.__module__] = name
        return Value

    def put_back(self):
        """Value is this engine's own again."""
        members, naming = self.pristine
        _core.stand_for(None, None)
        for name in vars(Value).keys() - members.keys():
            delattr(Value, name)
        for name, member in {**members, **naming}.items():
            if getattr(Value, name, None) is not member and vars(Value).get(name) is not member:
                setattr(Value, name, member)
