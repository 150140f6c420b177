"""What the kinds for PHP share."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VERSIONS = ("7.0", "7.1", "7.2", "7.3", "7.4", "8.0", "8.1", "8.2", "8.3", "8.4", "8.5", "8.6")
_SHORT = tuple(version.replace(".", "") for version in _VERSIONS)
PHP = frozenset(
    {
        *("php", "php-cli", "lsphp"),
        *(f"php{version}" for version in (*_VERSIONS, *_SHORT)),
        *(f"ea-php{version}" for version in _SHORT),
    }
)
"""The names of PHP's interpreter: Debian has php8.4, Alpine php84, LiteSpeed lsphp, cPanel ea-php84."""

REJECTED: Mapping[str, str] = {
    "frankenphp php-cli": "start the worker with php instead: under FrankenPHP's php-cli it crashes or "
    "hangs at the stop signal, and its job is cut",
}
"""FrankenPHP 1.12 (php/frankenphp 2479, 1902): reports of its users, not tried."""
_ARTISAN_OPTIONS = re.compile(r"(?<![^\s/])(artisan)(?:\s+(?:--env\s+[\w-]+|-\S+))+(?=\s+\w)")


def without_artisan_options(title: str) -> str:
    """The command line without the options between ``artisan`` and its command, such as ``-v``."""
    return _ARTISAN_OPTIONS.sub(r"\1", title)
