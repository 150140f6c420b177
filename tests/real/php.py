"""The PHP frameworks of this machine and of the later suites of Debian, as the tests start them."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import PROGRAMS, missing, words_for_root
from tests.real.debian import version_of
from tests.real.frameworks import running_fleet
from tests.real_redis import RealRedis

OWN = "own"
"""The suite of this machine: its packages need no folder."""
SUITES = (OWN, "trixie", "sid")
LARAVEL = PROGRAMS / "php" / "laravel"
CONSOLE = PROGRAMS / "php" / "messenger" / "console"
GOOD: Mapping[str, object] = {"stopwaitsecs": 70}


@dataclass(frozen=True)
class Framework:
    """One PHP framework: Debian's package, and how its worker and its feed are started."""

    kind: str
    package: str
    library: str
    """A file that the package installs."""
    work: Sequence[object]
    feed: Sequence[object]

    def words(self, suite: str) -> list[str]:
        """What runs PHP of this suite; skips the test if it is not there."""
        if suite != OWN:
            return [*words_for_root(suite), "php"]
        if not (shutil.which("php") and Path(self.library).exists()):
            missing(f"{self.package} is not installed")
        return ["php"]

    def command(self, suite: str, *more: str) -> str:
        return shlex.join(map(str, [*self.words(suite), *self.work, *more]))

    def fleet(self, redis_server: RealRedis, suite: str, *more: str, **options: Any) -> Any:
        """Two workers, with `more` words on their command line; `options`: see FrameworkFleet."""
        options.setdefault("worker", GOOD)
        options.setdefault("commands", dict.fromkeys(["one", "two"], self.command(suite, *more)))
        feed = shlex.join(map(str, [*self.words(suite), *self.feed]))
        return running_fleet(redis_server, kind=self.kind, feed=feed, **options)

    def version(self, suite: str) -> str:
        return version_of(self.package, suite if suite != OWN else None)


LARAVEL_WORKER = Framework(
    kind="laravel",
    package="php-laravel-framework",
    library="/usr/share/php/Illuminate/Queue/Worker.php",
    work=[LARAVEL / "artisan", "queue:work", "--sleep=0.2", "--memory=2048"],
    feed=[LARAVEL / "feed.php"],
)
MESSENGER_WORKER = Framework(
    kind="messenger",
    package="php-symfony-messenger",
    library="/usr/share/php/Symfony/Component/Messenger/Worker.php",
    work=[CONSOLE, "messenger:consume", "async", "--sleep=0.2"],
    feed=[CONSOLE, "feed"],
)
