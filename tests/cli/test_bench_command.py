"""`fastinstruct bench` as it is typed: a table, one JSON document as the last line, and one line for what is wrong."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fastinstruct.benchmarking.arms import Arm, Contest, Decide
from fastinstruct.benchmarking.peers import PEERS, Peer
from fastinstruct.cli.app import app
from fastinstruct.errors import FastInstructError
from fastinstruct.testing import related_texts

TEXTS = related_texts(120, longest=10, seed=2)


def typed(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)], input=stdin)


def refusal(*arguments: object, stdin: bytes | None = None) -> str:
    result = typed(*arguments, stdin=stdin)
    assert isinstance(result.exception, FastInstructError), result.output
    assert result.exception.exit_code == 2
    assert result.stdout == ""
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"instruction": text}) + "\n" for text in TEXTS), encoding="utf-8")
    return path


def test_the_table_comes_first_and_the_document_is_the_last_line(file: Path) -> None:
    result = typed(file, "--peer", "datasketch", "--peer", "rouge-score", "--rounds", 1)
    assert result.exit_code == 0, result.output
    *lines, last = result.stdout.splitlines()
    document = json.loads(last)
    assert re.match(r"compiling or loading the kernels: \d+\.\d\d s, in no figure below", lines[0])
    assert lines[2].startswith(f"{file}, instruction: 120 texts of ")
    assert re.sub(" +", " ", lines[3]) == (
        "tool settings us a text CPU us x ours recall precision kept at 30 at 60 at 120"
    )
    rows = document["streams"]["instruction"]["rows"]
    assert [row["name"] for row in rows] == [line[:25].strip() for line in lines[4 : 4 + len(rows)]]
    assert (document["benchmark"], document["rounds"], document["not_asked"]) == ("bench", 1, {})
    assert [row["name"] for row in rows][-1] == "rouge_score"
    assert result.stderr == ""


def test_with_json_there_is_nothing_but_the_document(file: Path) -> None:
    result = typed(file, "--json", "--peer", "none", "--rounds", 1, "--threshold", 0.5, "--tokenizer", "unicode")
    document = json.loads(result.stdout)
    assert (document["threshold"], document["tokenizer"]) == (0.5, "unicode-2")
    assert len(document["streams"]["instruction"]["rows"]) == 3


def test_compressed_files_stdin_and_plain_texts_are_read_as_by_dedup(file: Path, tmp_path: Path) -> None:
    packed, plain = tmp_path / "texts.jsonl.gz", tmp_path / "texts.txt"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    plain.write_text("\n".join(TEXTS), encoding="utf-8")
    options = ("--json", "--peer", "none", "--rounds", 1)
    found = [
        json.loads(result.stdout)["streams"]["instruction"]["near_duplicates"]
        for result in (
            typed(file, *options),
            typed(packed, *options),
            typed(plain, *options),
            typed("-", *options, stdin=file.read_bytes()),
        )
    ]
    assert len(set(found)) == 1
    assert found[0] > 10


def test_only_the_first_rows_are_measured_and_read(file: Path) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write("no JSON\n")
    result = typed(file, "--json", "--peer", "none", "--rounds", 1, "--rows", 70)
    assert json.loads(result.stdout)["streams"]["instruction"]["texts"] == 70
    assert refusal(file, "--peer", "none").startswith(f"{file}:121: ")


def test_what_cannot_be_measured_is_one_line(file: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n\n", encoding="utf-8")
    assert refusal(empty) == f"{empty}: holds no row; name a file with texts to measure on"
    assert refusal(tmp_path / "absent") == f"{tmp_path}/absent: there is no such file; check the path"
    assert refusal(file, "--field", "text").startswith(f"{file}:1: has no field text; name the text with --field")
    assert refusal(file, "--peer", "simhash").startswith("--peer simhash: there is no such peer; name one of rensa, ")
    assert refusal(file, "--threshold", 1.5) == "threshold must be a number from 0 to 1; got 1.5"
    assert refusal(file, "--tokenizer", "bert").startswith("tokenizer must be one of rouge, unicode")
    assert refusal("-", "--field", "a", "--field", "b", stdin=b"{}") == (
        "-: stdin can be read once; name one --field, or a file"
    )
    for option in ("--rows", "--rounds"):
        assert typed(file, option, 0).exit_code == 2


def test_a_peer_that_is_not_installed_is_named_with_what_to_install(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Peer(name="rensa", module="no_such_module", contest=PEERS["rensa"].contest)
    for name in set(PEERS) - {"rapidfuzz"}:
        monkeypatch.delitem(PEERS, name)
    monkeypatch.setitem(PEERS, "rensa", absent)
    monkeypatch.setitem(PEERS, "rouge-score", Peer(name="rouge-score", module="no_such_module", contest=absent.contest))
    assert refusal(file, "--peer", "rensa") == "--peer rensa: is not installed; pip install rensa"
    result = typed(file, "--rounds", 1)
    assert "not asked: rensa is not installed; pip install rensa" in result.stdout.splitlines()
    assert json.loads(result.stdout.splitlines()[-1])["not_asked"]["rensa"] == "is not installed; pip install rensa"


def test_a_peer_that_raises_is_told_safely_and_costs_the_others_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start() -> Decide:
        raise RuntimeError("\x1b[2Jowned\nby a peer")

    hostile = Contest(arms=(Arm(name="hostile", settings="as it is", start=start),))
    monkeypatch.setitem(PEERS, "rensa", Peer(name="rensa", module="json", contest=lambda question: hostile))
    result = typed(file, "--peer", "rensa", "--peer", "rouge-score", "--rounds", 1)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("hostile"))
    assert line.endswith(r"RuntimeError: \x1b[2Jowned\nby a peer")
    rows = json.loads(result.stdout.splitlines()[-1])["streams"]["instruction"]["rows"]
    assert [row["error"] is None for row in rows] == [True, True, True, False, True]


def test_letters_that_the_tokenizer_cannot_see_are_warned_of_once(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"instruction": "写一首诗"}\n{"instruction": "写一首诗"}\n', encoding="utf-8")
    result = typed(path, "--peer", "none", "--rounds", 1)
    assert result.stderr.count("tokenizer 'rouge' finds no token") == 1


def test_the_verb_loads_nothing_heavy_before_it_works() -> None:
    heavy = {"numba", "numpy", "pydantic", "hypothesis", "rensa", "datasketch"}
    program = f"import sys, fastinstruct.cli.bench; print(sorted(set(sys.modules) & {heavy!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
