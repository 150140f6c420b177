"""The node name that Celery makes of a command line."""

from __future__ import annotations

import pytest

from supervisor_memkill.workers.celery.nodes import name_in

HOST = "web1.example.org"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("/v/bin/python /v/bin/celery -A app worker", f"celery@{HOST}"),
        ("/v/bin/python -m celery -A app worker -c 4", f"celery@{HOST}"),
        ("celery -A app worker -n one@%h", f"one@{HOST}"),
        ("celery -A app worker --hostname=one@%h -Q x", f"one@{HOST}"),
        ("celery -A app worker --hostname one@%n.%d", f"one@{HOST}"),
        ("celery -A app worker -n mail", "celery@mail"),
        ("celery -A app worker -n %n-1@%h", f"web1-1@{HOST}"),
        ("celery -A app worker -n one%I@%h", f"one@{HOST}"),
        ("celery -A app worker -n @%h", f"celery@{HOST}"),
        ("celery -A app worker -n one@%x", None),
        (f"[celeryd: one@{HOST}:MainProcess] -active- (-A app worker)", f"one@{HOST}"),
        ("/v/bin/python /v/bin/airflow celery worker -q bulk", f"celery@{HOST}"),
        ("/v/bin/python /v/bin/airflow celery worker -H bulk", "celery@bulk"),
        ("airflow celery worker --celery-hostname one@%h", f"one@{HOST}"),
        ("sentry run worker -n one", None),
        (f"[celeryd: celery@{HOST}:MainProcess] -active- (run worker)", f"celery@{HOST}"),
        ("/v/bin/python /v/bin/celery -A app beat", None),
        ("/v/bin/python work.py", None),
        ("", None),
    ],
)
def test_a_command_line_leads_to_the_name_that_celery_makes_of_it(title: str, name: str | None) -> None:
    assert name_in(title, HOST) == name
