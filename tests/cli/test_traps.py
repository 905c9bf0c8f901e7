"""What a newcomer would stumble over is refused, said plainly, or not there."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from built_run import BuiltRun
from fastinstruct.cli.app import app
from fastinstruct.cli.display import _Lines
from fastinstruct.cli.figures import projection_line
from fastinstruct.cli.summary import print_summary
from fastinstruct.config import load_config
from fastinstruct.errors import ConfigError, FastInstructError, InputError, RunFolderError
from fastinstruct.exports import FORMATS
from fastinstruct.files.json_rows import refuse_other_format
from fastinstruct.pipeline import RunResult
from fastinstruct.pipeline.monitoring.forecast import Projection
from fastinstruct.records import RejectReason, score_above
from fastinstruct.store import RunFolder, RunReader, RunStore
from shown_progress import PROGRESS

IDENTITY = {
    "filters": {"min_words": 3},
    "instances": {"max_instances": 5, "max_tokens": 100},
    "similarity": {"threshold": 0.7},
}


def typed(*words: str | Path, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, FastInstructError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with BuiltRun(tmp_path / "run") as built:
        for number in range(20):
            built.admit(f"Task {number}.", ("", str(number)), ("more", "x"))
        built.reject("Task 1?", RejectReason.NEAR_DUPLICATE, nearest=2, score=0.70004)
    return tmp_path / "run"


# a file's name says what is in it


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.CSV", "a.txt", "a.json.gz", "a.jsonl.zst", "a.yaml", "a.h5"])
def test_an_export_under_the_name_of_another_format_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"JSON is written, not \.\w+; end the name in .jsonl"):
        typed("export", run, "-o", tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a", "a.2026-11", "a.JSON", "a.json"])
def test_an_export_under_a_name_that_says_json_or_nothing_is_written(run: Path, tmp_path: Path, name: str) -> None:
    typed("export", run, "-o", tmp_path / name)
    is_array = (tmp_path / name).read_text(encoding="utf-8").startswith("[")
    assert is_array == name.lower().endswith(".json")


@pytest.mark.parametrize("formats", [["reference"], ["alpaca", "messages"]])
def test_several_files_do_not_make_a_folder_that_is_named_like_a_file(
    run: Path, tmp_path: Path, formats: list[str]
) -> None:
    flags = [flag for name in formats for flag in ("-f", name)]
    for name in ("a.jsonl", "a.csv"):
        with pytest.raises(InputError, match="is several files; name a folder"):
            typed("export", run, *flags, "-o", tmp_path / name)
        assert not (tmp_path / name).exists()


def test_a_dedup_under_the_name_of_another_format_is_refused(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "Name a colour."}\n', encoding="utf-8")
    both: list[list[str | Path]] = [
        ["-o", tmp_path / "a.csv"],
        ["-o", tmp_path / "a.jsonl", "--rejected", tmp_path / "a.parquet"],
    ]
    for flags in both:
        with pytest.raises(InputError, match="JSON is written"):
            typed("dedup", rows, *flags)
    typed("dedup", rows, "-o", tmp_path / "a.jsonl.gz")
    refuse_other_format(Path("-"))
    assert set(FORMATS) == {"alpaca", "messages", "prompt-completion", "reference"}  # each was tried above


# a refusal names the way on


@pytest.mark.parametrize(
    ("change", "is_refiltering"),
    [
        ({"filters": {"min_words": 4}}, True),
        ({"similarity": {"threshold": 0.6}}, True),
        ({"instances": {"max_instances": 2, "max_tokens": 100}}, True),
        ({"instances": {"max_instances": 5, "max_tokens": 200}}, False),
        ({"filters": {"min_words": 4}, "rng_seed": 1}, False),
    ],
)
def test_a_refusal_after_a_changed_filter_names_refilter(
    tmp_path: Path, change: dict[str, object], *, is_refiltering: bool
) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.claim(IDENTITY, {})
        store = RunStore(folder.database)
        store.begin((), {})
        store.close()
    with BuiltRun(tmp_path / "answered") as built:
        built.admit("Name a colour.", ("", "Red."))
    (tmp_path / "answered" / "run.db").replace(tmp_path / "run" / "run.db")
    with RunFolder(tmp_path / "run") as folder, pytest.raises(RunFolderError) as refused:
        folder.claim({**IDENTITY, **change}, {})
    assert ("`fastinstruct refilter` judges its answers anew" in str(refused.value)) is is_refiltering


@pytest.mark.parametrize("key", ["filters.required_keywords", "filters.author", "instructions.tokenize", "monkey"])
def test_a_key_that_only_holds_the_letters_of_a_secret_gets_no_lecture_on_keys(key: str) -> None:
    with pytest.raises(ConfigError, match="unknown key") as refused:
        load_config(flags={key: "x"})
    assert "environment" not in str(refused.value)


@pytest.mark.parametrize(
    "key", ["model.key", "model.apiKey", "model.API_KEY", "model.api-key", "model.auth_token", "model.my_password"]
)
def test_a_key_that_is_named_like_a_secret_is_told_where_secrets_belong(key: str) -> None:
    with pytest.raises(ConfigError, match="export it as an environment variable"):
        load_config(flags={key: "x"})


# what is said is what is meant


def test_every_sitting_shows_other_examples_each_of_another_instruction(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: set[str] = set()
    for _ in range(8):
        print_summary(RunResult(folder=run, ended_by="target", progress=PROGRESS), 3)
        shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("instruction:")]
        assert len(set(shown)) == 3
        seen.update(shown)
    assert len(seen) > 3
    print_summary(RunResult(folder=run, ended_by="target", progress=PROGRESS), 100)
    assert capsys.readouterr().out.count("instruction:") == 20


@pytest.mark.parametrize(
    ("ended_by", "state"),
    [
        ("target", "finished: target reached"),
        ("saturation", "stopped: run dry, the model gives hardly anything new; resume with "),
        ("max_cost", "stopped: --max-cost is used up; resume with "),
        ("interrupt", "stopped: interrupted; resume with "),
        (None, "stopped: killed; resume with "),
    ],
)
def test_status_says_how_a_run_ended_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended_by: str | None, state: str
) -> None:
    folder = tmp_path / "run"
    with BuiltRun(folder) as built:
        built.admit("Name a colour.", ("", "Red."))
        if ended_by is not None:
            built.store.end_sitting(ended_by)
        monkeypatch.setattr(built.store, "end_sitting", lambda _: None)
    (line,) = [line for line in typed("status", folder)[0].splitlines() if line.startswith("state:")]
    assert line.removeprefix("state:").strip().startswith(state)
    assert line.endswith(f" run --config {folder}/config.yaml --out {folder}") is (ended_by != "target")


@pytest.mark.parametrize(
    ("arguments", "closed", "code", "out", "err"),
    [
        ("--version", "<&-", 0, "fastinstruct ", ""),
        ("--version", ">&-", 1, "", "fastinstruct: stdout: Bad file descriptor\n"),
        ("dedup data.jsonl", ">&-", 1, "", "fastinstruct: stdout: cannot be written: Bad file descriptor\n"),
        ("dedup data.jsonl -o kept.jsonl --json", ">&-", 1, "", "fastinstruct: stdout: Bad file descriptor\n"),
        ("dedup data.jsonl", "2>&-", 0, '{"instruction": "a b"}\n', ""),
        ("dedup data.jsonl -o kept.jsonl", "<&- 2>&-", 0, "", ""),
    ],
)
def test_a_closed_stream_is_no_reason_to_lose_data_or_to_crash(
    tmp_path: Path, arguments: str, closed: str, code: int, out: str, err: str
) -> None:
    (tmp_path / "data.jsonl").write_text('{"instruction": "a b"}\n')
    paths = os.pathsep.join(path for path in sys.path if path)
    ended = subprocess.run(
        ["bash", "-c", f"exec {shlex.quote(sys.executable)} -m fastinstruct {arguments} {closed}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert ended.stdout.startswith(out)
    assert ended.stderr == err
    if "-o" in arguments:
        assert (tmp_path / "kept.jsonl").read_text() == (tmp_path / "data.jsonl").read_text()


def test_a_rate_that_is_recent_says_so() -> None:
    told = Projection(
        acceptance_rate=0.31, num_requests={"instructions": 5}, num_tokens=None, cost=None, time_s=None,
        least_time_s=None,
    )  # fmt: skip
    assert projection_line(told, 100).startswith("at 31% acceptance of late, ")


@given(score=st.floats(0, 1), threshold=st.floats(0, 1))
def test_a_score_above_the_threshold_is_shown_above_it(score: float, threshold: float) -> None:
    shown = score_above(score, threshold)
    assert len(shown) >= 5
    if score > threshold and score > 1e-15:
        assert float(shown) > threshold or len(shown) == 19
    if round(score, 3) > threshold:
        assert shown == f"{score:.3f}"


def test_a_near_duplicate_just_above_the_threshold_is_not_shown_at_it(run: Path) -> None:
    assert "ROUGE-L:        0.70004 to m0: Task 0.\n" in typed("inspect", run, "--rejected")[0]


def test_a_search_that_finds_nothing_says_that_it_was_the_search(run: Path) -> None:
    assert typed("inspect", run, "--search", "zebra")[1] == "no examples to show: none holds 'zebra'\n"
    assert typed("inspect", run, "--offset", "99")[1] == "no examples to show: --offset 99 skips them\n"
    assert typed("inspect", run, "--reason", "too_short")[1] == "no rejects to show: none was rejected as too_short\n"
    with RunReader(run) as reader:
        assert len(list(reader.examples())) == 40


def test_lines_of_progress_in_a_log_are_no_longer_than_a_hundred_columns() -> None:
    drawn = io.StringIO()
    _Lines(Console(file=drawn, width=400, color_system=None)).update(PROGRESS)
    lines = drawn.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("generating: 40/100 instructions")
    assert all(line.startswith("    ") for line in lines[1:])


def test_no_help_text_is_cut_off() -> None:
    out, _ = typed("--help")
    commands = out.partition("Commands:")[2]
    assert "..." not in commands
    assert "…" not in commands
    assert commands.count("\n") >= 9
