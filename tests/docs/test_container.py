"""The files of the page "In a container" are run as far as it can be done without Docker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.config.load import load
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.workers.registry import load_kind
from tests.docs.pages import DOCS, ROOT, blocks
from tests.docs.test_configuration import read_by_supervisord
from tests.harness import PATIENCE_SECONDS, require_mount, require_program, short_directory, wait_for

PAGE = DOCS / "in-a-container.rst"
DOCKERS_CAPABILITIES = (
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,"
    "+sys_chroot,+mknod,+audit_write,+setfcap"
)
"""What Docker leaves to the root of a container (moby: oci/caps/defaults.go)."""
NO_PASSWD_ENTRY = 1_000_550_000
"""A user as OpenShift chooses one."""
WORKER = "sh -c 'exec sleep 600' celery"
"""The stand-in for ``celery -A app worker``, which every user may run."""


def supervisord_conf() -> str:
    (text,) = [block for block in blocks(PAGE) if block.startswith("[supervisord]")]
    return text


def test_supervisord_conf_is_read_by_both(tmp_path: Path) -> None:
    path = tmp_path / "supervisord.conf"
    path.write_text(supervisord_conf().replace("user = app", "user = nobody"))
    (pool,) = load(read_file(path), {}, "here", load_kind).pools
    assert (pool.worker, pool.programs) == ("celery", ("jobs", "more_jobs"))
    assert {group.name for group in read_by_supervisord(path, tmp_path)} == {"jobs", "more_jobs", "memkill"}


def test_dockerfile_copies_what_the_page_has_and_makes_supervisord_the_first_process() -> None:
    (text,) = [block for block in blocks(PAGE) if block.startswith("FROM ")]
    lines = dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("COPY"))
    assert lines.keys() == {"FROM", "RUN", "STOPSIGNAL", "CMD"}
    (config,) = re.findall(r"^COPY supervisord.conf (\S+)$", text, re.MULTILINE)
    assert lines["CMD"] == f'["supervisord", "-c", "{config}"]'
    assert f"supervisor-memkill --config {config}" in supervisord_conf()
    assert "useradd --system app" in lines["RUN"]
    assert "user = app" in supervisord_conf()


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        path.chmod(0o755)
        yield path


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces and capabilities")
@pytest.mark.parametrize("uid", [0, NO_PASSWD_ENTRY])
def test_listener_works_in_a_container(directory: Path, uid: int) -> None:
    """As pid 1, with Docker's capabilities, a read-only root and a small /tmp; workers of another user."""
    require_mount()
    require_program("setpriv")
    text = supervisord_conf().replace("/dev/fd/2", "/tmp/memkill.log").replace("TICK_60", "TICK_5")
    text = text.replace("/etc/supervisord.conf", "/tmp/supervisord.conf")
    text = text.replace("celery -A app worker", WORKER)
    text = text.replace("directory = /srv/app", "directory = /").replace("user = app", "user = nobody")
    text = text.replace("worker = celery", "worker = plain\nmeasure = pss\nmin_uptime = 0")
    # Another user may not be able to enter the directories above these.
    python = Path(sys.executable).resolve()
    bound = {python.parents[1]: "/mnt", Path(psutil.__file__).parents[1]: "/media", ROOT: "/srv"}
    inner_python = f"/mnt/bin/{python.name}"
    text = text.replace("supervisor-memkill --config", f"{inner_python} -m supervisor_memkill --config")
    if uid:
        text = re.sub(r"^user = .*\n", "", text, flags=re.MULTILINE)
    (directory / "supervisord.conf").write_text(text)
    inside = [
        f"mount --bind {directory} /mnt",
        "mount -t tmpfs -o size=16m,mode=1777 none /tmp",
        "cp /mnt/supervisord.conf /tmp",
        "umount /mnt",
        *(f"mount --bind {outside} {place}" for outside, place in bound.items()),
        "mount -o remount,bind,ro /",
        f"exec setpriv --reuid {uid} --regid {uid} --clear-groups --bounding-set {DOCKERS_CAPABILITIES}"
        " --inh-caps -all env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH=/mnt/lib PYTHONPATH=/srv:/media"
        f" PYTHONDONTWRITEBYTECODE=1 {inner_python} -m supervisor.supervisord -c /tmp/supervisord.conf",
    ]
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-ec", "\n".join(inside)]
    started = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        first = wait_for(lambda: _child_of(started.pid))
        log = Path(f"/proc/{first}/root/tmp/memkill.log")
        wait_for(lambda: "listener.started" in _sound(log))
        if uid == 0:
            wait_for(lambda: "pool.measure_unreadable" in _sound(log))
            assert log.read_text().count("pool.measure_unreadable") == 1
        wait_for(lambda: Path(f"/proc/{first}/root/tmp/supervisor.sock").exists())
        assert "journal.away" not in _sound(log)
        os.kill(first, signal.SIGTERM)  # as `docker stop`
        started.wait(timeout=PATIENCE_SECONDS)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def _child_of(pid: int) -> int:
    """The first process of the namespace: all others end with it."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(text[0]) if text else 0


def _sound(log: Path) -> str:
    """The text of the log, which may not exist yet. Fails the test for a traceback."""
    text = log.read_text() if log.exists() else ""
    assert "Traceback" not in text, text[:2000]
    return text
