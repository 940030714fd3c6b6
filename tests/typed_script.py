# SPDX-License-Identifier: MIT
"""A user's script in the words of the public API: it runs, and type checkers find no error in it.

`test_types.py` runs it and has mypy check it; nothing here may need a cast or an ignored line.
"""

import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

import micrograd_c
from micrograd_c import (
    CompiledFunction,
    TraceError,
    Value,
    accumulate_grads,
    clip,
    compile,
    custom,
    dot,
    gradcheck,
    gradients,
    logical_and,
    logical_not,
    logical_or,
    losses,
    nn,
    no_grad,
    optim,
    sum,
    take,
    tape_stats,
    topological_sort,
    where,
)
from micrograd_c.engine import Value as EngineValue
from micrograd_c.nn import MLP, Layer, Module, Neuron
from micrograd_c.optim import SGD, Adam, AdamW, Optimizer, ParamGroup
from micrograd_c.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

# -- Values ----------------------------------------------------------------------------------------

a, b = Value(2.0, label="a"), Value(Fraction(1, 2))
y: Value = (2 * a + b**2 - 1 / a) ** a / 3 - (-b) + abs(a) + 2**b
y.backward()
y.backward(accumulate=True)
a.data -= 0.1 * a.grad
a.label = "weight"
a.velocity = 0.0
number: float = y.item() + y.data + y.detach().grad
operands: set[Value] = y._prev
order: list[Value] = topological_sort(y)
same: bool = EngineValue is Value and a > b and a >= 0.0
text: str = f"{y:.3f} {y._op}"
activations: list[Value] = [a.tanh(), a.relu(), a.exp(), a.sigmoid(), a.leaky_relu(0.1), a.exp()]
total: Value = sum(activations) + sum(x.sin() for x in order) + sum([1, a], start=b)
product: Value = dot([a, b], [1.0, 2], 0.5)
bounded: Value = clip(a, low=0.0) + a.maximum(0.0) + b.minimum(a)
chosen: Value = where(a > b, a, 0.0) + where(b, 1.0, a) + take([a, b], 1) + take([a, b], Value(0))
of_my_own: Value = custom(a.data**2, [a], [2 * a.data], op="square")


def closure(x: Value) -> Value:
    out = Value(x.data**3, (x,), "cube")

    def _backward() -> None:
        x.grad += out.grad * 3 * x.data**2

    out._backward = _backward
    return out


class Named(Value):
    """A Value with a constructor of its own."""

    def __init__(self, name: str, number: float) -> None:
        super().__init__(number, label=name)
        self.name = name


named = Named("speed", 2.0)
largest: Value = max([named * 2, named, a])
closure(a).backward()
before: bool = accumulate_grads(False)
nodes: int = tape_stats().nodes
correct: bool = gradcheck(lambda u, v: u * v + u.tanh(), [0.5, Value(2.0)])


@no_grad()
def without_graph(x: Value) -> float:
    with no_grad():
        return (x * x).data


without_graph(a)

# -- networks --------------------------------------------------------------------------------------

random.seed(42)
xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]
model = MLP(3, [4, 4, 1])
weights: list[Value] = model.parameters()
for _ in range(5):
    loss = sum((model(x) - target) ** 2 for x, target in zip(xs, ys, strict=True))
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= 0.05 * p.grad
names: list[str] = [name for name, _ in model.named_parameters()]
state: dict[str, float] = model.state_dict()
model.load_state_dict(state)
first: Neuron = model.layers[0].neurons[0]
bias: float = first.b.data + first.w[0].data
output: Value = first(xs[0])


class Classifier(Module):
    """A model of one's own, of several outputs."""

    def __init__(self, n_in: int, n_classes: int) -> None:
        self.hidden = Layer(n_in, 8, activation="relu")
        self.out = Layer(8, n_classes, activation="linear")
        self.scale = Value(1.0)

    def __call__(self, x: Sequence[Value | float]) -> list[Value]:
        return [self.scale * score for score in self.out(self.hidden(x))]


class Doubled(Module):
    """As PyTorch has it, with a forward."""

    def __init__(self, body: Module) -> None:
        self.body = body

    def forward(self, x: list[float]) -> Value:
        result: Value = 2 * self.body(x)
        return result


row = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 1), nn.ReLU())
twice: Value = Doubled(row)(xs[0]) + Doubled(row).forward(xs[0]) + nn.Sigmoid()(a)
classifier = Classifier(3, 2)
scores: list[Value] = classifier(xs[0])
many: list[Value] = Layer(3, 2)([*scores, a])
single: Value = nn.MLP(3, (4, 1), output_activation="linear")(xs[0])
entropy: Value = losses.cross_entropy(scores, 1) + losses.cross_entropy(many, [0.5, 0.5])
probabilities: list[Value] = losses.softmax(nn.MLP(3, [2])(xs[0])) + losses.log_softmax(scores)
errors: Value = losses.mse_loss([a, b], [1.0, 2.0]) + losses.l1_loss(a, 1) + losses.hinge_loss(b, 1)
likelihood: Value = losses.binary_cross_entropy_with_logits([a, b], [0, 1])

# -- optimisers ------------------------------------------------------------------------------------

sgd: Optimizer = SGD(weights, lr=0.05, momentum=0.9, nesterov=True)
sgd.step()
kept = sgd.state_dict()
sgd.load_state_dict(kept)
for optimizer in (Adam(weights, lr=1e-2, betas=(0.9, 0.99)), AdamW(weights)):
    optimizer.zero_grad()
    losses.mse_loss([model(x) for x in xs], ys).backward()
    optimizer.step()
    optimizer.lr *= 0.5
    optimizer.betas = (0.8, optimizer.betas[1])
    count: int = optimizer.steps
    norm: float = optim.clip_grad_norm_(model.parameters(), 1.0)
grouped = Adam(
    [{"params": model.layers[0].parameters(), "lr": 1e-3}, {"params": model.layers[1].parameters()}]
)
first_group: ParamGroup = grouped.param_groups[0]
first_group["lr"] = 0.1
first_group.update(eps=1e-6, amsgrad=True)
grouped.add_param_group({"params": [Value(1.0)], "betas": (0.8, 0.9)})
default_rate: float = grouped.defaults["lr"]
both_groups = optim.lr_scheduler.OneCycleLR(grouped, max_lr=[0.1, 0.2, 0.3], total_steps=10)
scheduler: LRScheduler = CosineAnnealingLR(sgd, T_max=10, eta_min=1e-3)
for schedule in (scheduler, optim.lr_scheduler.LambdaLR(sgd, lambda epoch: 0.9**epoch)):
    sgd.step()
    schedule.step()
rates: list[float] = scheduler.get_last_lr()
plateau = optim.lr_scheduler.ReduceLROnPlateau(sgd, mode="min", patience=3)
plateau.step(losses.mse_loss([model(x) for x in xs], ys))
plateau.load_state_dict(plateau.state_dict())

# -- compiled functions ----------------------------------------------------------------------------


def squared_error(x: list[Value], target: Value) -> Value:
    return (model(x) - target) ** 2


def seen(step: int, loss: float) -> bool:
    return loss < 1e-9


f = compile(squared_error, reduction="sum")
history: list[float] = f.fit(
    xs,
    ys,
    optimizer=optim.Adam(model.parameters(), lr=0.01),
    steps=20,
    batch_size=2,
    shuffle=True,
    seed=1,
    callback=seen,
)
last: float = f.value_and_grad(xs, ys)
predict: CompiledFunction = compile(model)
predictions: list[float] = [float(score) for score in predict(xs)]
recorded: int = f.stats().recorded_nodes + f.stats().optimised_nodes
listing: str = str(f)


@compile
def doubled(x: Value) -> Value:
    return a * x


@compile(reduction="sum", threads=2)
def both(x: list[Value]) -> list[Value]:
    return [x[0] + x[1], where(x[0], x[1], 0.0)]


rows = both([[1.0, 2.0], [3.0, 4.0]]).tolist()
X, Y = np.array(xs), np.array(ys, dtype=np.float32)


def barrier(path: list[Value], strike: Value) -> dict[str, Value | list[list[Value]]]:
    inside = logical_and(path[0] > 80.0, path[1] < 130) or (path[0] > strike) & (path[1] > strike)
    paid: Value = where(logical_or(logical_not(path[0] > 90.0), inside), path[1] - strike, 0.0)
    return {"price": paid, "greeks": [gradients(paid, path)]}


eager = barrier([Value(95.0), Value(120.0)], Value(100.0))
objective = f.objective(xs, ys, params=weights)
theta = objective.x0
curvature: float = objective.hess(theta)[0, 0] + objective.hessp(theta, theta)[0]
value_there, slopes_there = objective.fun_and_jac(theta)
objective.assign(theta - 0.01 * objective.jac(theta))
residuals = compile(lambda x: [doubled(x), a - x]).residuals([1.0, 2.0], sparse=False)
jacobian_there = residuals.jac(residuals.x0)
best = np.asarray(predict(X)).argmax()
also: float = f.value_and_grad(X, Y) + model(X[0]).data + losses.cross_entropy(scores, best).data
inside: Value = doubled(a) + 1
try:
    compile(lambda x: x if x > 0 else -x)([1.0])
except TraceError as error:
    reason: str = str(error)

micrograd_c.install()
micrograd_c.uninstall()
accumulate_grads(before)
print(f"{len(history)} steps, {losses.__name__}, {type(rows).__name__}")
