#!/usr/bin/env python3
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: MIT
"""A program with arguments of its own, a data file beside the caller, and a main guard."""
import argparse
import csv
import os
import sys

from micrograd.engine import Value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('file')
    parser.add_argument('--epochs', type=int, default=10)
    parser.add_argument('--compare', action='store_true', help="the script's own option")
    options = parser.parse_args()
    with open(options.file, newline='') as file:
        points = [(float(row['x']), float(row['y'])) for row in csv.DictReader(file)]
    slope, offset = Value(0.0), Value(0.0)
    for epoch in range(options.epochs):
        loss = sum((slope * x + offset - y) ** 2 for x, y in points) / len(points)
        slope.grad = offset.grad = 0
        loss.backward()
        for p in (slope, offset):
            p.data -= 0.1 * p.grad
    print(f'{len(points)} points, loss {loss.data:.8f}: y = {slope.data:.5f} x + {offset.data:.5f}')
    print(options.compare, os.path.basename(__file__), os.path.basename(sys.argv[0]), sys.argv[1:])


if __name__ == '__main__':
    main()
