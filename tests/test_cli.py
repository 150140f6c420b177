"""The command line: which command the arguments mean, and every error as one line with the right status."""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import supervisor_memkill
from supervisor_memkill.commands import demo, notify, parsing, pause, restart
from supervisor_memkill.commands.command import CONFIG, JSON, Command
from supervisor_memkill.errors import UsageError
from tests.command_line import CONFIG as CONFIG_TEXT
from tests.command_line import UNDER_SUPERVISORD, assert_one_line, environment, run
from tests.harness import PATIENCE_SECONDS
from tests.signals import none_ignored

ALL = [one.name for one in parsing.COMMANDS]


def parsed(*words: str, environ: Mapping[str, str] | None = None) -> tuple[str, dict[str, object]]:
    """The name of the command, and the options that were given."""
    command, arguments = parsing.parse(words, environ or {})
    given = {name: value for name, value in vars(arguments).items() if value not in (None, False)}
    return command.name, given


def refusal(*words: str) -> str:
    with pytest.raises(UsageError) as error:
        parsing.parse(words, {})
    return str(error.value)


def test_version(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"supervisor-memkill {supervisor_memkill.__version__}\n")


def test_help_names_every_command_and_option_and_fits_80_columns(tmp_path: Path) -> None:
    done = run(tmp_path, "--help", changes={"COLUMNS": "80"})
    assert done.returncode == 0
    for name in [
        *(option.flag for option in parsing.OPTIONS),
        *(command.name for command in parsing.COMMANDS),
    ]:
        assert f"  {name} " in done.stdout, name
    assert "0 success, 1 failure, 2 usage or configuration error" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


# --- which command ------------------------------------------------------------------------------


def test_without_a_command_it_is_the_listener() -> None:
    assert parsed("--config", "x") == ("the listener", {"config": Path("x")})


def test_dry_run_by_hand_is_a_command_and_under_supervisord_an_option_of_the_listener(
    tmp_path: Path,
) -> None:
    """supervisord gives a listener two pipes, and its log has the time in each line."""
    config = tmp_path / "memkill.conf"
    config.write_text(CONFIG_TEXT)
    given = ("--dry-run", "--config", str(config), "--serverurl", "unix:///no/s.sock")
    by_hand = run(tmp_path, *given, changes=UNDER_SUPERVISORD, pipes=False)
    assert_one_line(by_hand, 1, "/no/s.sock")
    listener = run(tmp_path, *given, changes=UNDER_SUPERVISORD, pipes=True)
    assert listener.returncode == 2
    (line,) = listener.stderr.splitlines()
    assert "ERROR listener.not_started" in line and "nor an [inet_http_server] section" in line


def test_sample_and_demo_are_commands_wherever_they_are_typed() -> None:
    assert parsed("--sample", "rq", environ=UNDER_SUPERVISORD) == ("--sample", {"sample": "rq"})
    assert parsed("--sample") == ("--sample", {"sample": ""})
    assert parsed("demo", environ=UNDER_SUPERVISORD) == ("demo", {"command": "demo"})


def test_every_command_says_in_the_help_what_it_does() -> None:
    assert all(command.help for command in parsing.COMMANDS)


# --- arguments that are wrong -------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--dryrun"], ["--dry"], ["frobnicate"], ["--config"]])
def test_unknown_argument_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    assert_one_line(run(tmp_path, *arguments), 2, "--help")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--dryrun"], "unknown option --dryrun, did you mean --dry-run? (try --help)"),
        (
            ["--conifg", "memkill.conf", "--dry-run"],
            "unknown option --conifg, did you mean --config? (try --help)",
        ),
        (["--pasword=secret"], "unknown option --pasword, did you mean --password? (try --help)"),
        (["-x"], "unknown option -x (try --help)"),
        (["-c", "x.conf"], "unknown option -c, did you mean --config? (try --help)"),
        (["dmeo"], "unknown command 'dmeo', did you mean demo? (try --help)"),
        (
            ["frobnicate"],
            f"unknown command 'frobnicate', known: {', '.join(ALL)} (try --help)",
        ),
        (["demo", "twice"], "demo does not take 'twice' (try --help)"),
    ],
)
def test_misspelt_word_is_named_with_the_nearest_known_one(words: list[str], expected: str) -> None:
    assert refusal(*words) == expected


def test_value_that_looks_like_an_option_is_still_a_value() -> None:
    assert parsed("--password", "-1", "--username=--x") == (
        "the listener",
        {"password": "-1", "username": "--x"},
    )


@pytest.mark.parametrize("option", ["--dry-run", "--json", "--config=x", "--username=x", "--sample=x"])
@pytest.mark.parametrize("comes_first", [False, True])
def test_demo_takes_no_options(tmp_path: Path, option: str, comes_first: bool) -> None:
    words = [option, "demo"] if comes_first else ["demo", option]
    assert refusal(*words) == f"demo takes no options: remove {option.partition('=')[0]}"


def test_demo_with_an_option_is_one_line(tmp_path: Path) -> None:
    assert_one_line(run(tmp_path, "demo", "--dry-run"), 2, "demo takes no options")


@pytest.mark.parametrize("words", [["--json"], ["--json", "--config", "x"], ["--json", "--sample", "rq"]])
def test_json_belongs_to_the_commands_that_have_it(words: list[str]) -> None:
    *others, last = [one.name for one in (*parsing.NAMELESS, *parsing.COMMANDS) if JSON in one.options]
    assert others
    assert refusal(*words).endswith(
        f"does not take --json: it is an option of {', '.join(others)} and {last}"
    )


# --- a further command --------------------------------------------------------------------------


def add_fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pools", nargs="*")
    parser.add_argument("--fleet", action="store_true")


def run_nothing(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    return 0


STATUS = Command("status", "show all pools", run_nothing, (CONFIG, JSON), add_fleet)
OTHERS = (restart.COMMAND, pause.PAUSE, pause.UNPAUSE, notify.COMMAND, demo.COMMAND)


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "x", "--json", "status", "web", "--fleet"],
        ["status", "--fleet", "web", "--config", "x", "--json"],
        ["--json", "status", "--config", "x", "web", "--fleet"],
    ],
)
def test_shared_options_stand_before_or_behind_the_command(words: list[str]) -> None:
    command, arguments = parsing.parse(words, {}, None, (STATUS, *OTHERS))
    assert command is STATUS
    assert (arguments.config, arguments.json, arguments.fleet) == (Path("x"), True, True)
    assert arguments.pools == ["web"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["status", "--username=x"],
            "status does not take --username: it is an option of"
            " the listener, --dry-run, restart, pause, unpause and notify",
        ),
        (
            ["--username=x", "status"],
            "status does not take --username: it is an option of"
            " the listener, --dry-run, restart, pause, unpause and notify",
        ),
        (
            ["--fleet"],
            "the listener does not take --fleet: it is an option of status, restart, pause and unpause",
        ),
        (["--fleet", "status"], "write --fleet behind status, not before it"),
        (["demo", "--fleet"], "demo takes no options: remove --fleet"),
        (["--json"], "the listener does not take --json: it is an option of --dry-run and status"),
        (["sttus"], "unknown command 'sttus', did you mean status? (try --help)"),
        (["--flet"], "unknown option --flet, did you mean --fleet? (try --help)"),
    ],
)
def test_option_of_another_command_is_refused_with_its_owner(words: list[str], expected: str) -> None:
    with pytest.raises(UsageError) as error:
        parsing.parse(words, {}, None, (STATUS, *OTHERS))
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("supervisor-memkill hist", ["history"]),
        ("supervisor-memkill --ver", ["--version"]),
        ("supervisor-memkill pause --ex", ["--except-hard"]),
    ],
)
def test_shell_completes_commands_and_options(tmp_path: Path, line: str, expected: list[str]) -> None:
    """By argcomplete's protocol, as its script for the shell speaks it; nothing is run."""
    answer = tmp_path / "answer"
    changes = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "|",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }
    done = run(tmp_path, changes=changes)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [word.strip() for word in answer.read_text().split("|")] == expected


def test_command_line_itself_imports_nothing_heavy() -> None:
    """The listener imports every command's module, and lives for months."""
    heavy = {"psutil", "redis", "xmlrpc", "http", "json", "importlib.resources"}
    program = f"import sys, supervisor_memkill.cli; print(*{heavy} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


@pytest.mark.parametrize("words", [("--dry-run", "--sample"), ("--sample", "rq", "--dry-run")])
def test_two_commands_at_once_are_refused_in_plain_words(words: tuple[str, ...]) -> None:
    assert refusal(*words) == "write either --dry-run or --sample, not both"


# --- output -------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "code",
    [
        "from supervisor_memkill.commands import output; output.show('text')",
        "import sys; sys.exit(main(['demo']))",
        "import sys; sys.exit(main(['--sample', 'rq']))",
        "import sys; sys.exit(main(['--help']))",
        "import sys; sys.exit(main(['--version']))",
        "import sys; sys.exit(main(['demo', '--help']))",
    ],
    ids=["show", "demo", "sample", "help", "version", "help of a command"],
)
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path, code: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", f"from supervisor_memkill.cli import main; {code}"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("cannot write the output: No space left on device")


def run_in_shell(program: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", program],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", ["demo", "--dry-run", "--sample rq", "--help", "--version", "status --help"]
)
def test_closed_output_is_one_line(tmp_path: Path, arguments: str) -> None:
    program = f'exec "{sys.executable}" -m supervisor_memkill {arguments} >&-'
    done = run_in_shell(program, tmp_path)
    assert_one_line(done, 1, "standard output is closed")


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_error_that_cannot_be_written_leaves_the_exit_status_and_an_empty_output(
    tmp_path: Path, stream: str
) -> None:
    """A program that reads JSON from standard output must not find an error in it."""
    if "/dev/full" in stream and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    program = f'exec "{sys.executable}" -m supervisor_memkill frobnicate {stream}'
    done = run_in_shell(program, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_reader_that_goes_away_ends_the_command_without_a_word(tmp_path: Path) -> None:
    reading, writing = socket.socketpair()
    reading.close()
    with writing:
        done = subprocess.run(
            [sys.executable, "-m", "supervisor_memkill", "--sample", "rq"],
            cwd=tmp_path,
            stdout=writing.fileno(),
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_interrupt_from_the_keyboard_ends_the_command_without_a_word(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short_path / "silent"))
        server.listen()
        server.settimeout(60)
        words = ["--dry-run", "--serverurl", f"unix://{short_path}/silent"]
        with none_ignored():
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor_memkill", *words],
                cwd=short_path,
                env=environment({}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        connection, _ = server.accept()  # from here on it waits for an answer
        with connection:
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=PATIENCE_SECONDS) == ("", "")
    assert process.returncode == 130
