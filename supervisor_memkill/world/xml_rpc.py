"""XML-RPC, as far as supervisord speaks it: a call as text, and the value in the text of an answer.

The standard library's xmlrpc.client loads http.client, email and ssl, which would be 2 MB of a listener for
as long as it lives. Like there, expat parses. Dates and binary values are refused: supervisord sends none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.parsers import expat

Argument = str | bool | int


class Fault(Exception):
    """The answer is an error of the server's."""

    def __init__(self, code: object, text: object) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def call(method: str, arguments: Sequence[Argument]) -> bytes:
    """The text of a call."""
    values = "".join(f"<param><value>{_element(one)}</value></param>\n" for one in arguments)
    name = f"<methodName>{_escaped(method)}</methodName>"
    text = f"<?xml version='1.0'?>\n<methodCall>\n{name}\n<params>\n{values}</params>\n</methodCall>\n"
    return text.encode()


def _element(argument: Argument) -> str:
    if isinstance(argument, bool):
        return f"<boolean>{argument:d}</boolean>"
    if isinstance(argument, int):
        return f"<int>{argument}</int>"
    return f"<string>{_escaped(argument)}</string>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def value(answer: bytes) -> Any:
    """The value that the answer holds. Raises Fault; ValueError if it is no answer that is understood."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(answer, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an encoding that Python does not know
        raise ValueError(f"not XML: {error}") from error
    return reader.result()


def _truth(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"{text!r} is no boolean")
    return text == "1"


_SCALARS: Mapping[str, Callable[[str], object]] = {
    "string": str,
    "name": str,
    "boolean": _truth,
    "double": float,
    **dict.fromkeys(("int", "i1", "i2", "i4", "i8"), int),
}
_AROUND = frozenset(
    {"methodResponse", "params", "param", "value", "member", "data", "array", "struct", "fault"}
)


class _Reader:
    """Takes the elements in their order. It needs no recursion, however deep they are nested."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        """The values that are complete, and belong to no complete array or struct yet."""
        self._begins: list[int] = []
        """For each open array and struct: how many values there were before it."""
        self._text = ""
        self._is_bare = False
        """The last tag opened a value: its text is a string, unless another tag follows."""
        self._is_fault = False

    def start(self, name: str, attributes: object) -> None:
        if name in ("array", "struct"):
            self._begins.append(len(self._values))
        self._text, self._is_bare = "", name == "value"

    def text(self, text: str) -> None:
        self._text += text

    def end(self, name: str) -> None:
        if name in _SCALARS:
            self._values.append(_SCALARS[name](self._text))
        elif self._is_bare:  # No other tag began since, so this one is </value>.
            self._values.append(self._text)
        elif name == "array":
            self._values.append(self._inner())
        elif name == "struct":
            inner = self._inner()
            if not all(isinstance(key, str) for key in inner[::2]):
                raise ValueError("a member without a name")
            self._values.append(dict(zip(inner[::2], inner[1::2], strict=True)))
        elif name == "fault":
            self._is_fault = True
        elif name == "nil":
            self._values.append(None)
        elif name not in _AROUND:
            raise ValueError(f"<{name}> is not understood")
        self._is_bare = False

    def _inner(self) -> list[Any]:
        begin = self._begins.pop()
        inner = self._values[begin:]
        del self._values[begin:]
        return inner

    def result(self) -> Any:
        """The one value of the answer. Raises Fault, ValueError."""
        if len(self._values) != 1:
            raise ValueError(f"{len(self._values)} values, not one")
        found = self._values[0]
        if self._is_fault:
            if not isinstance(found, dict) or found.keys() != {"faultCode", "faultString"}:
                raise ValueError("a fault without its code and its text")
            raise Fault(found["faultCode"], found["faultString"])
        return found
