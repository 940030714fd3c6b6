# SPDX-License-Identifier: MIT
# %% [markdown]
# # A fit with error bars
#
# A damped oscillation, measured 40 times with noise of known kind and unknown size. Gauss and
# Newton's method finds the parameters: it needs the derivative of every prediction by every
# parameter, and a `backward()` for each prediction gives them. The same matrix gives the error
# bars.

# %%
import math
import random

import numpy as np

from micrograd_c import Value

NAMES, TRUE = ("height", "decay", "frequency", "phase"), (2.0, 0.3, 1.7, 0.4)


def predict(t, height, decay, frequency, phase):
    return height * (-decay * t).exp() * (frequency * t + phase).cos()


random.seed(5)
times = [0.2 * k for k in range(40)]
true = [Value(v) for v in TRUE]
measured = [predict(t, *true).data + random.gauss(0, 0.05) for t in times]

# %% [markdown]
# One row of the Jacobian for each measurement; the step solves the linearised problem.

# %%
parameters = [Value(v) for v in (1.5, 0.2, 1.6, 0.6)]
for iteration in range(1, 21):
    rows, residuals = [], []
    for t, m in zip(times, measured, strict=True):
        prediction = predict(t, *parameters)
        prediction.backward()
        rows.append([p.grad for p in parameters])
        residuals.append(m - prediction.data)
    step = np.linalg.lstsq(np.array(rows), np.array(residuals), rcond=None)[0]
    for p, change in zip(parameters, step, strict=True):
        p.data += change
    if np.abs(step).max() < 1e-10:
        print(f"converged after {iteration} iterations")
        break

# %% [markdown]
# The covariance of the parameters is s² (JᵀJ)⁻¹, with the residuals' variance s² (any textbook on
# regression: Seber and Wild, Nonlinear Regression, chapter 2).

# %%
jacobian = np.array(rows)
variance = np.dot(residuals, residuals) / (len(times) - len(parameters))
covariance = np.linalg.inv(jacobian.T @ jacobian) * variance
errors = np.sqrt(np.diag(covariance))
print(f"noise {math.sqrt(variance):.3f} (true: 0.05)")
for name, p, error, t in zip(NAMES, parameters, errors, TRUE, strict=True):
    print(f"{name:9} {p.data:6.3f} ± {error:.3f} (true: {t})")
    assert abs(p.data - t) < 4 * error

# %% [markdown]
# The curve, and two standard errors to either side of it: the derivatives of each prediction carry
# the parameters' covariance over.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    ts = np.linspace(0.0, 8.0, 200)
    rows, curve = [], []
    for t in ts:
        prediction = predict(float(t), *parameters)
        prediction.backward()
        rows.append([p.grad for p in parameters])
        curve.append(prediction.data)
    curve = np.array(curve)
    band = 2 * np.sqrt(np.einsum("ti,ij,tj->t", rows, covariance, rows))
    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    axes.fill_between(ts, curve - band, curve + band, color="#56B4E9", alpha=0.5, linewidth=0)
    axes.plot(ts, curve, color="#0072B2", label="fit, two standard errors")
    axes.plot(times, measured, ".", color="#D55E00", label="measured")
    axes.set_xlabel("time")
    axes.legend(frameon=False)
    figure.savefig("least_squares.png", dpi=100)
