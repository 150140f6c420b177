"""What the kinds for PHP share."""

from __future__ import annotations

_VERSIONS = ("7.0", "7.1", "7.2", "7.3", "7.4", "8.0", "8.1", "8.2", "8.3", "8.4", "8.5", "8.6")
PHP = frozenset(
    {"php", *(f"php{version}" for version in _VERSIONS), *(f"php{one.replace('.', '')}" for one in _VERSIONS)}
)
"""The names of PHP's interpreter: Debian has php8.4, Alpine php84."""
