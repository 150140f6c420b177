"""Every page is valid, its links lead somewhere, and the documentation is complete."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from docutils import nodes

from supervisor_memkill.workers.registry import BUILT_IN
from tests.docs.pages import DOCS, EXAMPLES, HOME, PAGES, RAW, README, ROOT, name_of, read

WRITTEN = [*PAGES, *EXAMPLES]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_page_is_valid_restructured_text(path: Path) -> None:
    read(path)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_that_exist(path: Path) -> None:
    document = read(path)
    targets = [node["refuri"] for node in document.findall(nodes.reference) if "refuri" in node]
    targets += [node["uri"] for node in document.findall(nodes.image)]
    for target in targets:
        if target.startswith((HOME, RAW)):
            place = ROOT / unquote(target.removeprefix(HOME).removeprefix(RAW))
        elif "://" not in target:
            place = path.parent / unquote(target)
        else:
            continue
        assert place.is_file(), target


def test_links_of_the_readme_work_from_a_package_index() -> None:
    """A relative link would lead nowhere there."""
    document = read(README)
    targets = [node["refuri"] for node in document.findall(nodes.reference) if "refuri" in node]
    targets += [node["uri"] for node in document.findall(nodes.image)]
    assert targets
    assert all(target.startswith((HOME, RAW)) for target in targets)


def test_index_leads_to_every_page() -> None:
    index = DOCS / "index.rst"
    targets = {
        (index.parent / node["refuri"]).resolve()
        for node in read(index).findall(nodes.reference)
        if "refuri" in node
    }
    assert {page.resolve() for page in DOCS.rglob("*.rst") if page != index} <= targets


def test_each_kind_has_a_page_and_an_example() -> None:
    for kind in BUILT_IN:
        page = (DOCS / "frameworks" / f"{kind}.rst").read_text()
        assert f"``worker = {kind}``" in page
        assert f"``supervisor-memkill --sample {kind}``" in page
        assert (ROOT / "conf.d" / f"{kind}.conf").is_file()


def test_each_kind_of_the_overview_has_its_row() -> None:
    overview = (DOCS / "frameworks" / "index.rst").read_text()
    assert set(re.findall(r"\* - `(\w+) <", overview)) == set(BUILT_IN)


def test_versions_that_are_needed_are_those_of_the_package() -> None:
    setup = (ROOT / "setup.cfg").read_text()
    (python,) = re.findall(r"^python_requires = >=(.+)$", setup, re.MULTILINE)
    (supervisor,) = re.findall(r"^ +supervisor>=(.+)$", setup, re.MULTILINE)
    text = " ".join((DOCS / "getting-started.rst").read_text().split())
    assert f"Python {python} or later, and supervisord {supervisor} or later" in text


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_documentation_speaks_of_the_project_alone(path: Path) -> None:
    """No path of the machine that it was written on, and no word about how the work was organised."""
    text = path.read_text()
    assert not re.findall(r"/work/|/root/|/home/\w|\bsession\b|\bworktree\b|\bissues? show\b", text)


def test_documented_modules_exist() -> None:
    text = (ROOT / "CONTRIBUTING.rst").read_text()
    for name in re.findall(r"``([\w/]+\.py|[\w./]+/)``", text):
        assert (ROOT / "supervisor_memkill" / name).exists() or (ROOT / name).exists(), name
