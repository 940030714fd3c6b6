# SPDX-License-Identifier: MIT
from .core import Value
from .net import Neuron
