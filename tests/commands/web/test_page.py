"""The page: it shows the values of ``status`` and ``history``, loads nothing, and no name steers it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.commands.history_screen import total_lines
from supervisor_memkill.commands.status_of import status_of
from supervisor_memkill.commands.suspects_values import shown as suspects_shown
from supervisor_memkill.commands.terminal import clean
from supervisor_memkill.commands.web.html import Html, element, joined
from supervisor_memkill.commands.web.page import MAX_PROBLEMS, REFRESH_SECONDS, page, policy
from supervisor_memkill.commands.web.pools import MAX_POOLS, MOST_ROWS, ROWS
from supervisor_memkill.commands.web.read import Seen
from supervisor_memkill.listener.interval_file import Intervals
from supervisor_memkill.units import format_size
from tests.commands.observed import Made
from tests.commands.status_values import (
    DRAINED,
    EVIDENCE,
    NOW,
    OUTAGE,
    STARTING,
    USUAL,
    WAITING,
    found,
    listener,
    pool,
)
from tests.commands.test_status_screen import HOSTILE
from tests.commands.web.seen_values import AT, RECORDS, document, history, seen, seen_fleet
from tests.docs.pages import ROOT
from tests.fuzz.effort import tries
from tests.notices.record_values import drain, held

WEB = ROOT / "supervisor_memkill" / "commands" / "web"
MANY = 10_000


def test_text_is_escaped_once_and_html_stays() -> None:
    bold = element("b", "<&>")
    assert bold == "<b>&lt;&amp;&gt;</b>"
    assert (
        element("p", bold, "\x1b\u202e", class_='"')
        == '<p class="&quot;"><b>&lt;&amp;&gt;</b>\\x1b\\u202e</p>'
    )
    assert joined(["<", Html("<br>")]) == "&lt;<br>"
    assert element("rect", x=None, class_="a", aria_label="b") == '<rect class="a" aria-label="b" />'


def test_first_line_says_whether_the_listener_works() -> None:
    text = document().text
    assert re.search(r"^● listener alive \(pid \d+\) last TICK 23s ago configuration in force", body(text))
    assert "memkill:memkill, on web-1, version 0.1.0, up 3h02m" in text


def body(text: str) -> str:
    """Without the title."""
    return text.partition("supervisor-memkill ")[2]


def test_page_shows_what_goes_on_in_a_pool() -> None:
    text = document().text
    for words in (
        "paused 5m00s ago, 55m00s left, but for hard_max_rss",
        "restart requested 1m00s ago: 1 of 2 replaced, 23h59m left",
        "drains: sidekiq:sidekiq_0: draining for 5m12s (5m14s in all), 3 running jobs; reason max_rss",
        "waits: sidekiq:sidekiq_1: over its limit, but max_draining is reached (sidekiq:sidekiq_0)",
        "sidekiq, limit 2GB (hard 3GB); 2 of 4 in service, needs 1 other",
        "sidekiq:sidekiq_0 ▲ draining 5m12s 3 2.4GB of 2GB 119%",
        "sidekiq:sidekiq_2 ● in service 1 1.2GB of 2GB 59%",
        "sidekiq:sidekiq_3 ▲ STARTING - unknown -",
    ):
        assert words in text


def test_page_shows_the_command_before_the_stop_while_it_runs() -> None:
    status = status_of(found(listener(pool(EVIDENCE))), NOW)
    text = document(seen(status=status)).text
    assert "0 running jobs; before_stop has run for 12s; reason max_rss" in text
    assert "sidekiq:sidekiq_0 ▲ before_stop 12s 0 2.4GB of 2GB 119%" in text


def test_history_has_the_sums_of_the_command_and_a_row_for_each_record() -> None:
    text = document().text
    for line in total_lines(history()):
        assert line[1:] in text
    newest_first = [text.index(f" {one.worker} sidekiq ", text.index("Outcome")) for one in RECORDS]
    assert newest_first == sorted(newest_first, reverse=True)
    assert "max_rss 2.1GB → 286.1MB 1m24s quiet 1m12s, stopped 800ms ● done" in text
    assert "■ KILLED 2 jobs cut: Mail, Report; stopped because drain_timeout is over" in text
    assert "▲ held" in text and "over its limit, but other workers drain" in text


def test_fleet_shows_all_hosts_and_the_history_with_their_names() -> None:
    one = document(seen_fleet())
    assert "Pools on all hosts" in one.text
    assert "slot: web-1/supervisor/sidekiq:sidekiq_0, held for 5m12s, 48s left" in one.text
    assert "web-3/supervisor ■ SILENT 6m40s ago 0 of 1" in one.text
    assert "sidekiq:sidekiq_0 sidekiq on web-1 max_rss" in one.text
    assert "[memkill:sidekiq] silent listeners: web-3/supervisor" in one.text
    assert "3 of 5 on all hosts" in one.text
    ids = [attributes["id"] for _, attributes in one.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_links_lead_to_sections_that_the_page_has() -> None:
    for one in (document(), document(seen_fleet()), document(seen(history=None))):
        ids = {attributes.get("id") for _, attributes in one.elements}
        targets = [(link["href"] or "").removeprefix("#") for link in one.named("a")]
        assert targets and set(targets) <= ids


# --- when something is wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (found(listener(pid=2**22 + 1)), "■ listener NOT RUNNING last TICK 23s ago"),
        (found(listener(written_at=NOW - 1000)), "■ listener alive but silent"),
        (found(listener(away={"journal": OUTAGE})), "journal has not answered the listener for 3m20s"),
        (found(changes=("x was changed",)), "configuration not in force"),
        (found(changes=("x was changed",)), "▲ Worth knowing the configuration in force is older"),
        (found(listener(pool(failure="it fails"))), "could not be looked at: it fails"),
    ],
)
def test_what_is_wrong_is_said_in_words(made: object, words: str) -> None:
    assert words in document(seen(made)).text  # type: ignore[arg-type]


def test_without_a_status_the_page_says_why() -> None:
    one = document(Seen(AT, None, problems=("supervisord does not answer: no such file",)))
    assert "listener not seen ■ What is wrong supervisord does not answer: no such file" in one.text


def test_many_problems_are_counted() -> None:
    one = document(seen(problems=tuple(f"p{number}." for number in range(MAX_PROBLEMS + 5))))
    assert f"p{MAX_PROBLEMS - 1}." in one.text and f"p{MAX_PROBLEMS}." not in one.text
    assert "5 more; supervisor-memkill status" in one.text


def test_title_says_whether_all_is_well() -> None:
    assert "<title>all is well - web-1 - supervisor-memkill</title>" in page(seen())
    assert "<title>1 problem - web-1 - supervisor-memkill</title>" in page(seen(problems=("x",)))
    twice = seen(problems=("x", "x", "y"))
    assert twice.all_problems == ("x", "y")


def test_listener_that_has_not_looked_yet_is_no_empty_page() -> None:
    status = status_of(dataclasses.replace(found(), state=None, problem="no state yet"), NOW)
    assert "no state yet" in document(seen(status=status)).text
    status = dataclasses.replace(status_of(found(), NOW), pools=())
    assert "The listener has not looked at a pool yet." in document(seen(status=status)).text


# --- large fleets -----------------------------------------------------------------------------------


def test_pool_of_thousands_shows_those_that_matter_and_counts_the_others() -> None:
    usual = [dataclasses.replace(USUAL, worker=f"sidekiq:w_{number}") for number in range(MANY - 3)]
    made = found(listener(pool(*usual, STARTING, WAITING, DRAINED)))
    text = page(seen(made))
    assert len(text) < 600_000
    rows = re.findall(r'<th class="name" scope="row" role="rowheader">([^<]+)</th>', text)
    assert rows[:3] == [DRAINED.worker, WAITING.worker, STARTING.worker]
    assert len(rows) == MOST_ROWS
    shown = document(seen(made)).text
    assert f"{MOST_ROWS - 20} more workers" in shown
    assert f"{MANY - MOST_ROWS} workers are not shown; supervisor-memkill status sidekiq" in shown


def test_of_many_pools_each_shows_few_workers_and_busy_pools_come_first() -> None:
    idle = [pool(*[USUAL] * 50, name=f"idle_{number}") for number in range(MAX_POOLS + 20)]
    busy = pool(*[USUAL] * 50, WAITING, name="busy")
    text = page(seen(found(listener(*idle, busy)), history=None))
    assert text.count('role="rowheader"') == ROWS
    assert text.index(">busy<") < text.index(">idle_0<")
    assert f"{21} pools without a drain or a wait are not shown" in text


def test_long_history_shows_the_newest_and_counts_the_others() -> None:
    records = [drain(at=AT - number, worker=f"s:w_{number}") for number in range(3000)]
    one = document(seen(history=history(*records)))
    assert "s:w_0 " in one.text and "s:w_199 " in one.text and "s:w_200 " not in one.text
    assert "2800 records are not shown; supervisor-memkill history" in one.text


# --- it loads nothing, and nothing steers it --------------------------------------------------------


def test_page_names_no_address_that_a_browser_would_load() -> None:
    one = document(seen_fleet())
    for tag, attributes in one.elements:
        assert not {"src", "srcset", "action", "style", "background", "poster"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("href", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/svg+xml,")), (tag, value)
    style = (WEB / "page.css").read_text()
    assert re.findall(r"url\(([^)]*)\)|@import|@font-face", style) == ["#over"]


def test_policy_allows_the_style_and_the_script_of_the_page_alone() -> None:
    text = page(seen())
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in policy()
    assert policy().startswith("default-src 'none';") and "unsafe" not in policy()


def test_page_refreshes_itself_with_and_without_a_script() -> None:
    one = document()
    again = [meta["content"] for meta in one.named("meta") if meta.get("http-equiv") == "refresh"]
    assert again == [str(REFRESH_SECONDS)]
    assert f"const SECONDS = {REFRESH_SECONDS}," in (WEB / "page.js").read_text()


@tries(100)
@given(HOSTILE | st.sampled_from(["</script><script>", "<img src=x onerror=y>", "'\"><b>", "&lt;"]))
def test_hostile_names_and_words_stay_text(words: str) -> None:
    """The page has the same elements whatever the names are, and shows the names with escapes."""

    def made(text: str) -> Seen:
        workers = [dataclasses.replace(one, worker=text, verdict=text) for one in (DRAINED, WAITING)]
        record = drain(worker=text, pool=text, reason=text, host=text, cause=text, outcome=text)
        return seen(
            found(listener(pool(*workers, name=text, kind=text, failure=text), host=text)),
            history=history(record, held(worker=text, why=text)),
            fleet_history=history(record, is_fleet=True),
            problems=(f"{text}.",),
        )

    plain, hostile = document(made("usual")), document(made(f"-{words}"))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert [sorted(one) for _, one in hostile.elements] == [sorted(one) for _, one in plain.elements]
    assert escape(clean(words)) in page(made(f"-{words}"))
    page(made(f"-{words}")).encode()


# --- pictures and tables for those who do not see them ----------------------------------------------


def test_each_picture_says_what_it_shows() -> None:
    one = document()
    labels = [svg.get("aria-label") for svg in one.named("svg") if svg.get("aria-hidden") != "true"]
    assert labels[:2] == [
        "2.4GB of 2GB, 119% of the limit",
        "Memory at the last 20 looks: from 921.6MB to 2.4GB, at most 2.4GB",
    ]
    assert (
        all(labels) and "Memory in the 1h00m of the process: from 286.1MB to 2.1GB, at most 2.1GB" in labels
    )


def test_each_table_has_a_name_and_headings() -> None:
    one = document(seen_fleet())
    tables = one.named("table")
    assert len(tables) == 7 and all(table["aria-label"] for table in tables)
    assert all(head["scope"] in ("col", "row") for head in one.named("th"))


def test_over_the_limit_is_hatched_beyond_the_mark() -> None:
    text = page(seen())
    first = text[text.index('<svg class="bar"') :]
    first = first[: first.index("</svg>")]
    assert re.findall(r'class="([\w ]+)" x="([\d.]+)%" width="([\d.]+)%"', first) == [
        ("track", "0.0", "100.0"),
        ("fill bad", "0.0", "80.0"),
        ("above", "80.0", "16.0"),
    ]


def test_gap_in_the_samples_is_a_gap_in_the_curve() -> None:
    gapped = dataclasses.replace(USUAL, samples=(1, 2, None, 3, 4))
    text = page(seen(found(listener(pool(gapped))), history=None))
    assert text.count("<polyline") == 2
    for samples in ((), (None, None), (5,), (5, None)):
        one = dataclasses.replace(USUAL, samples=samples)
        assert "<polyline" not in page(seen(found(listener(pool(one))), history=None))


# --- suspects -----------------------------------------------------------------------------------------

LEAK = Made({"Report": 60.0}).observe()
QUIET = Made().observe(2, "quiet")


def test_suspects_stand_in_a_table_with_what_they_stand_on() -> None:
    made = suspects_shown([*LEAK, *QUIET], ["jobs", "quiet"])
    one = document(seen(suspects=made))
    (suspect,) = made.pools[0].suspects
    assert (
        "▲ these job classes most likely make the memory grow Job class Per minute Share of the growth"
        in one.text
    )
    assert f"Report {format_size(suspect.bytes_per_unit)} between " in one.text
    assert f"{suspect.share:.0%} {suspect.certainty:.0%}" in one.text
    assert "3 processes, 1h00m in all, 90 intervals; growth that stayed:" in one.text
    assert "quiet cannot tell: the memory of the workers does not grow" in one.text
    assert "#suspects" in [link["href"] for link in one.named("a")]


def test_pool_without_observations_is_a_note() -> None:
    made = suspects_shown(LEAK, ["jobs", "other"]).with_notes(Path("x"), Intervals())
    text = document(seen(suspects=made)).text
    assert "No running job of pool other is recorded:" in text
    many = suspects_shown([], [f"p{number}" for number in range(70)]).with_notes(Path("x"), Intervals())
    assert "20 more: supervisor-memkill suspects." in document(seen(suspects=many)).text


def test_hostile_names_of_jobs_stay_text() -> None:
    evil = "<b>Evil</b>\x1b[31m\u202e"
    observed = Made({evil: 60.0}, classes=(evil, "Mail", "Sync")).observe(3, evil)
    one = document(seen(suspects=suspects_shown([*observed, *QUIET], [])))
    assert one.named("b") == [] and one.text.count("<b>Evil</b>\\x1b[31m\\u202e") >= 2
