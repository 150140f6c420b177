"""Least squares without values below zero, for a few unknowns. Pure, and without numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence

Matrix = Sequence[Sequence[float]]
TINY = 1e-9
"""The share of a diagonal below which a column says nothing new."""


def non_negative(squares: Matrix, products: Sequence[float]) -> list[float]:
    """The `b` of 0 or more with the least ``b'Sb - 2p'b``: `squares` is ``X'X``, `products` is ``X'y``.

    The active set method of Lawson and Hanson (Solving Least Squares Problems, 1974, chapter 23).
    """
    size = len(products)
    found, active = [0.0] * size, list[int]()
    for _ in range(3 * size):
        entering = _steepest(squares, products, found, active)
        if entering is None:
            break
        active.append(entering)
        while active:
            solved = _solve(squares, products, active)
            if solved is None:
                active.pop()
                break
            if min(solved) > 0:
                found = [0.0] * size
                for index, value in zip(active, solved, strict=True):
                    found[index] = value
                break
            step = min(
                found[index] / (found[index] - value)
                for index, value in zip(active, solved, strict=True)
                if value <= 0
            )
            for index, value in zip(active, solved, strict=True):
                found[index] += step * (value - found[index])
            bound = max(found) * TINY
            active = [index for index in active if found[index] > bound]
            found = [value if index in active else 0.0 for index, value in enumerate(found)]
    return found


def _steepest(
    squares: Matrix, products: Sequence[float], found: Sequence[float], active: Sequence[int]
) -> int | None:
    """The unknown that lowers the sum of squares fastest; None: no further one does."""
    best, steepest = None, 0.0
    for index, row in enumerate(squares):
        if index in active or row[index] <= 0:
            continue
        slope = products[index] - sum(factor * value for factor, value in zip(row, found, strict=True))
        slope /= math.sqrt(row[index])
        if slope > max(steepest, TINY * abs(products[index]) / math.sqrt(row[index])):
            best, steepest = index, slope
    return best


def _solve(squares: Matrix, products: Sequence[float], active: Sequence[int]) -> list[float] | None:
    """The solution of the equations of these unknowns (Gauss); None: they have no single one."""
    rows = [[*(squares[row][column] for column in active), products[row]] for row in active]
    size = len(rows)
    for step in range(size):
        pivot = max(range(step, size), key=lambda row: abs(rows[row][step]))
        rows[step], rows[pivot] = rows[pivot], rows[step]
        head = rows[step]
        if abs(head[step]) <= TINY * squares[active[step]][active[step]]:
            return None
        for row in range(step + 1, size):
            factor = rows[row][step] / head[step]
            if factor:
                rows[row] = [one - factor * other for one, other in zip(rows[row], head, strict=True)]
    solved = [0.0] * size
    for step in reversed(range(size)):
        known = sum(rows[step][later] * solved[later] for later in range(step + 1, size))
        solved[step] = (rows[step][size] - known) / rows[step][step]
    return solved
