"""Which command line is whose, for ``worker = auto`` and for the proposals of a dry run. On fakes."""

from __future__ import annotations

import pytest

from supervisor_memkill.testing.fakes import FakeProcesses
from supervisor_memkill.workers.recognise import kinds_of, known_kinds

LARAVEL = "php8.4 /srv/app/artisan queue:work --timeout=600"
DRAMATIQ = "/venv/bin/python /venv/bin/dramatiq app.tasks"
SHELL = "sh /srv/app/worker.sh"


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        (LARAVEL, "laravel"),
        ("php artisan queue:work redis --queue=high,low", "laravel"),
        ("php /srv/app/artisan horizon", "horizon"),
        ("php bin/console messenger:consume async -vv", "messenger"),
        ("sidekiq 7.3.2 shop [1 of 5 busy]", "sidekiq"),
        ("sidekiq 7.1.6 queues:default,mailers [0 of 20 busy]", "sidekiq"),
        ("/usr/bin/ruby3.1 /usr/local/bin/sidekiq -e production", "sidekiq"),
        ("bundle exec sidekiq", "sidekiq"),
        ("/venv/bin/python /venv/bin/celery -A app worker -n one@%h", "celery"),
        ("python -m celery -A app worker", "celery"),
        ("[celeryd: one@web1:MainProcess] -active- (-A app worker)", "celery"),
        ("/venv/bin/python /venv/bin/rq worker high default", "rq"),
        ("rq:worker:0a1b: Listening on high", "rq"),
        ("python manage.py rqworker default", "rq"),
        ("/usr/bin/python3 /usr/local/bin/bench worker --queue short", "rq"),
        ("python -m frappe.utils.bench_helper frappe worker --queue short", "rq"),
        (DRAMATIQ, "dramatiq"),
        ("python -m dramatiq app.tasks", "dramatiq"),
        ("/venv/bin/python /venv/bin/huey_consumer.py app.tasks.huey -w 4", "huey"),
        ("python manage.py run_huey", "huey"),
        ("/venv/bin/python /venv/bin/arq app.tasks.WorkerSettings", "arq"),
        ("/venv/bin/python /venv/bin/taskiq worker app.tasks:broker", "taskiq"),
        ("python manage.py qcluster", "djangoq"),
        ("bundle exec rake jobs:work", "delayed_job"),
        ("delayed_job.7", "delayed_job"),
        ("resque-2.0.0: Waiting for *", "resque"),
        ("php artisan --env=production -v queue:work redis", "laravel"),
        ("php artisan --env production queue:work", "laravel"),
        ("php artisan --no-ansi horizon", "horizon"),
        ("celery -q -A worker worker --loglevel info", "celery"),
        ("celery -l info --app app worker", "celery"),
        ("sh -c cd /srv/celery && celery -A app worker", "celery"),
        ("sh -c celery -A app beat & celery -A app worker; wait", "celery"),
        ("celery worker -A app -B", "celery"),
        ("airflow celery worker", "celery"),
        ("/venv/bin/python /venv/bin/flask rq worker high", "rq"),
        ("flask --app app rq worker", "rq"),
        ("python manage.py rq worker high", "rq"),
        ("/venv/bin/python /venv/bin/ckan -c /etc/ckan/ckan.ini jobs worker bulk", "rq"),
        ("python -m huey.bin.huey_consumer app.tasks.huey -w 4", "huey"),
        ("/usr/bin/ruby3.1 /usr/bin/bundle3.1 exec sidekiq -q mail", "sidekiq"),
        ("rake resque:work QUEUE=*", "resque"),
        ("python manage.py djangohuey --queue email", "huey"),
        ("flask run_huey", "huey"),
        ("flask --app shop run_huey", "huey"),
        ("/venv/bin/python /venv/bin/sentry run worker -c 4", "celery"),
        ("sentry --config /etc/sentry run worker -Q events.save_event", "celery"),
        ("[celeryd: celery@web1:MainProcess] -active- (run worker -c 4)", "celery"),
        ("[celeryd: celery@web1:MainProcess] -active- (celery worker -q bulk)", "celery"),
        ("python manage.py celery worker", "celery"),
        ("python -m rq.cli worker high", "rq"),
        ("/venv/bin/python /venv/bin/rqworker high", "rq"),
        ("python manage.py rqworker-pool high --num-workers 2", "rq"),
        ("/venv/bin/python /venv/bin/django-admin rqworker high", "rq"),
        ("python -m django rqworker high", "rq"),
        ("/venv/bin/python /venv/bin/coverage run manage.py rqworker high", "rq"),
        ("poetry run python manage.py rqworker high", "rq"),
        ("/venv/bin/python /venv/bin/ralph rqworker high", "rq"),
        ("python -m frappe.utils.bench_helper frappe worker-pool --num-workers 2", "rq"),
        ("/venv/bin/python /venv/bin/dramatiq-gevent --path . app.tasks", "dramatiq"),
        ("python manage.py rundramatiq --processes 2", "dramatiq"),
        ("/venv/bin/python /venv/bin/arq --watch src app.tasks.WorkerSettings", "arq"),
        ("python -m taskiq worker app.tasks:broker", "taskiq"),
        ("qcluster 2f6a one", "djangoq"),
        ("django-admin qcluster", "djangoq"),
        ("php bin/console messenger:consume-messages amqp", "messenger"),
        ("/usr/bin/ruby3.1 bin/delayed_job --pool=mail:1 run", "delayed_job"),
        ("shop/delayed_job.0", "delayed_job"),
        ("/usr/bin/ruby /usr/bin/rake jobs:work", "delayed_job"),
    ],
)
def test_a_worker_is_known_by_its_command_line(title: str, kind: str) -> None:
    assert kinds_of(100, FakeProcesses({100: title}).table, known_kinds()) == {kind}


@pytest.mark.parametrize(
    "title",
    [
        "",
        "nginx: master process /usr/sbin/nginx -g daemon off;",
        "php-fpm: master process (/etc/php/8.4/fpm/php-fpm.conf)",
        "/usr/sbin/cron -f",
        "redis-server 127.0.0.1:6379",
        "/venv/bin/python /venv/bin/celery -A app beat",
        "celery -A worker flower",
        "celery -A app beat -S worker",
        "celery -A app beat --logfile /var/log/celery worker",
        "celery --workdir worker -A app beat",
        "celery -b worker -A app flower --port 5555",
        "celery flower -A app worker",
        "celery multi start worker -A app",
        "celery -A app inspect -d worker active",
        "celery -A app control shutdown worker",
        "celery -A app purge -Q worker",
        "flask rq scheduler",
        "flask --app worker run",
        "ckan -c /etc/ckan/worker run --host worker",
        "python manage.py rq info worker",
        "ckan -c /etc/ckan/ckan.ini jobs list",
        "php artisan -v queue:listen",
        "php artisan -v horizon:work redis",
        "php artisan --env=production schedule:work",
        "frankenphp php-cli artisan queue:work",
        "/usr/local/bin/frankenphp php-cli /app/artisan horizon",
        "frankenphp php-cli bin/console messenger:consume async",
        "/venv/bin/python /venv/bin/rq-dashboard",
        "rqscheduler",
        "/venv/bin/taskiq scheduler app:scheduler",
        "python /srv/dramatiq/manage.py runserver",
        "nginx -c /srv/arq/nginx.conf",
        "gunicorn huey_shop.wsgi",
        "node /srv/sidekiq/web.js",
        "php artisan schedule:work",
        "php artisan queue:listen",
        "php artisan horizon:work redis",
        "sidekiqswarm, managing 4 processes",
        "/usr/bin/python3 /usr/bin/supervisord -n",
        "gunicorn --chdir /srv/rqworker shop.wsgi",
        "gunicorn --name rqworker shop.wsgi",
        "gunicorn --chdir /srv/run_huey shop.wsgi",
        "gunicorn -c /srv/qcluster/conf.py shop.wsgi",
        "tail -F /var/log/djangohuey",
        "python manage.py huey_monitor",
        "python manage.py rqcron",
        "python manage.py rqscheduler",
        "rq cron app.cron",
        "/venv/bin/python /venv/bin/sentry run cron",
        "/venv/bin/python /venv/bin/sentry run web",
        "sentry run taskworker",
        "sentry run consumer ingest-events --consumer-group worker",
        "sentry run worker --autoreload",
        "airflow celery flower",
        "airflow scheduler",
        "python -m celery.bin.worker",
        "arq --check app.tasks.WorkerSettings",
        "/venv/bin/python /venv/bin/saq app.settings",
        "flask worker",
        "rake resque:workers COUNT=4",
        "resque-pool-master[shop]: managing [101, 102]",
        "ruby /srv/bin/sidekiq-cluster *",
        "rake jobs:workoff",
        "delayed_jobs_pool",
        "php artisan rabbitmq:consume",
        "php bin/console messenger:stop-workers",
    ],
)
def test_what_looks_like_no_worker_is_of_no_kind(title: str) -> None:
    """A framework's name in a path or an argument makes nobody a worker."""
    assert kinds_of(100, FakeProcesses({100: title}).table, known_kinds()) == frozenset()


def test_behind_a_script_the_process_below_decides_and_behind_cron_none_does() -> None:
    behind_shell = FakeProcesses({100: SHELL, 101: LARAVEL}, {101: 100})
    assert kinds_of(100, behind_shell.table, known_kinds()) == {"laravel"}
    behind_cron = FakeProcesses({100: "/usr/sbin/cron -f", 101: LARAVEL}, {101: 100})
    assert kinds_of(100, behind_cron.table, known_kinds()) == frozenset()
