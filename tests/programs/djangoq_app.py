"""Django-Q2's jobs: with arguments this is Django's manage.py, without it enqueues jobs steadily."""

from __future__ import annotations

import functools
import os
import sys

import job_body
from django.conf import settings

settings.configure(
    SECRET_KEY="of the tests",
    INSTALLED_APPS=["django_q"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    Q_CLUSTER={
        "name": "jobs",
        "workers": 2,
        "queue_limit": 2,
        "redis": os.environ["APP_REDIS_URL"],
        "save_limit": -1,  # no database is there
        "scheduler": False,
        "timeout": 300,
        "retry": 360,
    },
)

if __name__ == "__main__":
    if sys.argv[1:]:
        from django.core.management import execute_from_command_line

        job_body.bloat_later()
        execute_from_command_line(sys.argv)
    else:
        import django

        django.setup()
        from django_q.tasks import async_task  # its models need what Django sets up

        job_body.feed(functools.partial(async_task, job_body.run))
