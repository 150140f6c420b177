"""XML-RPC, as far as supervisord speaks it: a call as text, and the value in the text of an answer.

The standard library's xmlrpc.client loads http.client, email and ssl, which would be 2 MB of a listener for
as long as it lives. Like there, expat parses. Dates and binary values are refused: supervisord sends none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from xml.parsers import expat

Argument = str | bool | int

_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\t\n\r")
_WITHOUT_CONTROLS = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))
"""XML has no control characters, but supervisord sends those of a log or a setting as they are
(Supervisor/supervisor#1499). In UTF-8 none of these bytes is a part of another character."""


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


class Answer:
    """The text of one answer, part by part. Each method raises ValueError for what is not understood."""

    def __init__(
        self,
        members: Collection[str] | None = None,
        made: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> None:
        """`members`: of each struct only these members are kept, but all of a fault; None: all are kept.

        `made`: if the answer is an array of structs, what is made of each one as soon as it is complete. Its
        errors are passed on. None: a mapping.
        """
        self._reader = _Reader(members, made)
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._reader.start
        self._parser.EndElementHandler = self._reader.end
        self._parser.CharacterDataHandler = self._reader.text

    def take(self, part: bytes) -> None:
        """The next part of the text. A control character becomes a question mark."""
        self._parse(part.translate(_WITHOUT_CONTROLS), is_end=False)

    def value(self) -> Any:
        """The value that the answer holds, when all parts were taken. Raises Fault, too."""
        self._parse(b"", is_end=True)
        return self._reader.result()

    def _parse(self, part: bytes, *, is_end: bool) -> None:
        try:
            self._parser.Parse(part, is_end)
        except (expat.ExpatError, LookupError) as error:  # LookupError: an encoding that Python does not know
            raise ValueError(f"not XML: {error}") from error
        except (TypeError, ArithmeticError) as error:
            raise ValueError(f"not understood: {error}") from error


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

    def __init__(
        self, members: Collection[str] | None, made: Callable[[Mapping[str, Any]], object] | None
    ) -> None:
        """See `Answer`."""
        self._members = members
        self._made = made
        self._texts: dict[str, str] = {}
        self._numbers: dict[int, int] = {}
        """What is kept: structs of the same sort share their names and many values."""
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
        elif name == "fault":
            self._is_fault = True
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
            self._values.append(self._one_of_many(self._struct(self._inner())))
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

    def _struct(self, inner: Sequence[Any]) -> dict[str, Any]:
        names, values = inner[::2], inner[1::2]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("a member without a name")
        kept = frozenset(names) if self._members is None or self._is_fault else self._members
        members = zip(names, values, strict=True)
        return {self._shared(name): self._shared(value) for name, value in members if name in kept}

    def _one_of_many(self, struct: dict[str, Any]) -> object:
        """What is made of a struct, if it stands in an array that is the whole answer."""
        return struct if self._made is None or self._begins != [0] else self._made(struct)

    def _shared(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._texts.setdefault(value, value)
        return self._numbers.setdefault(value, value) if type(value) is int else value

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
