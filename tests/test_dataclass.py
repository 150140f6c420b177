"""Frozen classes are what the standard library makes of them, and share their methods."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import pkgutil
from dataclasses import field
from typing import Any

import pytest

import supervisor_memkill
from supervisor_memkill.dataclass import dataclass

MAKERS = pytest.mark.parametrize("make", [dataclass, dataclasses.dataclass], ids=["ours", "stdlib"])
SLOTS = pytest.mark.parametrize("slots", [False, True], ids=["dict", "slots"])


def point(make: Any, slots: bool) -> Any:
    @make(frozen=True, slots=slots)
    class Point:
        x: int
        y: float = 0.0
        secret: str = field(default="", repr=False)
        aside: int = field(default=0, compare=False)

    Point.__qualname__ = "Point"
    return Point


@MAKERS
@SLOTS
def test_values_are_equal_by_the_fields_that_are_compared(make: Any, slots: bool) -> None:
    cls = point(make, slots)
    assert cls(1, aside=1) == cls(1, aside=2)
    assert hash(cls(1, aside=1)) == hash(cls(1, aside=2))
    assert cls(1) != cls(2)
    assert cls(1) != cls(1, 2.0)
    assert cls(1) != cls(1, secret="other")
    assert len({cls(1), cls(1), cls(2)}) == 2


@MAKERS
def test_values_of_two_classes_are_never_equal(make: Any) -> None:
    one, other = point(make, slots=False), point(make, slots=False)
    assert one(1) != other(1)
    assert one(1) != (1, 0.0, "")


@MAKERS
@SLOTS
def test_the_text_of_a_value_has_its_fields_but_for_secrets(make: Any, slots: bool) -> None:
    assert repr(point(make, slots)(1, secret="s3cr3t")) == "Point(x=1, y=0.0, aside=0)"


@MAKERS
@SLOTS
def test_nothing_changes_a_value(make: Any, slots: bool) -> None:
    one = point(make, slots)(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        one.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del one.x
    assert one.x == 1


@MAKERS
@SLOTS
def test_copies_are_equal(make: Any, slots: bool) -> None:
    one = point(make, slots)(1)
    assert dataclasses.replace(one, y=2.0) == type(one)(1, 2.0)
    assert copy.deepcopy(one) == one


@MAKERS
def test_a_class_without_fields_has_one_value(make: Any) -> None:
    @make(frozen=True)
    class Nothing:
        pass

    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())


@MAKERS
def test_a_class_keeps_the_methods_that_it_defines(make: Any) -> None:
    @make(frozen=True)
    class Own:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "own"

    own: Any = Own
    assert own(1) == own(2)
    assert hash(own(1)) == 7
    assert repr(own(1)) == "own"


@MAKERS
def test_a_class_below_another_has_its_fields_too(make: Any) -> None:
    @make(frozen=True)
    class Base:
        x: int

    @make(frozen=True)
    class Below(Base):
        y: int

    base: Any = Base
    below: Any = Below
    assert below(1, 2) == below(1, 2)
    assert below(1, 2) != below(1, 3)
    assert below(1, 2) != base(1)
    assert base(1) == base(1)


@MAKERS
def test_an_unhashable_field_makes_a_value_unhashable(make: Any) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(point(make, slots=False)([]))


def test_a_class_that_may_change_is_refused() -> None:
    with pytest.raises(TypeError, match=r"use dataclasses\.dataclass"):
        dataclass(frozen=False)


def test_all_frozen_classes_share_their_methods() -> None:
    """A class made by the standard library alone costs each listener 7 KB more."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(supervisor_memkill.__path__, "supervisor_memkill.")
        if not found.name.endswith("__main__")
    ]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    frozen = {
        cls for cls in classes if dataclasses.is_dataclass(cls) and vars(cls)["__dataclass_params__"].frozen
    }
    assert len(frozen) > 200
    assert {
        cls for cls in frozen if cls.__setattr__ is not point(dataclass, slots=False).__setattr__
    } == set()
