"""XML-RPC as the standard library has it: what one of the two writes, the other reads."""

from __future__ import annotations

import contextlib
import xmlrpc.client
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.world import xml_rpc
from tests.fuzz.effort import tries

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cn"), include_characters="\n\t\r"))
NUMBERS = st.integers(-(2**31), 2**31 - 1)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def value_of(answer: bytes, members: Collection[str] | None = None, part_bytes: int = 1000) -> Any:
    """The value of an answer that comes in parts."""
    reader = xml_rpc.Answer(members)
    for begin in range(0, len(answer), part_bytes):
        reader.take(answer[begin : begin + part_bytes])
    return reader.value()


def theirs(answer: bytes) -> Any:
    (value,), _ = xmlrpc.client.loads(answer)
    return value


@tries(150)
@given(VALUES, st.integers(1, 200))
def test_answer_has_the_value_that_the_standard_library_reads(value: Any, part_bytes: int) -> None:
    """Wherever the answer is cut into parts, also within a character."""
    answer = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()
    assert value_of(answer, part_bytes=part_bytes) == theirs(answer)


def test_only_the_named_members_of_structs_are_kept() -> None:
    entries = [{"name": f"a{number}", "group": "a", "logfile": "/tmp/log"} for number in range(3)]
    answer = xmlrpc.client.dumps((entries,), methodresponse=True).encode()
    kept = value_of(answer, {"name", "group", "else"})
    assert kept == [{"name": f"a{number}", "group": "a"} for number in range(3)]


def test_fault_is_kept_whole() -> None:
    answer = xmlrpc.client.dumps(xmlrpc.client.Fault(70, "NOT_RUNNING: a:b")).encode()
    with pytest.raises(xml_rpc.Fault, match="70: NOT_RUNNING: a:b"):
        value_of(answer, {"name"})


def test_equal_texts_and_numbers_of_an_answer_take_memory_once() -> None:
    """Thousands of processes have few groups, and were started at few times."""
    entries = [{"group": "jobs", "start": 10**9, "is_on": True, "one": 1} for _ in range(2)]
    one, other = value_of(xmlrpc.client.dumps((entries,), methodresponse=True).encode())
    assert one["group"] is other["group"] and one["start"] is other["start"]
    assert one["is_on"] is True and one["one"] is not True


def answer_of(value: Any) -> bytes:
    return xmlrpc.client.dumps((value,), methodresponse=True).encode()


def test_something_is_made_of_each_entry_of_a_long_answer_at_once() -> None:
    made: list[str] = []

    def make(entry: Mapping[str, Any]) -> str:
        made.append(entry["name"])
        return f"<{entry['name']}>"

    text = answer_of([{"name": "a", "inner": [{"name": "no entry"}]}, 5, {"name": "b"}])
    reader = xml_rpc.Answer(None, make)
    middle = text.index(b">5<")
    reader.take(text[:middle])
    assert made == ["a"]
    reader.take(text[middle:])
    assert reader.value() == ["<a>", 5, "<b>"] and made == ["a", "b"]


@pytest.mark.parametrize("value", [{"name": "a"}, {"all": [{"name": "a"}]}, "text"])
def test_nothing_is_made_of_another_answer(value: Any) -> None:
    reader = xml_rpc.Answer(None, lambda entry: "made")
    reader.take(answer_of(value))
    assert reader.value() == value


def test_nothing_is_made_of_a_fault() -> None:
    reader = xml_rpc.Answer(None, lambda entry: "made")
    reader.take(xmlrpc.client.dumps(xmlrpc.client.Fault(70, "NOT_RUNNING")).encode())
    with pytest.raises(xml_rpc.Fault, match="70: NOT_RUNNING"):
        reader.value()


@tries(150)
@given(st.lists(TEXTS | NUMBERS | st.booleans(), max_size=4))
def test_standard_library_reads_each_call(arguments: list[str | int | bool]) -> None:
    read, method = xmlrpc.client.loads(xml_rpc.call("supervisor.someMethod", arguments).decode())
    written = xmlrpc.client.dumps(tuple(arguments), "supervisor.someMethod")
    assert (read, method) == xmlrpc.client.loads(written)
    assert list(map(type, read)) == list(map(type, arguments))


@pytest.mark.parametrize(
    "value",
    [
        "<value>bare</value>",
        "<value> </value>",
        "<value/>",
        "<value>&lt;</value>",
        "<value><array><data><value>bare</value><value/></data></array></value>",
        "<value><struct><member><name>a</name><value>bare</value></member></struct></value>",
    ],
)
def test_value_without_a_type_is_a_string(value: str) -> None:
    answer = f"<methodResponse><params><param>{value}</param></params></methodResponse>".encode()
    assert value_of(answer) == theirs(answer)


def test_fault_has_its_code_and_text() -> None:
    with pytest.raises(xml_rpc.Fault) as raised:
        value_of(xmlrpc.client.dumps(xmlrpc.client.Fault(70, "NOT_RUNNING: a:b")).encode())
    assert (raised.value.code, raised.value.text) == (70, "NOT_RUNNING: a:b")


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<value><int>1</int></value><value><int>2</int></value>",
        "<value><int></int></value>",
        "<value><boolean>yes</boolean></value>",
        "<value><base64>AAAA</base64></value>",
        "<value><array><data><value><base64>AAAA</base64></value></data></array></value>",
        "<value><struct><member><name>a</name></member></struct></value>",
        "<value><struct><member><value>1</value></member></struct></value>",
        "<value><struct><member><array/><value>1</value></member></struct></value>",
        "<fault><value><int>1</int></value></fault>",
        "<fault><value><struct/></value></fault>",
        "</value>",
    ],
)
def test_what_is_not_understood_is_no_value(inner: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        value_of(f"<methodResponse>{inner}</methodResponse>".encode())


def test_depth_is_no_problem() -> None:
    depth = 100_000
    opening, closing = "<value><array><data>", "</data></array></value>"
    found = value_of(f"<methodResponse>{opening * depth}{closing * depth}</methodResponse>".encode())
    levels = 0
    while found:
        (found,), levels = found, levels + 1
    assert levels == depth - 1


@tries(150)
@example(b"<?xml version='1.0' encoding='none'?><a/>")
@given(st.binary(max_size=80))
def test_any_bytes_are_a_value_or_none(answer: bytes) -> None:
    with contextlib.suppress(ValueError, xml_rpc.Fault):
        value_of(answer)


def test_control_characters_do_not_hide_the_rest_of_an_answer() -> None:
    """supervisord sends those of a log as they are, such as the colours of a worker's output."""
    text = "".join(map(chr, range(32))) + "\x1b[31mrot ü\x1b[0m"
    answer = xmlrpc.client.dumps((text,), methodresponse=True).encode()
    shown = "".join(one if one in "\t\n" or one >= " " else "?" for one in text.replace("\r", "\n"))
    for part_bytes in (1, 7, 1000):
        assert value_of(answer, part_bytes=part_bytes) == shown
