"""The explanations of mutants that no test catches."""

from __future__ import annotations

from tests.mutation.__main__ import ROOT
from tests.mutation.explained import EXPLAINED
from tests.mutation.mutants import mutants


def test_explained_mutants_still_exist() -> None:
    names = {one.name for one in mutants(ROOT / "supervisor_memkill")}
    assert [name for name in EXPLAINED if name not in names] == []
