"""Celery's ``broker_transport_options``: what in it renames keys, and the time limits that are ours."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from supervisor_memkill.world.redis_client import TIMEOUT_SECONDS

CLIENT_NAME = "supervisor-memkill"

REDIS_LIMITS: Mapping[str, Any] = {
    "socket_timeout": TIMEOUT_SECONDS,
    "socket_connect_timeout": TIMEOUT_SECONDS,
    "client_name": CLIENT_NAME,
}
"""For kombu/transport/redis.py, which waits without limit by default."""
AMQP_LIMITS: Mapping[str, Any] = {
    "read_timeout": TIMEOUT_SECONDS,
    "write_timeout": TIMEOUT_SECONDS,
    "client_properties": {"connection_name": CLIENT_NAME},
}
"""For amqp/connection.py, which waits without limit by default."""
SENTINEL_OPTIONS: Mapping[str, Any] = {"sentinel_fanout_compat": True}
"""Behind sentinels, kombu below 5.4 has another name for the exchange. From 5.7 on it speaks to both."""

_RENAMING: Mapping[str, type | tuple[type, ...]] = {
    "global_keyprefix": str,
    "fanout_prefix": (bool, str),
    "fanout_patterns": bool,
    "sep": str,
}
_SENTINEL: Mapping[str, type | tuple[type, ...]] = {"master_name": str, "sentinel_kwargs": dict}
_WITHOUT_EFFECT = frozenset(
    {
        *("visibility_timeout", "socket_timeout", "socket_connect_timeout", "socket_keepalive"),
        *("socket_keepalive_options", "queue_order_strategy", "max_connections", "health_check_interval"),
        *("retry_on_timeout", "priority_steps", "client_name", "ack_emulation", "unacked_key"),
        *("unacked_index_key", "unacked_mutex_key", "unacked_mutex_expire", "unacked_restore_limit"),
        *("unacked_restore_interval", "unacked_restore_throttle", "min_other_sentinels"),
        *("sentinel_fanout_compat", "confirm_publish", "max_retries", "interval_start", "interval_step"),
        *("interval_max", "polling_interval", "brpop_timeout", "queue_name_prefix", "login_method"),
        *("read_timeout", "write_timeout", "client_properties", "confirm_timeout", "body_encoding"),
    }
)
"""They rename nothing that the remote control uses (kombu 5.3 to 5.7)."""


def parse_options(text: str) -> Mapping[str, Any]:
    """The options that have an effect here. Raises ValueError, whose text contains no value."""
    found = _parse_dict(text)
    known = {**_RENAMING, **_SENTINEL}
    for key, value in found.items():
        if key not in known and key not in _WITHOUT_EFFECT:
            near = difflib.get_close_matches(str(key), [*known, *_WITHOUT_EFFECT], n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"an object without {str(key)[:40]!r}, which is not known here{meant}")
        if key in known and not isinstance(value, known[key]):
            raise ValueError(f"an object with another type of value for {key}")
    return {key: value for key, value in found.items() if key in known}


def _parse_dict(text: str) -> Mapping[Any, Any]:
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, dict):
            return found
    raise ValueError('an object as in JSON or Python, such as {"global_keyprefix": "app:"}')


def parse_exchange(text: str) -> str:
    """The name of an exchange. Raises ValueError."""
    if re.search(r"\s", text.strip()):
        raise ValueError("a name without white space")
    return text.strip()


def renaming(given: Mapping[str, Any], key_namespace: str) -> Mapping[str, Any]:
    """The options that give keys another name; `key_namespace` is the pool's."""
    found = {key: value for key, value in given.items() if key in _RENAMING}
    return {**({"global_keyprefix": key_namespace} if key_namespace else {}), **found}
