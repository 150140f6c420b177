"""The options on a command line, as supervisord's `command` and a process's title have them."""

from __future__ import annotations

import pytest

from supervisor_memkill.workers.command_line import (
    TimeOption,
    beginning,
    commands_in,
    is_shell_without_exec,
    option_number,
    option_text,
    why_wrapped,
)

SHELLS = [
    "bash -c",
    "/bin/sh -lc",
    "bash --login -c",
    "bash -eo pipefail -c",
    "bash -ceu",
    "bash -o errexit -c",
]
SIGNAL = ("-g", "--graceful-signal")


@pytest.mark.parametrize(
    "given",
    [
        "-g TERM",
        "-gTERM",
        "--graceful-signal TERM",
        "--graceful-signal=TERM",
        "--graceful TERM",
        '-g "TERM"',
        "-g 'TERM'",
        '--graceful-signal="TERM"',
        "--graceful-signal='TERM'",
        '"--graceful-signal=TERM"',
        "'--graceful-signal' 'TERM'",
        "-g INT --graceful-signal=TERM",
        "--graceful-signal=INT -g TERM",
    ],
)
def test_an_option_is_read_however_it_is_written(given: str) -> None:
    assert option_text(f"huey_consumer app.huey {given} -w 4", *SIGNAL) == "TERM"


@pytest.mark.parametrize("given", ["", "--graceful-signals", "--name=-g", "--gr TERM", "x-g TERM"])
def test_an_option_that_is_not_given_has_no_value(given: str) -> None:
    assert option_text(f"huey_consumer app.huey {given}", *SIGNAL) is None


def test_an_option_in_a_shell_script_ends_with_the_script() -> None:
    script = "sh -c 'exec php artisan queue:work --timeout=600'"
    assert option_number(script, "--timeout") == 600
    assert option_number("bash -c \"exec php artisan queue:work --timeout='600'\"", "--timeout") == 600


def test_a_duration_in_quotes_is_not_taken_for_the_default() -> None:
    """The default is 10 minutes: with it, a worker that cuts its jobs after a second would pass."""
    limit = TimeOption(("--worker-shutdown-timeout",), default=600_000, seconds_per_unit=0.001)
    command = 'dramatiq app --worker-shutdown-timeout="1000"'
    assert limit.seconds(command) == 1
    assert limit.setting(command) == "--worker-shutdown-timeout=1000 (milliseconds)"


@pytest.mark.parametrize(
    "title",
    [
        "celery -A app -b redis://:s3cret@10.0.0.1:6379/0 worker",
        "celery -A app --broker=amqp://me:s3c@ret@mq//vhost worker",
        "sh -c 'celery -b \"redis://:s3cret@a-host-with-a-very-long-name.example.org/0\" worker'",
    ],
)
def test_command_line_in_a_message_has_no_password(title: str) -> None:
    """The reason why a worker is not recognised reaches logs, messages and the web page."""
    assert "s3c" not in beginning(title) and "://***@" in beginning(title)
    assert "s3c" not in why_wrapped(f"sh -c {title}", "Celery")


def test_command_line_without_a_url_is_shown_as_it_is() -> None:
    title = "[celeryd: web@host:MainProcess] -active- (worker -A app)"
    assert beginning(title) == title
    assert beginning("x" * 100) == "x" * 60


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_known_whatever_its_options_before_the_script(shell: str) -> None:
    assert is_shell_without_exec(f"{shell} 'cd /srv/app && rq worker'")
    assert not is_shell_without_exec(f"{shell} 'cd /srv/app && exec rq worker'")
    assert not is_shell_without_exec("bash -e /srv/app/worker.sh")
    assert not is_shell_without_exec("bash -o pipefail /srv/app/worker.sh -c x")


@pytest.mark.parametrize(
    "title",
    [
        "python manage.py qcluster",
        "python -W ignore /srv/app/manage.py qcluster --cluster one",
        "/venv/bin/python /venv/bin/django-admin qcluster",
        "python -m django qcluster",
        "/venv/bin/python /venv/bin/shop qcluster",
        "/venv/bin/python /venv/bin/coverage run manage.py qcluster",
        "poetry run python manage.py qcluster",
        "sh -c cd /srv/app && python manage.py qcluster",
        "flask --app shop qcluster",
        "qcluster 7c1d one",
    ],
)
def test_a_command_is_found_however_it_is_started(title: str) -> None:
    assert "qcluster" in commands_in(title)


@pytest.mark.parametrize(
    "title",
    [
        "",
        "gunicorn --chdir /srv/qcluster shop.wsgi",
        "gunicorn --name qcluster shop.wsgi",
        "gunicorn -c /srv/qcluster/conf.py shop.wsgi",
        "celery -A shop worker -Q qcluster",
        "tail -F /var/log/qcluster",
        "python manage.py runserver qcluster",
    ],
)
def test_a_word_in_another_place_is_no_command(title: str) -> None:
    assert "qcluster" not in commands_in(title)
