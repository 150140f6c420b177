"""Errors of Redis and of its clients in words for an operator, with what to write where the error shows it.

No text of this module has a password: redis-py's text about sentinels shows whole clients, and an older Redis
repeats the arguments of a command that it does not know, AUTH among them.
"""

from __future__ import annotations

import re
from typing import Any

from supervisor_memkill.world.redis_commands import RedisClient
from supervisor_memkill.world.redis_url import Reach, RedisUrl
from supervisor_memkill.world.redis_wire import ReplyError

_NO_SENTINEL = (
    "no sentinel answers, or none knows the master that the redis+sentinel:// URL names"
    " (sentinels with a password need ?sentinel_password=..., sentinels with TLS rediss+sentinel://)"
)
_MOVED = "this Redis is a node of a cluster (MOVED): write redis+cluster:// in place of redis://"
_SCRIPT = re.compile(
    r"(ERR )?Error running script \(call to f_[0-9a-f]+\): (@user_script:\s*\d+: )*-?"
    r"|\.? script: [0-9a-f]+, on @user_script:\d+\.?$"
)
"""Where in a script the error came up: before Redis 7 and from Redis 7 on."""
_ARGUMENTS = re.compile(r",? with args beginning with.*", re.DOTALL)

_OF_ANOTHER_SERVER = re.compile(
    "against a read only (replica|slave)|NOREPLICAS|Link with MASTER is down|previous master is now a slave"
)
_NO_HOST = re.compile(r"Error (-2|-3|-5|8) connecting")
"""The resolver knows no such name: its words differ (glibc, musl, BSD)."""
_NO_CONNECTION = re.compile(r"Error \S+ connecting|Timeout connecting")

_USER = "if this Redis has a password but no users, leave out the user name: redis://:PASSWORD@HOST"
_MASTER = "if this is the name of a sentinel's master, write redis+sentinel://HOST:PORT/MASTER/DB"
_PLAIN = "if this port is without TLS, write redis:// in place of rediss://"
_TLS = "if this port is with TLS, write rediss:// in place of redis://"

_HINTS = (
    (r"unknown command .SENTINEL", "this is no sentinel: write redis:// in place of redis+sentinel://"),
    (
        r"unknown command",
        "if this is a sentinel, write redis+sentinel://HOST:PORT/MASTER/DB; else this Redis, or a proxy in"
        " front of it, lacks the command, or rename-command disabled it: fleet.rst of the documentation names"
        " the commands that are needed",
    ),
    (
        r"not allowed from script",
        "this Redis restricts scripts, as ElastiCache Serverless does: fleet.rst of the documentation says"
        " which Redis can be used",
    ),
    (
        r"protected mode",
        "this Redis has no password, and takes connections from its own machine alone: set a password for it,"
        " and write redis://:PASSWORD@HOST",
    ),
    (
        r"NOREPLICAS",
        "this Redis takes data only while enough replicas are connected (min-replicas-to-write): start them;"
        " after a failover they return by themselves",
    ),
    (r"Cluster mode is not enabled|cluster support disabled", "write redis:// in place of redis+cluster://"),
    # A script is long, and is refused with other words before the password came.
    (
        r"Authentication required|unauthenticated (multi)?bulk",
        "the URL needs its password: redis://:PASSWORD@HOST",
    ),
    (
        r"without any password configured|AUTH, but no password is set",
        "this Redis has no password: remove it from the URL",
    ),
    (r"(Hostname|IP address) mismatch|doesn't match", "?ssl_check_hostname=no checks the certificate alone"),
    (
        r"self.signed|unable to get (local )?issuer",
        "name the certificate of its authority with ?ssl_ca_certs=/PATH, or write ?ssl_cert_reqs=none",
    ),
    (
        r"key usage extension|Missing Authority Key Identifier|Missing Subject Key Identifier",
        "Python 3.13 and later refuse such a certificate: make it anew with the extension that is named, or"
        " run the listener with an older Python",
    ),
    (
        r"certificate required",
        "this Redis asks for a certificate: name it with ?ssl_certfile=/PATH&ssl_keyfile=/PATH",
    ),
    (r"it sent '\\x15", _TLS),  # an alert, which TLS sends for what is no TLS
    (r"WRONG_VERSION_NUMBER|wrong version number|record layer failure", _PLAIN),
    (
        r"against a read only (replica|slave)",
        "this Redis is a replica, as after a failover: name its master, or the sentinels that know it"
        " (redis+sentinel://HOST:PORT/MASTER/DB)",
    ),
    (r"used memory > .maxmemory", "this Redis is full: raise its maxmemory, or remove data"),
    (
        r"MISCONF",
        "this Redis cannot write its data to the disk, and takes no data before it can: see its log",
    ),
    (r"number of clients reached", "raise maxclients of this Redis, or end clients that need no connection"),
    (
        r"no permissions to (run|access)|has no permissions",
        "fleet.rst of the documentation has the permissions that this user needs",
    ),
    (
        r"unix.*Permission denied|Error 13 .*Permission denied",
        "this user may not use the socket",
    ),
)
"""What the text contains, and what to do."""


def words(error: Exception, client: Any) -> str:
    """The error for an operator; `client` is the one that raised it, None if there is none."""
    text = _SCRIPT.sub("", _ARGUMENTS.sub("", str(error))) or type(error).__name__
    if type(error).__name__ == "MasterNotFoundError":
        return _NO_SENTINEL
    if text.startswith("MISCONF"):
        text = "MISCONF"  # The rest is three sentences for programmers.
    if "protected mode" in text:
        text = "DENIED, because it is in protected mode"  # Likewise, nine sentences.
    if type(error).__name__ in ("MovedError", "AskError") or text.startswith(("MOVED ", "ASK ")):
        return _MOVED
    hint = _hint(text, client)
    return f"{text.rstrip('. ')}; {hint}" if hint else text


def is_of_another_server(error: Exception) -> bool:
    """What answered is no master, or none with its replicas: after a failover, another server may be one."""
    return type(error).__name__ == "ReadOnlyError" or _OF_ANOTHER_SERVER.search(str(error)) is not None


_CODES = {
    "NoPermissionError": "NOPERM",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "ClusterDownError": "CLUSTERDOWN",
}
"""redis-py cuts off the first word of errors that have a class of their own."""


def refusal_code(error: Exception) -> str | None:
    """The first word of a refusal, such as NOPERM; None: this is no refusal."""
    if isinstance(error, ReplyError):
        return error.code
    classes = type(error).__mro__
    if not any(one.__name__ == "ResponseError" for one in classes):
        return None
    return _CODES.get(type(error).__name__) or str(error).partition(" ")[0]


def _hint(text: str, client: Any) -> str:
    pool = getattr(client, "connection_pool", None)
    target = _target_of(client, pool)
    if "invalid username-password pair" in text and target.options.get("username"):
        return _USER
    if target.is_tls and "Timeout connecting" in text:
        return _PLAIN
    if client is not None and not target.is_tls and "reset by peer" in text:
        return _TLS
    if _NO_HOST.search(text) and target.nodes and "." not in target.nodes[0][0]:
        return _MASTER
    if _NO_CONNECTION.search(text) and (named := getattr(pool, "master_address", None)):
        return (
            f"the sentinels name {named[0]}:{named[1]} as the master's address: it must be reachable from"
            " here (sentinel announce-ip, replica-announce-ip)"
        )
    return next((hint for pattern, hint in _HINTS if re.search(pattern, text)), "")


def _target_of(client: Any, pool: Any) -> RedisUrl:
    """What the client was made of, as far as it shows that."""
    if isinstance(client, RedisClient):
        return client.target
    options = getattr(pool, "connection_kwargs", {})
    is_tls = "SSL" in getattr(getattr(pool, "connection_class", None), "__name__", "")
    return RedisUrl(Reach.SENTINELS, is_tls, options=options)
