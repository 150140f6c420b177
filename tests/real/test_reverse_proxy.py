"""The page behind a real nginx, with TLS and below a path, as the documentation shows it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_memkill.commands.web.access import Access
from supervisor_memkill.commands.web.page import REFRESH_SECONDS
from tests.commands.web.test_server import PASSWORD as PAGES_PASSWORD
from tests.harness import PATIENCE_SECONDS, short_directory
from tests.real.chromium import chromium
from tests.real.nginx import NAME, PASSWORD, nginx
from tests.real.test_serve import Looks, number

pytestmark = pytest.mark.real


@pytest.fixture
def here() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


def ask(
    address: str, path: str, certificate: Path, password: str = "", **headers: str
) -> tuple[http.client.HTTPResponse, str]:
    trusting = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection(address, timeout=PATIENCE_SECONDS, context=trusting)
    if password:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{NAME}:{password}'.encode()).decode()}"
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()


def test_page_below_a_path_behind_the_password_of_nginx(here: Path) -> None:
    """The page has no password, and learns that of nginx from nobody; no other path leads to it."""
    looks = Looks()
    try:
        with nginx(looks.server.port, here, has_password=True) as address:
            certificate = here / "cert.pem"
            assert ask(address, "/memkill/", certificate)[0].status == 401
            assert ask(address, "/memkill/", certificate, "wrong")[0].status == 401
            assert looks.looks == 0
            answer, text = ask(address, "/memkill/", certificate, PASSWORD)
            assert (answer.status, answer.getheader("Set-Cookie")) == (200, None)
            assert "sidekiq:sidekiq_0" in text
            assert ask(address, "/memkill", certificate, PASSWORD)[0].status == 301
            assert ask(address, "/memkill/x", certificate, PASSWORD)[0].status == 404
            with chromium() as browser:
                browser.trusts_any_certificate = True
                browser.open(f"https://{NAME}:{PASSWORD.replace(' ', '%20')}@{address}/memkill/")
                first = number(browser.dom())
                browser.let_pass(REFRESH_SECONDS + 1)
                assert number(browser.dom()) > first, "it refreshes itself below the path"
                assert {one.partition("@")[2] or one.partition("//")[2] for one in browser.asked} == {
                    f"{address}/memkill/"
                }
                assert browser.complaints == []
    finally:
        looks.server.close()


def test_guesses_through_nginx_do_not_hold_a_browser_that_showed_the_page(here: Path) -> None:
    """For the page all have the address of nginx."""
    looks = Looks(access=Access(PAGES_PASSWORD))
    try:
        with nginx(looks.server.port, here, has_password=False) as address:
            certificate = here / "cert.pem"
            answer, _ = ask(address, "/memkill/", certificate, PAGES_PASSWORD)
            cookie = answer.getheader("Set-Cookie", "").partition(";")[0]
            assert (answer.status, bool(cookie)) == (200, True)
            statuses = {ask(address, "/memkill/", certificate, "guess")[0].status for _ in range(40)}
            assert statuses == {401, 429}
            assert ask(address, "/memkill/", certificate, PAGES_PASSWORD)[0].status == 429
            assert ask(address, "/memkill/", certificate, PAGES_PASSWORD, Cookie=cookie)[0].status == 200
    finally:
        looks.server.close()
