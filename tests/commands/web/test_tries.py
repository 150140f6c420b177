"""Guessing the password is slow, takes no memory, and is in nobody else's way."""

from __future__ import annotations

import base64
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.commands.web.access import Access
from supervisor_memkill.commands.web.once import MadeOnce
from supervisor_memkill.commands.web.site import Answer, Made, Site
from supervisor_memkill.commands.web.tries import AT_ONCE, COOKIE, MAX_ADDRESSES, SECONDS_EACH, Tries
from tests.fuzz.effort import tries

PASSWORD = "open sesame"
GUESSER, OTHER = "192.0.2.1", "192.0.2.2"


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'me:{password}'.encode()).decode()}"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """A site with a password, and a hand on its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.log = list[str]()
        self.tries = Tries(self.clock)
        pages = MadeOnce(lambda: Made.of("the page"), self.clock)
        self.site = Site(pages, Access(PASSWORD), self.log.append, self.tries)

    def ask(self, password: str | None, client: str = GUESSER, cookie: str | None = None) -> Answer:
        authorization = None if password is None else basic(password)
        return self.site.answer("GET", "/", {"Authorization": authorization, "Cookie": cookie}, client)

    def guess(self, times: int, client: str = GUESSER, cookie: str | None = None) -> int:
        """How many of so many wrong passwords were compared."""
        answers = [self.ask(f"guess {number}", client, cookie) for number in range(times)]
        assert {one.status for one in answers} <= {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}
        return sum(one.status is HTTPStatus.UNAUTHORIZED for one in answers)


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_guesses_are_few_at_once_and_then_one_in_a_while(asked: Asked) -> None:
    assert asked.guess(100) == AT_ONCE
    assert asked.guess(100) == 0
    asked.clock.now += 100 * SECONDS_EACH
    assert asked.guess(100) == AT_ONCE, "no more than that is ever saved up"
    compared = 0
    for _ in range(300):
        asked.clock.now += 1.0
        compared += asked.guess(2)
    assert compared == pytest.approx(300 / SECONDS_EACH, abs=1)


def test_right_passwords_are_not_held_while_a_page_is_being_made() -> None:
    """Behind a proxy all browsers have one address, and may come at the same moment."""
    clock, waiting, statuses = Clock(), iter(range(2 * AT_ONCE)), set[HTTPStatus]()
    headers = {"Authorization": basic(PASSWORD), "Cookie": None}

    def make() -> Made:
        if next(waiting, None) is not None:
            ask()
        return Made.of("the page")

    def ask() -> None:
        site = Site(MadeOnce(make, clock), Access(PASSWORD), list[str]().append, tries_of_all)
        statuses.add(site.answer("GET", "/", headers, GUESSER).status)

    tries_of_all = Tries(clock)
    ask()
    assert statuses == {HTTPStatus.OK}


def test_refused_guess_is_not_compared_and_says_when_to_come_again(asked: Asked) -> None:
    """Otherwise the answer would show which guess is right, and no guess would cost time."""
    asked.guess(AT_ONCE)
    answer = asked.ask(PASSWORD)
    assert answer.status is HTTPStatus.TOO_MANY_REQUESTS
    asked.clock.now += int(answer.headers["Retry-After"])
    assert asked.ask(PASSWORD).status is HTTPStatus.OK


def test_guesses_of_one_address_hold_no_other(asked: Asked) -> None:
    asked.guess(100)
    assert asked.ask(PASSWORD, OTHER).status is HTTPStatus.OK


def test_browser_that_showed_the_page_is_never_held_whoever_guesses_at_its_address(asked: Asked) -> None:
    """Behind a proxy all have one address."""
    cookie = asked.ask(PASSWORD).headers["Set-Cookie"].partition(";")[0]
    asked.guess(100)
    answer = asked.ask(PASSWORD, cookie=f"a=b; {cookie}; c")
    assert answer.status is HTTPStatus.OK
    assert "Set-Cookie" not in answer.headers
    assert asked.ask("wrong", cookie=cookie).status is HTTPStatus.UNAUTHORIZED, "the cookie is no password"
    assert asked.ask(None, cookie=cookie).status is HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("cookie", ["", COOKIE, f"{COOKIE}=", f"{COOKIE}=x", "\udcff", f"{COOKIE}=\udcff"])
def test_made_up_cookie_helps_nobody(asked: Asked, cookie: str) -> None:
    assert asked.guess(100, cookie=cookie) == AT_ONCE


def test_cookie_of_another_server_helps_nobody(asked: Asked) -> None:
    assert not asked.tries.knows(Tries().cookie)
    assert asked.tries.knows(asked.tries.cookie)
    assert not asked.tries.knows(asked.tries.cookie.replace(COOKIE, "another"))


def test_right_passwords_cost_nothing(asked: Asked) -> None:
    """A page without a script that is loaded anew for ever, and a program that keeps no cookie."""
    assert {asked.ask(PASSWORD).status for _ in range(1000)} == {HTTPStatus.OK}
    assert asked.guess(100) == AT_ONCE


def test_whoever_knows_the_password_takes_no_memory(asked: Asked) -> None:
    asked.ask(PASSWORD)
    assert not asked.tries._debts
    asked.tries.was_right(OTHER)  # Its entry was dropped for others while its password was compared.
    assert not asked.tries._debts


def test_question_without_a_password_is_no_guess(asked: Asked) -> None:
    assert {asked.ask(None).status for _ in range(1000)} == {HTTPStatus.UNAUTHORIZED}
    assert asked.ask(PASSWORD).status is HTTPStatus.OK


def test_page_without_a_password_sets_no_cookie() -> None:
    site = Site(MadeOnce(lambda: Made.of("the page"), Clock()), Access(), lambda line: None)
    answer = site.answer("GET", "/", {"Authorization": basic("guess")}, GUESSER)
    assert (answer.status, dict(answer.headers)) == (HTTPStatus.OK, {})


def test_addresses_that_one_host_has_at_will_count_as_one(asked: Asked) -> None:
    assert sum(asked.guess(1, f"2001:db8::{number:x}") for number in range(100)) == AT_ONCE
    assert asked.guess(1, "2001:db8:0:1::1") == 1
    assert asked.guess(100, "::ffff:192.0.2.1") == AT_ONCE
    assert asked.guess(100, "192.0.2.1") == 0


def test_memory_is_bounded_and_the_address_that_tried_least_recently_is_forgotten(asked: Asked) -> None:
    asked.guess(AT_ONCE // 2)
    others = [f"10.0.{number // 256}.{number % 256}" for number in range(MAX_ADDRESSES)]
    for other in others[:-1]:
        asked.tries.begin(other)
    asked.guess(AT_ONCE // 2)
    assert asked.guess(20, others[-1]) == AT_ONCE
    assert len(asked.tries._debts) == MAX_ADDRESSES
    assert asked.guess(20) == 0
    assert asked.guess(20, others[0]) == AT_ONCE, "it was forgotten"


def test_log_names_the_address_and_no_password(asked: Asked) -> None:
    asked.guess(AT_ONCE + 1)
    assert set(asked.log) == {
        f"wrong password from {GUESSER}",
        f"too many wrong passwords from {GUESSER}: its tries are refused for a while",
    }


@tries(200)
@given(st.text(max_size=60), st.text(max_size=60))
def test_no_address_and_no_cookie_breaks_it(address: str, cookie: str) -> None:
    made = Tries()
    assert made.begin(address) == 0.0
    made.was_right(address)
    assert not made.knows(cookie)
