"""A URL in a file of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.config.written import SECRET, Written


def _secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_url_is_read_from_the_file_that_redis_file_names(written: Written) -> None:
    path = _secret_file(written.path.with_name("url"), f"# ours\n\n redis://:{SECRET}@main/0 \n", 0o400)
    own = _secret_file(written.path.with_name("own"), f"\ufeffredis://:{SECRET}@own/0")
    text = (
        "[memkill]\nredis_file = %(here)s/url\n[memkill:a]\nworker = needy\nmax_rss = 1GB\n"
        f"[memkill:b]\nmax_rss = 1GB\nredis_file = {own}\n"
    )
    config = written.load(text, {"MEMKILL_REDIS": "redis://environment/0"})
    first, second = config.pools
    assert (config.redis, config.redis_file) == (f"redis://:{SECRET}@main/0", path)
    assert config.redis_files == (str(path), str(own))
    assert (first.redis, first.redis_file) == (config.redis, None)
    assert (second.redis, second.redis_file) == (f"redis://:{SECRET}@own/0", own)
    assert SECRET not in repr(config)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660])
def test_a_file_that_others_can_read_or_change_is_refused(written: Written, mode: int) -> None:
    path = _secret_file(written.path.with_name("url"), f"redis://:{SECRET}@host/0", mode)
    (problem,) = written.problems(f"[memkill]\nredis_file = {path}\n[memkill:a]\nworker=needy\nmax_rss=1GB\n")
    assert problem == (
        f"2: [memkill] redis_file = '{path}': others can read or change it (mode {mode:04o}):"
        f" run chmod 600 {path}"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must hold one line, the URL (beside comments with #), not 0 lines"),
        (f"redis://:{SECRET}@a/0\nredis://:{SECRET}@b/0\n", "must hold one line"),
        (f"MEMKILL_REDIS=redis://:{SECRET}@a/0", "the URL alone, without a name and = before it"),
        (f"redis://:{SECRET}@a/x", "the URL in it must be a URL whose database"),
        (f"redis://{SECRET}@a/0", "the URL in it must be redis://:PASSWORD@HOST"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}", "must hold text in UTF-8"),
        ("#" * 70_000, "must hold one line"),
    ],
)
def test_a_file_that_holds_no_url_is_refused_without_what_it_holds(
    written: Written, text: str, told: str
) -> None:
    path = written.path.with_name("url")
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    (problem,) = written.problems(f"[memkill:jobs]\nmax_rss = 1GB\nredis_file = {path}\n")
    assert problem.startswith(f"3: [memkill:jobs] redis_file = '{path}': ")
    assert told in problem and SECRET not in problem


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("secret", "must be an absolute path"),
        ("/nonesuch/url", "cannot be read: No such file or directory"),
        ("%(here)s", "must be a regular file"),
        ("%(here)s/fifo", "must be a regular file"),
        ("%(here)s/url\nredis = redis://host", "redis stands at "),
    ],
)
def test_a_file_that_cannot_be_it_is_told(written: Written, value: str, told: str) -> None:
    os.mkfifo(written.path.with_name("fifo"), 0o600)
    _secret_file(written.path.with_name("url"), "redis://host/0")
    (problem,) = written.problems(f"[memkill]\nredis_file = {value}\n")
    assert problem.startswith("2: [memkill] redis_file = ") and told in problem
