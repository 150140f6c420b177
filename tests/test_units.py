"""Sizes, durations and plain values: what is taken, what is refused, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.units import (
    Size,
    format_duration,
    format_size,
    parse_choice,
    parse_duration,
    parse_positive_duration,
    parse_size,
    parse_whole,
    parse_words,
    parse_yes_no,
    write_duration,
)

MB = 1024**2
GB = 1024**3


@pytest.mark.parametrize(
    ("text", "expected_bytes"),
    [
        ("200MB", 200 * MB),
        ("200mb", 200 * MB),
        (" 200 MB ", 200 * MB),
        ("1.5GB", 3 * GB // 2),
        ("2GiB", 2 * GB),
        ("500M", 500 * MB),
        ("1T", 1024 * GB),
        ("4k", 4096),
        ("1024", 1024),
        ("1024B", 1024),
    ],
)
def test_a_size_is_read_in_powers_of_1024(text: str, expected_bytes: int) -> None:
    assert parse_size(text) == Size(exact_bytes=expected_bytes)


@pytest.mark.parametrize(("text", "percent"), [("80%", 80), ("100 %", 100), ("0.5%", 0.5)])
def test_a_percentage_is_a_size_of_whatever_memory_there_is(text: str, percent: float) -> None:
    assert parse_size(text) == Size(percent=percent)
    assert parse_size(text).resolve(1000) == int(percent * 10)


def test_a_size_in_bytes_does_not_depend_on_the_memory() -> None:
    assert Size(exact_bytes=5).resolve(1000) == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0MB",
        "0%",
        "120%",
        "-1GB",
        "-5%",
        "nan",
        "inf",
        "1e9",
        "1,5GB",
        "1.5",
        "2XB",
        "2GBB",
        "GB",
        "٣MB",
    ],
)
def test_a_senseless_size_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"a size above 0 such as 200MB.*80%"):
        parse_size(text)


def test_a_size_is_bytes_or_a_percentage_and_never_both() -> None:
    for values in ({}, {"exact_bytes": 1, "percent": 1.0}):
        with pytest.raises(ValueError, match="either"):
            Size(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5", 1.5),
        ("5m", 300),
        ("5 M", 300),
        ("1h", 3600),
        ("1d", 86400),
        ("500ms", 0.5),
        ("0", 0),
    ],
)
def test_a_duration_is_seconds_unless_a_unit_says_otherwise(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1e3", "5min", "1h30m", "80%", "9" * 400])
def test_a_senseless_duration_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"a duration such as 90 .*500ms"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "0s", "0.0ms"])
def test_no_time_at_all_is_refused_where_some_is_needed(text: str) -> None:
    with pytest.raises(ValueError, match="above 0"):
        parse_positive_duration(text)


@pytest.mark.parametrize("text", ["yes", "True", "on", "1"])
def test_yes_is_said_as_to_supervisord(text: str) -> None:
    assert parse_yes_no(text) is True


@pytest.mark.parametrize("text", ["no", "FALSE", "off", "0"])
def test_no_is_said_as_to_supervisord(text: str) -> None:
    assert parse_yes_no(text) is False


@pytest.mark.parametrize(
    ("parse", "text", "allowed"),
    [
        (parse_yes_no, "maybe", "yes or no"),
        (parse_whole(1), "0", "a whole number, 1 or more"),
        (parse_whole(0), "-1", "a whole number, 0 or more"),
        (parse_whole(0), "1.0", "a whole number, 0 or more"),
        (parse_whole(0), "9" * 5000, "a whole number, 0 or more"),
        (parse_choice("stop", "wait"), "halt", "one of stop, wait"),
        (parse_words, " , ", "one or more words"),
    ],
)
def test_a_refusal_says_what_is_allowed(parse: Callable[[str], object], text: str, allowed: str) -> None:
    with pytest.raises(ValueError, match=allowed):
        parse(text)


def test_words_stand_between_spaces_commas_and_new_lines() -> None:
    assert parse_words("a, b:*\n c,d") == ("a", "b:*", "c", "d")


def test_a_choice_is_read_whatever_its_case() -> None:
    assert parse_choice("stop", "wait")(" Wait ") == "wait"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1KB"),
        (200 * MB, "200MB"),
        (int(2.3 * GB), "2.3GB"),
        (GB - 1, "1GB"),
        (5000 * GB, "4.9TB"),
    ],
)
def test_a_size_is_shown_with_at_most_one_decimal(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (0.9996, "1s"),
        (12.34, "12.3s"),
        (59.96, "1m00s"),
        (65, "1m05s"),
        (3599.6, "1h00m"),
        (3720, "1h02m"),
        (2 * 86400 + 3 * 3600, "2d03h"),
    ],
)
def test_a_duration_is_shown_by_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=1, max_value=2**60))
def test_what_is_shown_of_a_size_reads_back_to_within_a_tenth(size_bytes: int) -> None:
    read = parse_size(format_size(size_bytes)).exact_bytes
    assert read is not None
    assert abs(read - size_bytes) <= size_bytes * 0.1


@given(st.text(max_size=12))
def test_whatever_is_written_is_a_size_or_a_value_error(text: str) -> None:
    for parse in (parse_size, parse_duration):
        try:
            parse(text)
        except ValueError:
            continue


@pytest.mark.parametrize(("size", "text"), [(Size(exact_bytes=GB), "1GB"), (Size(percent=80.0), "80%")])
def test_a_size_is_shown_as_it_was_written(size: Size, text: str) -> None:
    assert str(size) == text


@pytest.mark.parametrize(
    "seconds", [0.0, 0.001, 0.5, 1.0, 59.0, 60.0, 90.0, 3600.0, 5400.0, 86400.0, 172800.0]
)
def test_a_written_duration_reads_back_exactly(seconds: float) -> None:
    assert parse_duration(write_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.5, "500ms"), (90, "90s"), (300, "5m"), (3600, "1h"), (172800, "2d")]
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text
