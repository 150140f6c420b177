"""The web page of a real listener, and what a real browser makes of it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from supervisor_memkill.commands.web.access import Access
from supervisor_memkill.commands.web.page import REFRESH_SECONDS, page
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests.command_line import environment
from tests.commands.web.document import Document
from tests.commands.web.seen_values import seen_fleet
from tests.commands.web.test_server import Server
from tests.harness import PATIENCE_SECONDS, free_port
from tests.real.chromium import Chromium, chromium
from tests.real.conftest import StartPool
from tests.real.fleet import FAT, SLIM, running_fleet
from tests.real.pool import GATE, LISTENER, LeakyPool
from tests.real.test_requests import run
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


def fetched(port: int) -> Document:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_SECONDS) as answer:
        return Document(answer.read().decode())


class Page:
    """The command, and the page that it serves."""

    def __init__(self, *words: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisor_memkill", "serve", "--listen", str(self.port), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment({}),
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert f"http://127.0.0.1:{self.port}/ " in first, first

    def read(self) -> Document:
        return fetched(self.port)

    @property
    def text(self) -> str:
        return self.read().text


@contextlib.contextmanager
def served(*words: str) -> Iterator[Page]:
    shown = Page(*words)
    try:
        yield shown
        shown.process.send_signal(signal.SIGTERM)
        said, _ = shown.process.communicate(timeout=PATIENCE_SECONDS)
        assert said == "", "nothing went wrong"
        assert shown.process.returncode == 0
    finally:
        shown.process.kill()
        shown.process.communicate()


def of(pool: LeakyPool) -> tuple[str, ...]:
    return ("--config", f"{pool.directory}/memkill.conf", "--serverurl", pool.supervisord.url)


def test_page_follows_a_real_drain_and_says_when_nobody_works(start_pool: StartPool) -> None:
    """The same values as ``status --json`` and ``history --json`` at that moment."""
    pool = start_pool(pool=GATE)
    run(pool, "restart", pool.workers[0])
    pool.wait_for_drain(State.DRAINING)
    with served(*of(pool)) as shown:
        pool.wait_for(lambda: "last TICK" in shown.text)
        status = json.loads(run(pool, "status", "--json").stdout)
        (line,) = status["pools"]
        text = shown.text
        assert (
            f"listener alive (pid {status['listener']['pid']})" in text and "configuration in force" in text
        )
        assert f"drains: {pool.workers[0]}: draining for" in text and "reason restart" in text
        assert f"{line['in_service']} of {line['workers_in_all']} in service" in text
        assert "no drain since" in text.lower()
        assert {svg["role"] for svg in shown.read().named("svg") if "role" in svg} == {"img"}

        pool.gate(0)
        pool.wait_for_event("drain.done")
        pool.wait_for(lambda: "1 drain since" in shown.text)
        (record,) = json.loads(run(pool, "history", "--json").stdout)["records"]
        assert f"{record['worker']} {record['pool']} restart" in shown.text

        pool.supervisord.ctl("stop", LISTENER)
        pool.supervisord.wait_for_state(LISTENER, ProcessState.STOPPED)
        pool.wait_for(lambda: "listener NOT RUNNING" in shown.text)
        assert f"start it: supervisorctl start {LISTENER}" in shown.text
        pool.write_memkill("custom", {"max_rss": "lots"}, {})
        pool.wait_for(lambda: "no listener would start with the configuration on disk" in shown.text)
        pool.supervisord.stop(seconds=5)
        pool.wait_for(lambda: "listener not seen" in shown.text)
        assert "1 drain since" in shown.text, "the history is there without supervisord"


def test_page_shows_a_fleet_and_says_when_redis_is_away(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, {"a": [FAT, SLIM], "b": [SLIM, SLIM]}) as fleet:
        fleet.start("a")
        fleet.keep_busy()
        fleet.start("b")
        fleet.wait_for_drain("a", State.DRAINING)
        words = ("--config", str(fleet["a"].config), "--serverurl", fleet["a"].supervisord.url)
        with served(*words) as shown:
            fleet.wait_for(lambda: "b/supervisor" in shown.text)
            text = shown.text
            assert "Pools on all hosts" in text and "slot: a/supervisor/a_0:a_0, held for" in text
            assert "History of all hosts" in text
            fleet.release()
            redis_server.stop()
            fleet.wait_for(lambda: "■ What is wrong Redis" in shown.text)
            assert "listener alive" in shown.text and "Traceback" not in shown.text


def test_page_under_supervisord_is_that_of_this_supervisord(start_pool: StartPool) -> None:
    """As the example has it: a program that asks the supervisord that started it."""
    port = free_port()
    command = f"{sys.executable} -m supervisor_memkill serve --listen {port}"
    pool = start_pool()
    section = f"[program:memkill-web]\ncommand = {command}\nstdout_logfile = %(here)s/web.log\n"
    pool.supervisord.write_config(f"{pool.sections()}\n{section}redirect_stderr = true\n")
    pool.supervisord.ctl("update")
    pool.supervisord.wait_for_state("memkill-web:memkill-web", ProcessState.RUNNING)
    pool.wait_for(lambda: f":{port}/" in pool.supervisord.log("web.log"))

    def text() -> str:
        return fetched(port).text

    pool.wait_for(lambda: pool.workers[0] in text())
    assert "listener alive" in text()


# --- a real browser ---------------------------------------------------------------------------------


@pytest.fixture
def browser() -> Iterator[Chromium]:
    with chromium() as one:
        yield one


OPEN = Access()


class Looks:
    """A server whose page differs at each look; no page is kept."""

    def __init__(self, refresh_seconds: int = REFRESH_SECONDS, access: Access = OPEN) -> None:
        self.looks = 0
        self._refresh_seconds = refresh_seconds
        self.server = Server(self._make, access, clock=itertools.count(0, 100).__next__)
        self.url = f"http://127.0.0.1:{self.server.port}/"

    def _make(self) -> str:
        self.looks += 1
        text = page(dataclasses.replace(seen_fleet(), problems=(f"look {self.looks} of many",)))
        return text.replace(f'content="{REFRESH_SECONDS}"', f'content="{self._refresh_seconds}"')


@pytest.fixture
def looks() -> Iterator[Looks]:
    one = Looks()
    yield one
    one.server.close()


def number(dom: str) -> int:
    (found,) = re.findall(r"look (\d+) of many", dom)
    return int(found)


def test_browser_shows_the_page_without_asking_anybody_else(browser: Chromium, looks: Looks) -> None:
    """With and without a script; its policy breaks nothing of the page."""
    for script in (True, False):
        browser.open(looks.url, script=script)
        dom = browser.dom()
        assert browser.asked == [looks.url] and browser.complaints == []
        assert dom.count('role="rowheader"') > 10 and "sidekiq:sidekiq_0" in dom


def test_script_swaps_the_page_and_what_was_opened_stays_open(browser: Chromium, looks: Looks) -> None:
    browser.open(looks.url)
    first = number(browser.dom())
    browser.value("window.mark = 1; document.querySelector('details').open = true")
    browser.let_pass(REFRESH_SECONDS + 1)
    assert number(browser.dom()) > first
    assert browser.value("window.mark") == 1, "it is the same document"
    assert browser.value("document.querySelector('details').open") is True
    assert browser.value("document.getElementById('lost').hidden") is True
    assert set(browser.asked) == {looks.url} and browser.complaints == []


def test_script_says_when_the_page_is_old(browser: Chromium, looks: Looks) -> None:
    browser.open(looks.url)
    shown = number(browser.dom())
    looks.server.close()
    browser.let_pass(REFRESH_SECONDS + 1)
    assert number(browser.dom()) == shown
    assert browser.value("document.getElementById('lost').hidden") is False
    assert "what stands below is old" in browser.value("document.getElementById('lost').textContent")


def test_script_gets_the_page_behind_a_password(browser: Chromium) -> None:
    """The browser sends the password again that a person typed, or that stood in the address."""
    looks = Looks(access=Access("open sesame"))
    try:
        browser.open(looks.url.replace("//", "//me:open%20sesame@"))
        first = number(browser.dom())
        browser.let_pass(REFRESH_SECONDS + 1)
        assert number(browser.dom()) > first
    finally:
        looks.server.close()


def test_page_loads_itself_anew_without_a_script(browser: Chromium) -> None:
    looks = Looks(refresh_seconds=1)
    try:
        browser.open(looks.url, script=False)
        browser.wait_for_event("Page.loadEventFired")
        assert looks.looks >= 2
    finally:
        looks.server.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_its_width_and_its_words_can_be_read(
    browser: Chromium, looks: Looks, width: int, dark: bool
) -> None:
    """Nothing is wider than the window, and each text has the contrast that WCAG demands (4.5)."""
    browser.open(looks.url, width=width, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(POOR_CONTRAST) == []


POOR_CONTRAST = """
(() => {
  const parts = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let one = element; one !== null; one = one.parentElement) {
      const colour = parts(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const element of document.querySelectorAll("main *")) {
    const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || element.closest("svg")) continue;
    const [a, b] = [parts(getComputedStyle(element).color), behind(element)].map(light).sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.add(`${element.className} ${element.textContent}`);
  }
  return [...poor];
})()
"""
