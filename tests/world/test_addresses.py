"""Spellings of one address, and addresses of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.world.addresses import is_of_this_machine, same_form


def test_socket_behind_a_link_has_one_form(tmp_path: Path) -> None:
    """/var/run is a link to /run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to("run")
    assert same_form(f"unix://{tmp_path}/var/s.sock") == same_form(f"unix://{tmp_path}/run/./s.sock")
    assert same_form(f"unix://{tmp_path}/run/s.sock") != same_form(f"unix://{tmp_path}/run/t.sock")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9001", "http://LOCALHOST:9001/", "http://[::1]:9001", "http://0.0.0.0:9001/RPC2"],
)
def test_loopback_has_one_form(url: str) -> None:
    assert same_form(url) == same_form("http://localhost:9001")


def test_other_addresses_stay_apart() -> None:
    """Two supervisords may have the same port on two addresses."""
    urls = ["http://localhost:9001", "http://localhost:9002", "http://127.0.0.2:9001", "http://10.0.0.1:9001"]
    assert len({same_form(url) for url in urls}) == len(urls)
    assert same_form("http://host") == "http://host:80"


@pytest.mark.parametrize("text", ["", "no address", "http://[", "http://h:port", "unix:///a\0b"])
def test_what_is_no_address_is_one_of_its_own(text: str) -> None:
    assert same_form(text) == text
    assert is_of_this_machine(text) is text.startswith("unix://")


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("unix:///run/s.sock", True),
        ("http://localhost:9001", True),
        ("http://127.0.0.5:9001", True),
        ("http://10.0.0.1:9001", False),
        ("http://example.org:9001", False),
    ],
)
def test_only_a_supervisord_of_this_machine_has_a_pid_here(url: str, is_here: bool) -> None:
    assert is_of_this_machine(url) is is_here
