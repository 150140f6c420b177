"""A simulated Redis: it runs the shipped scripts in Lua, on the world's clock."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SHIM = Path(__file__).with_name("shim.lua")


@functools.cache
def _lua() -> Any:
    """One Lua for the process: LuaJIT if it is built in, else 5.1, which Redis uses."""
    try:
        module = importlib.import_module("lupa.luajit21")
    except ImportError:
        module = importlib.import_module("lupa.lua51")
    lua = module.LuaRuntime(unpack_returned_tuples=True, encoding="utf-8")
    lua.execute("if jit then jit.off() end")  # compiling such short scripts costs more than it gives
    return lua


@functools.cache
def _shim() -> Any:
    return _lua().execute(SHIM.read_text())


@functools.cache
def _compile(text: str) -> str:
    """The name of this script from now on."""
    name = f"script{len(text)}-{abs(hash(text))}"
    _shim().compile(name, text)
    return name


@functools.cache
def _keys(keys: tuple[str, ...]) -> Any:
    return _lua().table(*keys)


def redis_time(epoch: float) -> tuple[str, str]:
    """The answer to TIME: whole seconds, and microseconds."""
    seconds, micros = divmod(round(epoch * 1e6), 1_000_000)
    return str(seconds), str(micros)


class LuaRedis:
    """One Redis. A process has one at a time: a new one replaces it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives epoch seconds, for TIME."""
        self._clock = clock
        self._shim = _shim()
        self._shim.clear()

    def register_script(self, text: str) -> Callable[..., Any]:
        """Like redis-py's: returns a function that runs the script."""
        name = _compile(text)

        def run(keys: Sequence[str], args: Sequence[str] = ()) -> Any:
            self._shim.now(*redis_time(self._clock()))
            answer = self._shim.run(name, _keys(tuple(keys)), args[0] if args else None)
            return answer if isinstance(answer, str) else list(answer.values())

        return run

    def dump(self) -> Any:
        """All stored data, to be loaded again."""
        return self._shim.dump()

    def load(self, dumped: Any) -> None:
        self._shim.load(dumped)

    def flushall(self) -> None:
        self._shim.clear()

    def delete(self, key: str) -> None:
        self._shim.delete(key)

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        """Every key with its fields or members."""
        return {key: dict(values[2].items()) for key, values in self._shim.data().items()}
