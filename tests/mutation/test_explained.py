"""The explanations of mutants that no test catches."""

from __future__ import annotations

from tests.mutation.__main__ import ROOT
from tests.mutation.explained import EXPLAINED
from tests.mutation.mutants import mutants


def test_what_is_explained_is_still_there() -> None:
    names = {one.name for one in mutants(ROOT / "supervisor_memkill")}
    assert [name for name in EXPLAINED if name not in names] == []
