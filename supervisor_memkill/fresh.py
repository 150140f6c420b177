"""Names that nobody else has or can guess."""

from __future__ import annotations

import os


def fresh_token(size_bytes: int) -> str:
    """Random hexadecimal digits, as secrets.token_hex gives them, without what that module loads."""
    return os.urandom(size_bytes).hex()
