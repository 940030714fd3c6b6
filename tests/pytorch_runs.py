# SPDX-License-Identifier: MIT
"""Training runs that fit makes here and a loop makes in PyTorch: rules, schedules, groups, options.

Each gives the same numbers on both sides: losses, validation losses, learning rates, parameters.
Those of PyTorch for a few of the runs stand in pytorch_numbers.json, for where it is not installed;
`python tests/pytorch_runs.py` writes that file anew.
"""

import json
import math
import sys
from pathlib import Path

import micrograd_c as mc
from micrograd_c import Value, optim

TABLE = Path(__file__).with_name("pytorch_numbers.json")
XS = [[math.sin(3.0 * k), math.cos(2.0 * k)] for k in range(10)]
YS = [x[0] * x[1] - 0.5 * x[0] for x in XS]
TRAINED = 7  # the others are for validation
BATCH = 3
EPOCH = 3  # steps
START = {
    "matrix": [[0.5, -0.3], [0.8, 0.1]],
    "bias": [0.1, -0.2],
    "out": [0.7, -0.6],
    "offset": [0.05],
}


def inverse(k):
    return 1 / (1 + k)


def halving(k):
    return 0.5**k


# Settings of all groups, then those of the first group and of the second.
RULES = {
    "SGD": ("SGD", {"lr": 0.1}, {}, {"lr": 0.02}),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}, {"weight_decay": 0.1}, {"momentum": 0.5}),
    "nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8}, {"nesterov": True}, {"lr": 0.01}),
    "Adam": ("Adam", {"lr": 0.05}, {"betas": (0.8, 0.9)}, {"lr": 0.01, "eps": 1e-3}),
    "amsgrad": ("Adam", {"lr": 0.05, "weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True}),
    "AdamW": ("AdamW", {"lr": 0.05}, {"weight_decay": 0.3}, {"weight_decay": 0.0, "lr": 0.02}),
}
# Of the arguments, one for a single group and for two.
SCHEDULES = {
    "none": None,
    "StepLR": ("StepLR", {"step_size": 2, "gamma": 0.5}, {}),
    "ExponentialLR": ("ExponentialLR", {"gamma": 0.8}, {}),
    "CosineAnnealingLR": ("CosineAnnealingLR", {"T_max": 4, "eta_min": 0.001}, {}),
    "LambdaLR": ("LambdaLR", {"lr_lambda": inverse}, {"lr_lambda": [inverse, halving]}),
    "OneCycleLR": (
        "OneCycleLR",
        {"max_lr": 0.1, "total_steps": 40},
        {"max_lr": [0.1, 0.03], "base_momentum": [0.8, 0.6], "max_momentum": [0.9, 0.95]},
    ),
    "ReduceLROnPlateau": (
        "ReduceLROnPlateau",
        {"patience": 0, "factor": 0.5, "threshold": 0.05, "min_lr": 0.001},
        {"min_lr": [0.02, 0.0]},
    ),
}
OPTIONS = {
    "epochs": {"epochs": 5},
    "steps": {"steps": 14, "clip_norm": 0.3},
    "epochs, clipped": {"epochs": 4, "clip_norm": 0.2},
    "patience": {"epochs": 12, "patience": 2, "clip_norm": 1.0},
}
# (rule, schedule, options, in groups) whose numbers are stored: each rule, schedule and option.
STORED = [
    ("SGD", "StepLR", "epochs", False),
    ("SGD", "OneCycleLR", "steps", True),
    ("momentum", "LambdaLR", "epochs, clipped", True),
    ("momentum", "none", "patience", False),
    ("nesterov", "CosineAnnealingLR", "steps", True),
    ("Adam", "none", "epochs", True),
    ("Adam", "OneCycleLR", "steps", True),
    ("amsgrad", "ExponentialLR", "epochs, clipped", True),
    ("AdamW", "ReduceLROnPlateau", "patience", True),
    ("AdamW", "CosineAnnealingLR", "epochs", False),
]


def name_of(run):
    rule, schedule, options, in_groups = run
    return f"{rule}, {schedule}, {options}{', two groups' if in_groups else ''}"


def groups_of(weights, rule, in_groups):
    """The first argument of an optimiser, and its settings."""
    _, settings, first, second = RULES[rule]
    if not in_groups:
        return list(weights.values()), {**settings, **first}
    others = [weights[name] for name in ("bias", "out", "offset")]
    return [{"params": [weights["matrix"]], **first}, {"params": others, **second}], settings


def schedule_for(module, optimizer, schedule, in_groups):
    if SCHEDULES[schedule] is None:
        return None
    name, arguments, for_groups = SCHEDULES[schedule]
    return getattr(module, name)(optimizer, **(arguments | for_groups if in_groups else arguments))


def flat(numbers):
    return (
        [one for each in numbers for one in flat(each)] if isinstance(numbers, list) else [numbers]
    )


def ours(run):
    """The numbers of fit."""
    rule, schedule, options, in_groups = run
    w = {
        name: [[Value(x) for x in row] for row in numbers]
        if name == "matrix"
        else [Value(x) for x in numbers]
        for name, numbers in START.items()
    }
    params, settings = groups_of(
        {name: flat(values) for name, values in w.items()}, rule, in_groups
    )
    if in_groups:
        params = [{**group, "params": flat(group["params"])} for group in params]
    else:
        params = flat(params)

    def loss(x, y):
        hidden = [mc.dot(row, x, b).tanh() for row, b in zip(w["matrix"], w["bias"], strict=True)]
        return (mc.dot(w["out"], hidden, w["offset"][0]) - y) ** 2

    optimizer = getattr(optim, RULES[rule][0])(params, **settings)
    history = mc.compile(loss).fit(
        XS[:TRAINED],
        YS[:TRAINED],
        optimizer=optimizer,
        batch_size=BATCH,
        scheduler=schedule_for(optim.lr_scheduler, optimizer, schedule, in_groups),
        validation=(XS[TRAINED:], YS[TRAINED:]),
        **OPTIONS[options],
    )
    return {
        "losses": list(history),
        "validation": history.validation,
        "lr": [group["lr"] for group in optimizer.param_groups],
        "parameters": [p.data for p in flat(list(w.values()))],
    }


def theirs(run):
    """The numbers of a loop in PyTorch."""
    import torch

    rule, schedule, options, in_groups = run
    given = OPTIONS[options]
    w = {
        name: torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
        for name, numbers in START.items()
    }
    xs, ys = torch.tensor(XS, dtype=torch.float64), torch.tensor(YS, dtype=torch.float64)
    params, settings = groups_of(w, rule, in_groups)
    optimizer = getattr(torch.optim, RULES[rule][0])(params, **settings)
    scheduler = schedule_for(torch.optim.lr_scheduler, optimizer, schedule, in_groups)

    def loss_of(first, last):
        hidden = torch.tanh(xs[first:last] @ w["matrix"].T + w["bias"])
        return ((hidden @ w["out"] + w["offset"] - ys[first:last]) ** 2).mean()

    losses, validation, best, waited = [], [], None, 0
    steps = given.get("steps", given.get("epochs", 0) * EPOCH)
    for step in range(steps):
        first = step % EPOCH * BATCH
        loss = loss_of(first, min(first + BATCH, TRAINED))
        optimizer.zero_grad()
        loss.backward()
        if "clip_norm" in given:
            torch.nn.utils.clip_grad_norm_(list(w.values()), given["clip_norm"])
        optimizer.step()
        losses.append(loss.item())
        at_end = step % EPOCH == EPOCH - 1 or step == steps - 1
        if at_end:
            with torch.no_grad():
                validation.append(loss_of(TRAINED, len(XS)).item())
            if best is None or validation[-1] < best[0]:
                best, waited = (validation[-1], [t.detach().clone() for t in w.values()]), 0
            else:
                waited += 1
        if scheduler is not None and (at_end or "steps" in given):
            if schedule == "ReduceLROnPlateau":
                scheduler.step(validation[-1] if "epochs" in given else losses[-1])
            else:
                scheduler.step()
        if at_end and waited >= given.get("patience", math.inf):
            break
    if "patience" in given:
        with torch.no_grad():
            for tensor, kept in zip(w.values(), best[1], strict=True):
                tensor.copy_(kept)
    return {
        "losses": losses,
        "validation": validation,
        "lr": [group["lr"] for group in optimizer.param_groups],
        "parameters": flat([tensor.tolist() for tensor in w.values()]),
    }


if __name__ == "__main__":
    import torch

    table = {name_of(run): theirs(run) for run in STORED}
    text = json.dumps({"torch": torch.__version__, "numbers": table}, indent=1)
    TABLE.write_text(text + "\n", encoding="utf-8")
    sys.exit(0)
