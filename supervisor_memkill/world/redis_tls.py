"""TLS: what a URL says of it, for our own client and for redis-py, and whether its files can be used."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_AUTHORITIES = {"ssl_ca_certs": "cafile", "ssl_ca_path": "capath", "ssl_ca_data": "cadata"}
"""The options that name the certificate of an authority, as ssl.SSLContext calls them."""
_VERIFY_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class FileError(ValueError):
    """What a URL must be in place of one whose TLS cannot be used; a phrase such as "a URL whose ..."."""


def new_context(given: Mapping[str, Any]) -> ssl.SSLContext:
    """How a connection is secured; `given`: the options of a URL that `check` took. Raises FileError."""
    context = ssl.create_default_context()
    mode = _VERIFY_MODES[given.get("ssl_cert_reqs", "required")]
    context.check_hostname = mode is not ssl.CERT_NONE and given.get("ssl_check_hostname", True)
    context.verify_mode = mode
    for key, argument in _AUTHORITIES.items():
        if key in given:
            try:
                context.load_verify_locations(**{argument: given[key]})
            except (OSError, ValueError) as error:
                raise FileError(f"a URL whose {key} can be used{_shown(key, given)}: {_why(error)}") from None
    _load_certificate(context, given)
    if "ssl_ciphers" in given:
        try:
            context.set_ciphers(given["ssl_ciphers"])
        except ssl.SSLError:
            raise FileError("a URL whose ssl_ciphers names a cipher of this OpenSSL") from None
    return context


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments for redis-py besides those of the URL."""
    # redis-py 6.0 to 6.3 checks host names also where no certificate is checked, which the ssl module refuses
    unchecked = {"ssl_check_hostname": False} if given.get("ssl_cert_reqs") == "none" else {}
    return {"ssl": True, **unchecked}


def check(given: Mapping[str, Any]) -> None:
    """Raises ValueError, in a phrase such as "a URL whose ssl_ca_certs ...", for what cannot be used."""
    if given.get("ssl_cert_reqs") == "none" and given.get("ssl_check_hostname"):
        raise ValueError("a URL without ssl_check_hostname=yes, or with ssl_cert_reqs=required")
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        raise ValueError("a URL with ssl_certfile, because it has ssl_keyfile")
    if "ssl_ca_path" in given and not Path(given["ssl_ca_path"]).is_dir():
        raise ValueError(f"a URL whose ssl_ca_path is a directory, not {given['ssl_ca_path']!r}")
    new_context(given)


def _load_certificate(context: ssl.SSLContext, given: Mapping[str, Any]) -> None:
    if "ssl_certfile" not in given:
        return
    # Without a password, OpenSSL would ask the terminal for that of an encrypted key. The listener's standard
    # input has the events of supervisord.
    password = given.get("ssl_password", "")
    try:
        context.load_cert_chain(given["ssl_certfile"], given.get("ssl_keyfile"), password)
    except (OSError, ValueError) as error:
        keys = " and ".join(key for key in ("ssl_certfile", "ssl_keyfile", "ssl_password") if key in given)
        shown = _shown("ssl_certfile", given) + _shown("ssl_keyfile", given)
        raise FileError(f"a URL whose {keys} can be used{shown}: {_why(error)}") from None


def _shown(key: str, given: Mapping[str, Any]) -> str:
    return f" ({given[key]})" if key in given and key != "ssl_ca_data" else ""


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM, or encrypted with another ssl_password"
    return getattr(error, "strerror", None) or str(error)


def check_cluster(given: Mapping[str, Any]) -> None:
    """Raises ValueError for an option of TLS that this redis-py would drop silently for a cluster."""
    import redis.cluster
    from redis import __version__
    from redis.connection import SSLConnection

    taken = set(redis.cluster.REDIS_ALLOWED_KEYS)
    checks_names = inspect.signature(SSLConnection.__init__).parameters["ssl_check_hostname"].default
    for key, value in {**given, **options(given)}.items():
        is_default = key == "ssl_check_hostname" and value == checks_names
        if key.startswith("ssl") and key not in taken and not is_default:
            option = key if key in given else "ssl_cert_reqs=none"
            raise ValueError(f"a URL without {option}: redis-py {__version__} cannot do that for a cluster")
