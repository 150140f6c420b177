"""No problem and no printed configuration shows a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.config.load import load
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.workers.registry import load_kind
from tests.config.written import SECRET, Written


@pytest.mark.parametrize(
    "text",
    [
        f"[memkill]\nredis = redis://:{SECRET}@host:x/0\n",
        f"[memkill]\nredis = redis://:{SECRET}\n",
        f"[memkill]\nredis = :{SECRET}@host\n",
        f"[memkill]\nredis = redis://u:{SECRET}%(ENV_X)s@host\n",
        f"[memkill]\nredis = http://host/?password={SECRET}\n",
        f"[memkill]\nredsi = redis://:{SECRET}@host/0\n",
        f"[memkill]\nredis_password = {SECRET}\n",
        f"[memkill:jobs]\nmax_rss = redis://:{SECRET}@host/0\n",
        f"[memkill:jobs]\nmax_rss = 1GB\nredis = redis://:{SECRET}@host/x\n",
        f"[memkill:jobs]\nmax_rss = 1GB\necho = redis://:{SECRET}@host\n",
        f"[memkill:jobs]\nmax_rss = 1GB\nbusy = redis-cli -u redis://:{SECRET}@host get x\n",
    ],
)
def test_no_problem_shows_a_password(written: Written, text: str) -> None:
    assert SECRET not in "\n".join(written.problems(text))


def test_no_configuration_shows_a_password_when_it_is_printed(written: Written) -> None:
    config = written.load(f"[memkill]\nredis = redis://:{SECRET}@h/0\n[memkill:jobs]\nmax_rss = 1GB\n")
    assert config.pools[0].redis
    assert SECRET not in repr(config)


def test_the_password_of_celerys_broker_is_not_in_the_repr(tmp_path: Path) -> None:
    path = tmp_path / "memkill.conf"
    path.write_text(f"[memkill:a]\nmax_rss = 1GB\nworker = celery\nbroker = amqp://u:{SECRET}@mq//\n")
    config = load(read_file(path), {}, "this-host", load_kind)
    assert SECRET in config.pools[0].kind_values["broker"][0] and SECRET not in repr(config)
