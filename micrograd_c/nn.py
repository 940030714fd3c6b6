# SPDX-License-Identifier: MIT
"""Neuron, Layer and MLP, as in the lesson, with a layer's neurons recorded in one call.

And what PyTorch builds networks of: Linear, activations, Sequential, and modules with a forward.
"""

import contextlib
import copyreg
import itertools
import random
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ._core import activations, expect_value, layer, parameters_of
from ._types import Number, Operands, ValueOrList
from .engine import Value, dot

__all__ = [
    "MLP",
    "Layer",
    "Linear",
    "Module",
    "Neuron",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
]


# By id, since a module's own hash may need what is not set up when it is made.
_living: "weakref.WeakValueDictionary[int, Module]" = weakref.WeakValueDictionary()


class Module:
    """What has parameters: every Value, Module, or container of them among its attributes.

    Containers are lists, tuples, deques, dicts and NumPy arrays of objects. A class of your own has
    a `forward`, as in PyTorch, or a `__call__`, as in the lesson: calling the module is calling
    that.
    """

    forward: Callable[..., Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made_by: Callable[..., Any] = super().__new__
        is_plain = made_by is object.__new__
        if is_plain and (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments")
        module = made_by(cls) if is_plain else made_by(cls, *args, **kwargs)
        with contextlib.suppress(TypeError):  # a class with slots alone
            _living[id(module)] = module
        return module

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__mro__:  # of the two, what is nearer to the class
            if "__call__" in vars(base):
                return
            if "forward" in vars(base):
                cls.__call__ = Module.__call__  # type: ignore[method-assign]
                return

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What `forward` gives; TypeError if there is none."""
        if not hasattr(self, "forward"):
            name = type(self).__name__
            raise TypeError(f"{name} cannot be called: it has neither forward nor __call__")
        return self.forward(*args, **kwargs)

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Pairs of name and Value, such as ('layers.0.neurons.2.w.1', Value), in a fixed order.

        A parameter that stands in several places comes once. TypeError for one in a set, which has
        no fixed order.
        """
        yield from _named(self, "", {})

    def parameters(self) -> list[Value]:
        """The Values that training changes, each once, as a list.

        Those of named_parameters(); but a part whose class has a method `parameters` of its own is
        asked for them.
        """
        found = parameters_of(self, Module, _parameters)
        return found if found is not None else [p for _, p in _named(self, "", {}, asks=True)]

    def zero_grad(self) -> None:
        """Sets the grad of every parameter to 0."""
        for parameter in self.parameters():
            parameter.grad = 0.0

    def state_dict(self) -> dict[str, float]:
        """The parameters' data by name."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Number]) -> None:
        """Sets the parameters' data. KeyError, and no change, if a name is missing or unknown."""
        parameters = dict(self.named_parameters())
        missing, unknown = parameters.keys() - state.keys(), state.keys() - parameters.keys()
        if missing or unknown:
            raise KeyError(f"load_state_dict: missing {sorted(missing)}, unknown {sorted(unknown)}")
        checked = {name: Value(state[name]).data for name in parameters}
        for name, parameter in parameters.items():
            parameter.data = checked[name]


_parameters = Module.parameters


def parameter_names() -> dict[int, str]:
    """The names of all living modules' parameters, by id; of several, that in the outermost."""
    names: dict[int, str] = {}
    for module in list(_living.values()):
        with contextlib.suppress(TypeError, AttributeError):  # not yet set up, or not to be named
            for name, parameter in module.named_parameters():
                if len(name) > len(names.get(id(parameter), "")):
                    names[id(parameter)] = name
    return names


def _answers(part: Module) -> bool:
    """Whether it has a method `parameters` of its own."""
    method = part.parameters
    return callable(method) and getattr(method, "__func__", None) is not _parameters


def _slots(part: Module) -> list[str]:
    """The names of its class's slots, as Python has stored them."""
    return copyreg._slotnames(type(part))  # type: ignore[attr-defined,no-any-return]


def _named(
    part: Any, name: str, seen: dict[int, Any], asks: bool = False
) -> Iterator[tuple[str, Value]]:
    """The parameters in a part of a module; seen: parts by id, since modules may refer to each
    other; asks: modules that answer, but for the first."""
    if isinstance(part, Value):
        expect_value(part, f"{name!r}: a parameter made")
        if id(part) not in seen:
            seen[id(part)] = part
            yield name, part
        return
    items: Iterable[tuple[Any, Any]]
    if isinstance(part, Module) and asks and name and _answers(part):
        items = enumerate(part.parameters())
    elif isinstance(part, Module):
        slots = [(slot, getattr(part, slot)) for slot in _slots(part) if hasattr(part, slot)]
        items = [*slots, *vars(part).items()]
    elif isinstance(part, dict):
        items = part.items()
    elif isinstance(part, list | tuple | deque):
        items = enumerate(part)
    elif isinstance(part, set | frozenset):
        items = zip(itertools.repeat("an element"), part, strict=False)
    elif getattr(getattr(part, "dtype", None), "kind", None) == "O":  # a NumPy array of objects
        places = itertools.product(*map(range, part.shape or (1,)))
        items = zip([".".join(map(str, place)) for place in places], part.flat, strict=True)
    else:
        return
    if id(part) not in seen:
        seen[id(part)] = part
        for key, item in list(items):
            for found in _named(item, f"{name}.{key}" if name else str(key), seen, asks):
                if isinstance(part, set | frozenset):
                    raise TypeError(
                        f"parameters: {name} is a {type(part).__name__}, which has no fixed order; "
                        "use a list"
                    )
                yield found


def _check_size(name: str, what: str, size: int) -> None:
    if size < 0:
        raise ValueError(f"{name}: expected at least 0 {what}, got {size}")


class Neuron(Module):
    """activation(w . x + b). Weights start uniform in -1 to 1, the bias at 0.

    activation: the name of an operation of one operand, such as 'tanh', or 'linear' for none.
    """

    # In slots, since a layer's call reads them all: of a small network's time, it saves a fifth.
    # And because Python reads attributes slower once somebody has looked at an object's __dict__,
    # as parameters() does.
    __slots__ = ("w", "b", "activation")  # noqa: RUF023 (the order of parameters)

    w: list[Value]
    b: Value
    activation: str

    def __init__(self, n_in: int, activation: str = "tanh") -> None:
        if activation not in activations:
            raise ValueError(
                f"Neuron: expected an activation among {', '.join(activations)}; got {activation!r}"
            )
        _check_size("Neuron", "inputs", n_in)
        self.activation = activation
        self.w = [Value(random.uniform(-1, 1)) for _ in range(n_in)]
        self.b = Value(0.0)

    def __call__(self, x: Operands) -> Value:
        """The output for x, a sequence of n_in Values or numbers; ValueError for another length."""
        if len(x) != len(self.w):
            raise ValueError(f"Neuron: expected an input of length {len(self.w)}, got {len(x)}")
        act = dot(self.w, x, self.b)
        return act if self.activation == "linear" else getattr(act, self.activation)()

    forward = __call__

    def __repr__(self) -> str:
        return f"Neuron({len(self.w)}, {self.activation!r})"


# What the core does for all neurons of a layer at once, as long as calling them does just this.
_call_neuron = Neuron.__call__


class Layer(Module):
    """n_out neurons that see the same n_in inputs."""

    __slots__ = ("neurons",)

    neurons: list[Neuron]

    def __init__(self, n_in: int, n_out: int, activation: str = "tanh") -> None:
        _check_size("Layer", "neurons", n_out)
        self.neurons = [Neuron(n_in, activation) for _ in range(n_out)]

    def __call__(self, x: Operands) -> ValueOrList:
        """The neurons' outputs, as a list; of a single neuron, its output."""
        return layer(self.neurons, x, _call_neuron)

    forward = __call__

    def __repr__(self) -> str:
        return f"Layer({self.neurons})"


class MLP(Module):
    """Layers in a row: MLP(3, [4, 4, 1]) has 3 inputs, two layers of 4 neurons and one output.

    output_activation: of the last layer; None: the same as activation.
    """

    __slots__ = ("layers",)

    layers: list[Layer]

    def __init__(
        self,
        n_in: int,
        layer_sizes: Sequence[int],
        activation: str = "tanh",
        output_activation: str | None = None,
    ) -> None:
        if not isinstance(layer_sizes, Iterable):
            raise TypeError(f"MLP: expected a list of layer sizes, got {layer_sizes!r}")
        layer_sizes = [*layer_sizes]
        n_ins = [n_in, *layer_sizes][:-1]
        activations = [activation] * len(layer_sizes)
        if activations and output_activation is not None:
            activations[-1] = output_activation
        shapes = zip(n_ins, layer_sizes, activations, strict=True)
        self.layers = [Layer(*shape) for shape in shapes]

    def __call__(self, x: Operands) -> ValueOrList:
        """The last layer's outputs, or its output if it has one neuron."""
        outputs: Any = x
        for layer_ in self.layers:
            outputs = layer_(outputs)
        return outputs

    forward = __call__

    def __repr__(self) -> str:
        return f"MLP({self.layers})"


class Linear(Layer):
    """A layer without activation; weights and biases are drawn as those of all layers here.

    bias: whether there are biases; without, each neuron's b is None.
    """

    def __init__(self, n_in: int, n_out: int, bias: bool = True) -> None:
        if bias not in (True, False):
            raise TypeError(
                f"Linear: expected bias to be True or False, got {bias!r}; with an activation, it "
                "is Layer(n_in, n_out, activation)"
            )
        super().__init__(n_in, n_out, "linear")
        if not bias:
            for neuron in self.neurons:
                neuron.b = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Linear({self.neurons})"


class _Activation(Module):
    """A method of Value, as a module: of a Value or number, or of each in a sequence."""

    _method: str

    def _of(self, x: Any) -> Any:
        return getattr(x if isinstance(x, Value) else Value(x), self._method)()

    def __call__(self, x: Any) -> Any:
        is_list = isinstance(x, Sequence) and not isinstance(x, str)
        if is_list or getattr(x, "ndim", 0) == 1:
            return [self._of(each) for each in x]
        return self._of(x)

    forward = __call__

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Tanh(_Activation):
    """tanh of a Value, or of each of a list."""

    _method = "tanh"


class ReLU(_Activation):
    """relu of a Value, or of each of a list."""

    _method = "relu"


class Sigmoid(_Activation):
    """sigmoid of a Value, or of each of a list."""

    _method = "sigmoid"


_TAKE_LISTS = (Neuron, Layer, MLP)


class Sequential(Module):
    """Modules, or functions, one after the other: each gets what the one before gave.

    Sequential(Linear(3, 4), Tanh(), Linear(4, 1)). They stand in `layers`. A layer of one neuron
    gives a Value; to a layer that follows, it is a list of one.
    """

    layers: list[Callable[..., Any]]

    def __init__(self, *modules: Callable[..., Any]) -> None:
        for module in modules:
            if not callable(module) or isinstance(module, type):
                raise TypeError(
                    f"Sequential: expected modules or functions, each an argument, got {module!r}"
                )
        self.layers = list(modules)

    def __call__(self, x: Any) -> Any:
        """What the last one gives; of none, x."""
        for module in self.layers:
            if isinstance(x, Value) and isinstance(module, _TAKE_LISTS):
                x = [x]
            x = module(x)
        return x

    forward = __call__

    def __len__(self) -> int:
        """How many there are."""
        return len(self.layers)

    def __getitem__(self, index: int | slice) -> Callable[..., Any]:
        """The module or function at this place; of a slice, a Sequential of those."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"
