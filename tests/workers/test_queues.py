"""Workers that are told apart by their command line alone: which of them stand in for each other."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.testing.fakes import FakeProcesses, process, read_one, tools
from supervisor_memkill.workers.contract import Target
from supervisor_memkill.workers.queues import arguments_and_options, of_each, words_after
from supervisor_memkill.workers.registry import load_kind

SETTINGS: dict[str, dict[str, Any]] = {
    "arq": {"job_completion_wait": 600.0, "health_check_key": None},
    "messenger": {"stream": None, "consumer_group": "symfony"},
}


def queues(kind: str, title: str, **values: object) -> frozenset[str]:
    """What the kind reads of a worker with this command line."""
    processes = FakeProcesses({100: title})
    processes.caught[100] = -1
    made = load_kind(kind)({"command_has": None, **SETTINGS.get(kind, {}), **values}, tools())
    reading = read_one(made, Target(process()), processes.table)
    assert reading.recognised, reading.why
    return reading.queues


@pytest.mark.parametrize(
    ("kind", "title", "wanted"),
    [
        ("laravel", "php artisan queue:work", {"the queue of the connection"}),
        ("laravel", "php artisan queue:work --queue=high,low --tries=3", {"high", "low"}),
        ("laravel", "php artisan queue:work --sleep 3 --queue high", {"high"}),
        ("laravel", "php artisan queue:work redis", {"redis: the queue of the connection"}),
        ("laravel", "php artisan -v queue:work --tries 3 redis --queue=high", {"redis: high"}),
        ("laravel", "php artisan queue:work --queue=high --queue=low,", {"low"}),
        ("laravel", "php artisan queue:work redis --queue=", {"redis: the queue of the connection"}),
        ("messenger", "php bin/console messenger:consume async failed -vv", {"async", "failed"}),
        ("messenger", "php bin/console messenger:consume -l 10 --time-limit=60 async", {"async"}),
        ("messenger", "php bin/console messenger:consume-messages async", {"async"}),
        ("messenger", "php bin/console messenger:consume", {"the only receiver"}),
        (
            "messenger",
            "php bin/console messenger:consume async --queues a --queues=b",
            {"async: a", "async: b"},
        ),
        ("messenger", "php bin/console messenger:consume --all", {"all receivers"}),
        (
            "messenger",
            "php bin/console messenger:consume --all --exclude-receivers=failed",
            {"all receivers without failed"},
        ),
        ("dramatiq", "python -m dramatiq app.tasks -Q mail default -p 2", {"mail", "default"}),
        ("dramatiq", "/srv/bin/dramatiq -p 2 app --queues=mail", {"mail"}),
        ("dramatiq", "uv run dramatiq app.b app.a", {"all queues of app.a app.b"}),
        ("dramatiq", "python manage.py rundramatiq --queues mail", {"mail"}),
        ("taskiq", "/srv/bin/taskiq worker --workers 2 app:broker app.tasks -fsd", {"app:broker"}),
        ("arq", "/srv/bin/python /srv/bin/arq --watch src app.Mail", {"app.Mail"}),
        ("arq", "uv run arq app.Mail", {"app.Mail"}),
    ],
)
def test_queues_are_those_of_the_command_line(kind: str, title: str, wanted: set[str]) -> None:
    assert queues(kind, title) == wanted


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("laravel", "php artisan queue:work redis --queue=high"),
        ("messenger", "php bin/console messenger:consume async"),
        ("dramatiq", "dramatiq app -Q mail"),
        ("taskiq", "taskiq worker app:broker"),
        ("arq", "arq app.Mail"),
    ],
)
def test_a_pool_whose_workers_are_all_alike_says_so(kind: str, title: str) -> None:
    assert queues(kind, title, queues="any") == frozenset()
    assert queues(kind, title, queues="same")


def test_a_program_that_the_operator_names_is_read_likewise() -> None:
    assert queues("laravel", "php think queue:work --queue mail", command_has="think queue:work") == {"mail"}
    assert queues("taskiq", "python run.py", command_has="run.py") == frozenset()
    assert queues("arq", "python run.py", command_has="run.py") == frozenset()


def test_arguments_are_neither_options_nor_their_values() -> None:
    words = "one --flag --value x -n 5 two --joined=y --value=z --many a b --flag three"
    found = arguments_and_options(words.split(), {"--value", "-n", "--joined"}, {"--many"})
    assert found == (
        ["one", "two", "three"],
        {"--value": ["x", "z"], "-n": ["5"], "--joined": ["y"], "--many": ["a", "b"]},
    )
    assert arguments_and_options(["--many=a", "b"], (), {"--many"}) == ([], {"--many": ["a", "b"]})
    assert arguments_and_options(["--value"], {"--value"}) == ([], {})


def test_what_runs_the_program_is_passed_over() -> None:
    assert words_after("nice -n 5 /opt/dramatiq/bin/python -m dramatiq app", "dramatiq") == ["app"]
    assert words_after("python run.py", "dramatiq") == []


def test_empty_names_are_no_queues() -> None:
    assert of_each("", ["a", ""]) == {"a"}
