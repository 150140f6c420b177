"""How many examples each test runs: few and always the same, or many and always others."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

TIMES_MORE = 40
"""So many times more examples under ``MEMKILL_FUZZ=long``."""

settings.register_profile(
    "memkill-ci", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "memkill-long",
    derandomize=False,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)


def tries(examples: int) -> settings:
    """The settings of one test, by the environment variable MEMKILL_FUZZ: nothing, or ``long``."""
    if os.environ.get("MEMKILL_FUZZ") == "long":
        return settings(settings.get_profile("memkill-long"), max_examples=examples * TIMES_MORE)
    return settings(settings.get_profile("memkill-ci"), max_examples=examples)
