"""Real Symfony Messenger workers under a real supervisord: replaced while they work."""

from __future__ import annotations

import pytest

from tests.real.frameworks import replace_each_twice
from tests.real.php import GOOD, MESSENGER_WORKER, OWN, SUITES
from tests.real.stop_then_wait import assert_refused_before_harm
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
NAMED = {**GOOD, "environment": 'MESSENGER_CONSUMER_NAME="%(program_name)s"'}


@pytest.mark.parametrize("suite", SUITES)
def test_each_message_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By 5.4, 6.4 and 7.4, on the Redis transport with a consumer name for each worker."""
    with MESSENGER_WORKER.fleet(redis_server, suite, worker=NAMED, pool={"stream": "messages"}) as fleet:
        replace_each_twice(fleet)
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row("Messenger, Redis", MESSENGER_WORKER.version(suite)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stopsignal": "INT"}, "stopsignal=INT must be TERM"),
        ({"stopsignal": "USR1"}, "stopsignal=USR1 must be TERM"),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 is below drain_timeout=1m00s"),
        (
            {"environment": ""},
            "2 workers have only 1 consumer name in the group symfony of the stream messages",
        ),
    ],
    ids=["INT", "USR1", "stopwaitsecs", "consumer"],
)
def test_settings_that_would_cut_or_repeat_messages_are_refused_before_harm(
    redis_server: RealRedis, changes: dict[str, object], said: str
) -> None:
    options = {"worker": {**NAMED, **changes}, "bloat_seconds": 0.1}
    with MESSENGER_WORKER.fleet(redis_server, OWN, **options) as fleet:
        assert_refused_before_harm(fleet, said)
