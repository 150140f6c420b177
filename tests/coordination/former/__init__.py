"""A listener of the version before requests to a fleet: its scripts as they were, and what it sent them.

A clean clone without its history has them here. They stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from supervisor_memkill.coordination.redis import RedisCoordinator

SCRIPTS = Path(__file__).parent
SENT = {
    "publish": {"process", "min_available", "max_draining", "workers", "holdings"},
    "acquire": {
        *("dry", "min_available", "max_draining", "cooldown", "id", "token", "queues", "urgency"),
        *("hard", "already_out"),
    },
    "release": {"id", "token", "drained", "ago"},
}
"""What it sent each script, beside what every call sends."""


class FormerCoordinator(RedisCoordinator):
    """Runs the former scripts, and sends them what the former version sent."""

    def _run(self, script: str, pool: str, **values: Any) -> dict[str, Any]:
        return super()._run(
            script, pool, **{name: value for name, value in values.items() if name in SENT[script]}
        )

    def _script(self, redis: Any, name: str) -> Any:
        if name not in self._scripts:
            text = "\n".join((SCRIPTS / f"{part}.lua").read_text() for part in ("common", name))
            self._scripts[name] = redis.register_script(text)
        return self._scripts[name]
