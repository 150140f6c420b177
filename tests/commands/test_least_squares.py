"""The least squares without values below zero are the best ones, whatever the columns are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.commands.least_squares import non_negative
from tests.fuzz.effort import tries

VALUES = st.integers(-20, 20)


def normal(rows: list[list[int]], wanted: list[int]) -> tuple[list[list[float]], list[float]]:
    columns = list(zip(*rows, strict=True))
    squares = [
        [float(sum(a * b for a, b in zip(one, other, strict=True))) for other in columns] for one in columns
    ]
    return squares, [float(sum(a * y for a, y in zip(one, wanted, strict=True))) for one in columns]


def tables(size: int) -> st.SearchStrategy[list[list[int]]]:
    row = st.lists(VALUES, min_size=size + 1, max_size=size + 1)
    return st.lists(row, min_size=1, max_size=9)


@tries(200)
@given(st.integers(1, 5).flatmap(tables))
def test_no_other_values_are_better(table: list[list[int]]) -> None:
    """By the conditions of Karush, Kuhn and Tucker: at 0 no way up is better, above 0 no way at all."""
    squares, products = normal([row[:-1] for row in table], [row[-1] for row in table])
    found = non_negative(squares, products)
    assert min(found) >= 0
    for row, product, value in zip(squares, products, found, strict=True):
        slope = product - sum(factor * one for factor, one in zip(row, found, strict=True))
        scale = 1 + abs(product) + sum(abs(factor * one) for factor, one in zip(row, found, strict=True))
        assert slope <= 1e-5 * scale
        assert value == 0 or slope >= -1e-5 * scale


def test_values_that_fit_exactly_are_found() -> None:
    rows = [[1, 0, 2], [0, 3, 1], [2, 1, 0], [1, 1, 1]]
    wanted = [2 * a + 5 * b + 0 * c for a, b, c in rows]
    assert non_negative(*normal(rows, wanted)) == pytest.approx([2.0, 5.0, 0.0])


def test_column_that_would_be_below_zero_is_zero() -> None:
    assert non_negative(*normal([[1, 0], [1, 1]], [4, 1])) == pytest.approx([2.5, 0.0])


def test_columns_that_are_the_same_do_not_divide_by_zero() -> None:
    found = non_negative(*normal([[1, 1], [2, 2]], [3, 6]))
    assert sum(found) == pytest.approx(3.0)


def test_column_that_came_in_first_can_leave_again() -> None:
    assert non_negative(*normal([[0, 4, 5], [2, 5, 0], [1, 2, 0]], [5, 4, 3])) == pytest.approx(
        [2.2, 0.0, 1.0]
    )


def test_empty_columns_are_zero() -> None:
    assert non_negative([[0.0]], [0.0]) == [0.0]
