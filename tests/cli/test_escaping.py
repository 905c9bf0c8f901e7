"""Words of servers, files and models reach no terminal and no log as they are."""

from __future__ import annotations

import ast
import inspect as inspection
import io
import json
import logging
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from built_run import SEEDS, BuiltRun
from fastinstruct import errors
from fastinstruct.cli.display import _Lines
from fastinstruct.errors import FastInstructError
from fastinstruct.escaping import json_escaped, on_one_line, package_logger, printable
from fastinstruct.records import RejectReason

PACKAGE = Path(str(files("fastinstruct")))
# ESC (a colour, the title, the clipboard by OSC 52), BEL, C1's own CSI, bidi controls, separators, tags, DEL.
HOSTILE = "\x1b[31m\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x9b2J\u202egpj\u2066\u2028\u2029\x85\U000e0041\x7f\x00"
UNSAFE = set(HOSTILE) - set("[31m]0;title52cZXZpbA==2Jgpj")


def is_safe(shown: str) -> bool:
    return not UNSAFE & set(shown)


@given(st.text() | st.text(HOSTILE + "\nab"))
def test_what_is_printable_steers_nothing_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert is_safe(shown)
    assert printable(shown) == shown
    assert "\n" not in on_one_line(text)


VALUES = st.recursive(
    st.text(HOSTILE + "ab\n"), lambda inner: st.lists(inner) | st.dictionaries(st.text(HOSTILE), inner)
)


@given(VALUES)
def test_json_is_safe_to_show_and_still_says_the_same(value: object) -> None:
    document = json_escaped(json.dumps(value, ensure_ascii=False))
    assert is_safe(document)
    assert json.loads(document) == value


CLASSES = [
    kind
    for _, kind in inspection.getmembers(errors, inspection.isclass)
    if issubclass(kind, FastInstructError) and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", CLASSES)
def test_no_error_of_ours_steers_a_terminal_or_forges_a_line(kind: type[FastInstructError]) -> None:
    told = str(kind(f"server: {HOSTILE}\nfastinstruct: all is well"))
    assert is_safe(told)
    # A Mismatch has lines of its own; what it quotes is on one (tests/testing/test_check_rouge.py).
    assert "\n" not in told or kind is errors.Mismatch


def test_what_is_logged_is_safe_before_any_handler_sees_it(caplog: pytest.LogCaptureFixture) -> None:
    logger = package_logger("fastinstruct.lm")
    with caplog.at_level(logging.WARNING, "fastinstruct"):
        logger.warning("the server says %s", HOSTILE)
    assert caplog.records[0].getMessage().startswith("the server says \\x1b[31m")
    assert is_safe(caplog.text)


def test_the_display_draws_nothing_that_steers() -> None:
    drawn = io.StringIO()
    _Lines(Console(file=drawn, force_terminal=False)).note(f"endpoint {HOSTILE}")
    assert is_safe(drawn.getvalue())


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model, seeds, instructions, examples and folder all are hostile."""
    folder = tmp_path_factory.mktemp("runs") / "run \x1b]0;x\x07 \u202e"
    with BuiltRun(folder, model=f"model {HOSTILE}", seeds=SEEDS) as built:
        built.admit(f"Name a colour {HOSTILE}", ("", f"Red {HOSTILE}"), (f"sky {HOSTILE}", "Blue."))
        built.reject(f"Name a colour! {HOSTILE}", RejectReason.NEAR_DUPLICATE, nearest=2, score=1.0)
        built.reject_instance(0, (f"pear {HOSTILE}", "pear"), RejectReason.INPUT_EQUALS_OUTPUT)
    return folder


VIEWS = [
    ["status"],
    ["status", "--json"],
    ["inspect"],
    ["inspect", "--json"],
    ["inspect", "--rejected"],
    ["inspect", "--rejected", "--json"],
    ["inspect", "--unreadable"],
    ["inspect", "--without-examples", "--json"],
    ["inspect", "--id", "m0"],
    ["inspect", "--id", "m0", "--json"],
    ["inspect", "--reason", f"no{HOSTILE}".replace("\x00", "")],
    ["inspect", "--search", "\x1b]52;c;x\x07"],
    ["export", "-o", "-", "-f", "alpaca"],
    ["export", "--json"],
    ["refilter", "-o", "\x1b[31m\u202enew"],
    ["refilter", "--set", "\x1b[31m\u202e=3", "-o", "other"],
    ["run", "--out"],
    ["\x1b]0;no-verb\x07"],
    ["status", "--\x1b[31m"],
]


def typed(folder: Path, tmp_path: Path, *arguments: str) -> str:
    """All that a command prints, as a terminal would get it."""
    verb, *options = arguments
    command = [sys.executable, "-m", "fastinstruct", verb, *([str(folder)] if verb != "run" else []), *options]
    if verb == "run":
        command += [str(folder), "--target", "3", "--base-url", "http://127.0.0.1:9/v1", "--model", "\x1b[31mx"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=120, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("arguments", VIEWS, ids=lambda arguments: " ".join(arguments)[:30].encode().hex())
def test_no_view_steers_a_terminal(hostile_run: Path, tmp_path: Path, arguments: list[str]) -> None:
    shown = typed(hostile_run, tmp_path, *arguments)
    assert shown.strip()
    assert "Traceback" not in shown
    assert is_safe(shown)


def calls_in(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_the_command_line_prints_in_one_place_only() -> None:
    banned = {"print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write", "sys.stderr.write"}
    for path in PACKAGE.rglob("*.py"):
        if path.name != "terminal.py":
            assert not banned & set(calls_in(path)), path


def test_the_package_logs_through_one_door_only() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).as_posix() not in {"escaping.py", "cli/logs.py"}:
            assert "logging.getLogger" not in calls_in(path), path
