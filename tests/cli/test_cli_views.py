"""`export`, `status` and `inspect` as they are typed: what is on stdout, what on stderr, and what is refused."""

import json
import os
import sqlite3
import subprocess
import sys
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from built_run import BuiltRun
from fastinstruct.cli.export import export
from fastinstruct.cli.inspect import inspect
from fastinstruct.cli.status import status
from fastinstruct.cli.terminal import labelled, printable, shortened
from fastinstruct.errors import FastInstructError, InputError, RunFolderError
from fastinstruct.records import RejectReason, rule_reason
from fastinstruct.store import MetaKey

ESCAPE = "\x1b[2J\x1b]0;owned\x07 red \x9b31m \u202eright to left \x00 \U000e0041"

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
for verb in (export, status, inspect):
    app.command()(verb)


def typed(*arguments: str | Path) -> tuple[str, str]:
    """Type a command; stdout and stderr, or the failure that `main` would print."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, FastInstructError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def rows_of(*arguments: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in typed(*arguments)[0].split("\n") if line]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two instructions with three examples; two rejected candidates and a rejected instance."""
    folder = tmp_path / "run"
    with BuiltRun(folder) as built:
        built.admit("Name a colour.", ("", "Red."), ("of the sky", "Blue."))
        built.reject("Name a colour!", RejectReason.NEAR_DUPLICATE, nearest=2, score=1.0)
        built.reject("Draw it.", RejectReason.TOO_SHORT)
        built.admit("Is it a fruit?", ("apple", "yes"), is_classification=True, in_context=(1, 2))
        built.reject_instance(1, ("pear", "pear"), RejectReason.INPUT_EQUALS_OUTPUT)
    return folder


# export


def test_export_writes_alpaca_into_the_runs_exports(run: Path) -> None:
    out, _ = typed("export", run)
    assert out == f"{run}/exports/alpaca.json\nalpaca: 3 examples\n"
    assert len(json.loads((run / "exports" / "alpaca.json").read_bytes())) == 3


def test_export_may_be_repeated_into_the_runs_exports(run: Path) -> None:
    assert typed("export", run, "-f", "reference") == typed("export", run, "-f", "reference")


def test_several_formats_are_written_from_one_moment_and_said_as_json(run: Path, tmp_path: Path) -> None:
    names = ("alpaca", "messages", "prompt-completion")
    flags = [flag for name in names for flag in ("-f", name)]
    rows = rows_of("export", run, *flags, "-o", tmp_path / "all", "--json", "--include-seeds")
    assert rows == [
        {"format": "alpaca", "files": [f"{tmp_path}/all/alpaca.json"], "num_examples": 6},
        {"format": "messages", "files": [f"{tmp_path}/all/messages.jsonl"], "num_examples": 6},
        {"format": "prompt-completion", "files": [f"{tmp_path}/all/prompt-completion.jsonl"], "num_examples": 6},
    ]


def test_export_to_a_folder_that_exists_writes_a_file_in_it(run: Path, tmp_path: Path) -> None:
    typed("export", run, "-o", tmp_path)
    assert (tmp_path / "alpaca.json").is_file()


def test_export_to_stdout_is_json_lines_and_nothing_else(run: Path) -> None:
    out, err = typed("export", run, "-f", "messages", "-o", "-")
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["m0-0", "m0-1", "m1-0"]
    assert err == "messages: 3 examples\n"


def test_stdout_takes_one_format_of_one_file(run: Path) -> None:
    for flags in (["-f", "reference"], ["-f", "alpaca", "-f", "messages"]):
        with pytest.raises(InputError, match="stdout takes one format of a single file"):
            typed("export", run, *flags, "-o", "-")
    with pytest.raises(InputError, match="--json and --out - both write to stdout"):
        typed("export", run, "-o", "-", "--json")


def test_export_refuses_to_overwrite_a_file_of_the_users(run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text("precious", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.json: exists already; give --overwrite"):
        typed("export", run, "-o", mine)
    assert mine.read_text(encoding="utf-8") == "precious"
    typed("export", run, "-o", mine, "--overwrite")
    assert len(json.loads(mine.read_bytes())) == 3


def test_export_refuses_a_folder_that_holds_another_reference_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = tmp_path / "theirs" / "gpt3_finetuning_data_82439.jsonl"
    theirs.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"gpt3_finetuning_data_82439\.jsonl: exists already"):
        typed("export", run, "-f", "reference", "-o", theirs.parent)
    assert [file.name for file in theirs.parent.iterdir()] == [theirs.name]


def test_export_never_overwrites_the_run_itself(run: Path) -> None:
    before = (run / "run.db").read_bytes()
    with pytest.raises(InputError, match=r"run\.db: is the run's own"):
        typed("export", run, "-o", run / "run.db", "--overwrite")
    assert (run / "run.db").read_bytes() == before


def test_an_unknown_format_writes_nothing(run: Path) -> None:
    with pytest.raises(InputError, match=r"no such format: 'parquet'; there are alpaca, messages"):
        typed("export", run, "-f", "alpaca", "-f", "parquet")
    assert not (run / "exports").exists()


# Which run


@pytest.mark.parametrize("verb_name", ["export", "status", "inspect"])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, verb_name: str) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        typed(verb_name, tmp_path / "nowhere")


@pytest.mark.parametrize("verb_name", ["export", "status", "inspect"])
def test_without_any_run_the_way_to_make_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb_name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        typed(verb_name)
    assert str(caught.value) == "no run under runs/; name a run's folder, or make one with `fastinstruct run`"


def test_the_newest_run_is_the_default_and_named_on_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("older", "newer"):
        with BuiltRun(Path("runs", name)) as built:
            built.admit(f"Task of {name}.", ("", name))
    os.utime(Path("runs", "older", "run.db"), (1000, 1000))
    os.utime(Path("runs", "newer", "run.db"), (2000, 2000))
    assert typed("inspect", "--json")[1] == "run: runs/newer\n"


def test_a_run_that_is_going_on_is_the_newest_though_only_its_log_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with BuiltRun(Path("runs", "done")):
        pass
    with BuiltRun(Path("runs", "going")) as going:
        going.admit("One.", ("", "1")).result()
        os.utime(Path("runs", "going", "run.db"), (1000, 1000))
        os.utime(Path("runs", "done", "run.db"), (2000, 2000))
        assert typed("status")[1] == "run: runs/going\n"


# status


def test_status_says_what_was_used_what_that_cost_and_what_is_still_to_come(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        built.admit("Name a colour.", ("", "Red."), ("of the sky", "Blue."))
        price = {"input": 1_000_000, "cached_input": 500_000, "output": 2_000_000, "request": 0, "source": "x"}
        built.store.set_meta(
            MetaKey.PRICES, json.dumps(dict.fromkeys(["instructions", "classification", "instances"], price))
        )
        used = {"num_requests": 2, "prompt_tokens": 100, "cached_tokens": 20, "completion_tokens": 50}
        built.store.set_meta(MetaKey.USED_BESIDES, json.dumps({"instances": used}))
    (found,) = rows_of("status", tmp_path / "run", "--json")
    # Three answered requests of 10 and 3 tokens, and besides two failed attempts; 20 tokens were half price.
    assert (found["num_requests_used"], found["num_tokens_used"], found["tokens_per_example"]) == (5, 189, 94.5)
    assert found["cost_dollars"] == pytest.approx((30 + 2 * 9 + 100 - 20 + 20 * 0.5 + 2 * 50) / 1e6)
    lines = typed("status", tmp_path / "run")[0].splitlines()
    assert "used:           5 requests, 189 tokens, 0.00024 dollars (94 tokens, 0.00012 dollars an example)" in lines
    needs = "10 instructions need 27 more calls, 351 tokens, 0.00043 dollars"
    assert f"still to come:  at 100% acceptance of late, {needs}" in lines


def test_status_says_everything_as_one_json_object(run: Path) -> None:
    (found,) = rows_of("status", run, "--json")
    (sitting,) = found.pop("sittings")
    assert found == {
        "run": str(run),
        "is_being_written": False,
        "state": "finished: target reached",
        "target": 10,
        "num_admitted": 2,
        "num_candidates": 4,
        "acceptance_rate": 0.5,
        "num_examples": 3,
        "num_instantiated": 2,
        "without_examples": {},
        "num_unreadable": {},
        "num_unexplained": 0,
        "num_classification": 1,
        "num_not_classification": 1,
        "num_unknown": 0,
        "classification_share": 0.5,
        "prompt_tokens": 90,
        "completion_tokens": 27,
        "num_requests_used": 9,
        "num_tokens_used": 117,
        "cost_dollars": None,
        "tokens_per_example": 39.0,
        "cost_per_example_dollars": None,
        "projection": {
            "acceptance_rate": 0.5,
            "num_requests": {"instructions": 16, "classification": 8, "instances": 7},
            "num_calls": 31,
            "num_tokens": 403,
            "cost": None,
            "time_s": None,
            "least_time_s": None,
        },
        "requests": {"classification": {"ok": 2}, "instances": {"ok": 3}, "instructions": {"ok": 4}},
        "against": [],
        "rejected": {"near_duplicate": 1, "too_short": 1},
        "failed_attempts": {},
        "rejected_instances": {"input_equals_output": 1},
        "telemetry": None,
    }
    assert sitting["ended_by"] == "target"
    assert sitting["endpoint"] == "scripted at http://127.0.0.1:1/v1 (completions)"


def test_status_for_people_is_aligned_text(run: Path) -> None:
    lines = typed("status", run)[0].splitlines()
    assert lines[1:7] == [
        "state:          finished: target reached",
        "target:         10 instructions",
        "admitted:       2 of 4 candidates (50%)",
        "examples:       3 of 2 instructions",
        "classification: 1 yes, 1 no, 0 unknown (50% yes)",
        "tokens:         90 in, 27 out",
    ]
    assert "          1  near_duplicate" in lines


def test_status_tells_how_slots_machine_and_endpoints_stood_when_that_was_last_recorded(tmp_path: Path) -> None:
    channel = {
        "endpoint": "m at http://gpu1:8000/v1 (chat)",
        "address": "http://gpu1:8000/v1",
        "limit": 64.0,
        "num_in_flight": 32,
        "why": "fixed",
        "is_asked": True,
        "is_closed": False,
        "outcomes": {"ok": 1204, "transient: server": 2, "rate_limited": 1},
        "latency_p50_s": 0.8412,
        "latency_p90_s": 1.26,
        "latency_p99_s": 3.5,
        "prompt_tokens": 512_000,
        "completion_tokens": 99_000,
        "busy_s": 1000.0,
        "oldest_s": 245.0,
    }
    dead = {**channel, "address": "http://gpu2:8000/v1", "num_in_flight": 0, "why": "failures: connect\x1b[2J"}
    dead |= {"is_asked": False, "outcomes": {"transient: connect": 5}, "latency_p50_s": None, "latency_p90_s": None}
    dead |= {"latency_p99_s": None, "oldest_s": None}
    told = {
        "at": "2026-01-02T03:04:05+00:00",
        "slot_use": 0.973,
        "num_slots": 64,
        "num_in_flight": 32,
        "oldest_s": 245.0,
        "num_waiting": 3,
        "num_delivering": 2,
        "tokens_per_s": 812.5,
        "loop_lag_p99_ms": 2.4,
        "cpu_share": 0.41,
        "memory_mib": 1210.4,
        "held_back": "",
        "channels": [channel, dead],
    }
    with BuiltRun(tmp_path / "run") as built:
        built.store.set_meta(MetaKey.TELEMETRY, json.dumps(told))
        (found,) = rows_of("status", built.folder, "--json")
        assert found["telemetry"] == told
        lines = typed("status", built.folder)[0].splitlines()
    first = lines.index("latest sitting, as of 2026-01-02T03:04:05+00:00:")
    assert lines[first + 1 : first + 5] == [
        (
            "  slots:   97% busy over the sitting, 32 of 64 in flight, the oldest for 4 min 05 s, "
            "3 waiting for another attempt, 2 being stored"
        ),
        "  machine: loop lag 2 ms (p99), 41% of a core, 1,210 MiB",
        (
            "  http://gpu1:8000/v1  32/64 in flight, the oldest for 4 min 05 s, 1,204 ok, "
            "3 failed (transient: server 2, rate_limited 1), p50 841 ms, p90 1.3 s, p99 3.5 s, "
            "512,000 tokens in, 99,000 out"
        ),
        (
            "  http://gpu2:8000/v1  0/64 in flight, 0 ok, 5 failed (transient: connect 5), "
            "not asked: failures: connect\\x1b[2J"
        ),
    ]


def test_status_tells_the_time_by_the_latest_sitting_that_was_answered(tmp_path: Path) -> None:
    """Nine answers, a second apart and 0.5 s each; a sitting that a spent budget ended at once came after them."""
    with BuiltRun(tmp_path / "run") as built:
        for text in ("Name a river.", "Add two numbers.", "Write a poem."):
            built.admit(text, ("", "x"))
    with closing(sqlite3.connect(built.folder / "run.db")) as database, database:
        database.execute(
            "UPDATE request SET latency_ms = 500, finished_at = 1767225600 + id - (SELECT min(id) FROM request)"
        )
        database.execute("UPDATE sitting SET started_at = '2025-12-31T23:59:59+00:00'")
        database.execute(
            "INSERT INTO sitting (id, started_at, version, endpoint) VALUES (2, '2026-01-02T00:00:00+00:00', '0', 'm')"
        )
    (found,) = rows_of("status", tmp_path / "run", "--json")
    assert found["projection"]["num_calls"] == 21
    assert found["projection"]["time_s"] == round(21 / (9 / 8.5), 1)


def test_status_of_an_empty_run_has_no_rates_and_of_a_damaged_configuration_no_target(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run"):
        pass
    (tmp_path / "run" / "config.yaml").write_text("target: [", encoding="utf-8")
    (found,) = rows_of("status", tmp_path / "run", "--json")
    assert (found["acceptance_rate"], found["classification_share"], found["target"]) == (None, None, None)
    assert "target:         unknown\n" in typed("status", tmp_path / "run")[0]


def test_status_tells_a_going_run_from_one_that_was_killed(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        assert " to now  scripted" in typed("status", built.folder)[0]
        assert "state:          a process is writing to it\n" in typed("status", built.folder)[0]
        (tmp_path / "run" / "run.lock").rename(tmp_path / "gone")  # as if its writer had died
        assert " to killed  scripted" in typed("status", built.folder)[0]


# inspect


def test_inspect_shows_examples_with_their_ids(run: Path) -> None:
    out, err = typed("inspect", run, "--offset", "1", "--limit", "1")
    assert out == (
        "id:             m0-1\n"
        "classification: no\n"
        "instruction:    Name a colour.\n"
        "input:          of the sky\n"
        "output:         Blue.\n\n"
    )
    assert err == "more: --offset 2\n"


def test_search_ignores_case_and_looks_at_all_texts(run: Path) -> None:
    assert [row["id"] for row in rows_of("inspect", run, "--search", "SKY", "--json")] == ["m0-1"]
    assert typed("inspect", run, "--search", "zebra") == ("", "no examples to show: none holds 'zebra'\n")


def test_rejects_show_reason_score_and_the_nearest_text(run: Path) -> None:
    assert rows_of("inspect", run, "--rejected", "--json") == [
        {
            "id": "c2",
            "kind": "instruction",
            "reason": "near_duplicate",
            "instruction": "Name a colour!",
            "score": 1.0,
            "nearest_id": "m0",
            "nearest": "Name a colour.",
        },
        {"id": "c3", "kind": "instruction", "reason": "too_short", "instruction": "Draw it."},
        {
            "id": "m1",
            "kind": "instance",
            "reason": "input_equals_output",
            "instruction": "Is it a fruit?",
            "input": "pear",
            "output": "pear",
        },
    ]
    assert "ROUGE-L:        1.000 to m0: Name a colour.\n" in typed("inspect", run, "--rejected")[0]


def test_a_rule_chooses_among_the_rejects_by_its_name_and_all_rules_of_a_kind_by_the_kind(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "ruled") as built:
        built.admit("Name a colour.", ("", "Red."))
        built.reject("Buy from Acme.", rule_reason(RejectReason.FORBIDDEN, "competitors"))
        built.reject("See https://x.y.", rule_reason(RejectReason.FORBIDDEN, "https?://"))
        built.reject_instance(0, ("", "Blue."), rule_reason(RejectReason.CUSTOM, "not red"))

    def ids(reason: str) -> list[str]:
        return [row["id"] for row in rows_of("inspect", tmp_path / "ruled", "--reason", reason, "--json")]

    assert ids("forbidden") == ["c2", "c3"]
    assert ids("forbidden:competitors") == ["c2"]
    assert ids("forbidden:https?://") == ["c3"]
    assert ids("competitors") == ["c2"]
    assert ids("not red") == ["m0"]
    assert ids("forbidden:comp") == ids("required") == []
    with pytest.raises(InputError, match=r"no such reason: 'comp'; there are .*, forbidden:competitors"):
        ids("comp")
    assert ids("custom") == ids("custom:not red") == ["m0"]
    (row,) = rows_of("inspect", tmp_path / "ruled", "--id", "c3", "--json")
    assert row["verdict"] == row["reason"] == "forbidden:https?://"


def test_a_reason_chooses_among_the_rejects(run: Path) -> None:
    assert [row["id"] for row in rows_of("inspect", run, "--reason", "too_short", "--json")] == ["c3"]
    with pytest.raises(InputError, match=r"no such reason: 'short'; there are uncertain, marker"):
        typed("inspect", run, "--reason", "short")


def test_an_id_shows_all_about_one_example(run: Path) -> None:
    (found,) = rows_of("inspect", run, "--id", "m1-0", "--json")
    assert found["id"] == "m1"
    assert found["verdict"] == "admitted"
    assert found["candidate"] == "c4"
    assert found["classification"] == {"is_classification": True, "margin": None}
    assert found["instances"] == [{"id": "m1-0", "input": "apple", "output": "yes", "reason": None}]
    assert found["in_context"] == [
        {"id": "seed_1", "instruction": "Is the mood of the text happy or sad?"},
        {"id": "m0", "instruction": "Name a colour."},
    ]
    assert [(request["stage"], request["text"]) for request in found["requests"]] == [
        ("instructions", " Is it a fruit?"),
        ("classification", " Yes"),
        ("instances", "raw instances of 1"),
        ("instances", "raw instances of 1"),
    ]
    shown = typed("inspect", run, "--id", "m1")[0]
    assert (
        "prompt showed:  seed_1: Is the mood of the text happy or sad?\n                m0: Name a colour.\n" in shown
    )
    assert "rejected:       input_equals_output\ninput:          pear\n" in shown


def test_an_id_finds_rejected_candidates_and_seeds_too(run: Path) -> None:
    (rejected,) = rows_of("inspect", run, "--id", "c2", "--json")
    assert (rejected["verdict"], rejected["nearest_id"], rejected["score"]) == ("near_duplicate", "m0", 1.0)
    assert rejected["requests"][0]["text"] == " Name a colour!"
    (admitted,) = rows_of("inspect", run, "--id", "c1", "--json")
    assert (admitted["verdict"], admitted["admitted_as"]) == ("admitted", "m0")
    (seed,) = rows_of("inspect", run, "--id", "seed_0-1", "--json")
    assert (seed["verdict"], [case["input"] for case in seed["instances"]]) == ("seed", ["a duke"])


@pytest.mark.parametrize("wanted", ["m9", "m0-5", "m1--1", "c99", "nothing", "", "m" + "9" * 30, "seed_0-7"])
def test_an_id_that_the_run_does_not_hold_is_refused(run: Path, wanted: str) -> None:
    with pytest.raises(InputError, match="the run holds no"):
        typed("inspect", run, "--id", wanted)


def test_random_draws_are_repeated_by_their_seed_and_cover_everything(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        for number in range(20):
            built.admit(f"Task {number}.", ("", str(number)))
    seen = set()
    for seed in range(20):
        flags = ("--random", "--limit", "3", "--rng-seed", str(seed), "--json")
        drawn = [row["id"] for row in rows_of("inspect", tmp_path / "run", *flags)]
        assert drawn == [row["id"] for row in rows_of("inspect", tmp_path / "run", *flags)]
        assert len(set(drawn)) == 3
        seen.update(drawn)
    assert len(seen) > 15


def test_options_that_mean_nothing_together_are_refused(run: Path) -> None:
    for flags in (["--random", "--offset", "1"], ["--rng-seed", "1"], ["--id", "m0", "--random"]):
        with pytest.raises(InputError, match=r"leave one out|give both"):
            typed("inspect", run, *flags)


def test_inspecting_an_empty_run_says_so_and_is_no_failure(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run"):
        pass
    assert typed("inspect", tmp_path / "run") == ("", "no examples to show\n")
    assert typed("inspect", tmp_path / "run", "--rejected", "--json") == ("", "no rejects to show\n")


# Hostile text


def is_harmless(text: str) -> bool:
    """No control but newline and tab, nothing that reorders text, no tag character."""
    kinds = {unicodedata.category(character) for character in text if character not in "\n\t"}
    return not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_nothing_that_a_model_writes_reaches_the_terminal_raw(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        built.admit(ESCAPE, (ESCAPE, ESCAPE), is_classification=None)
        built.reject(ESCAPE, RejectReason.NEAR_DUPLICATE, nearest=2, score=1.0)
        built.reject_instance(0, (ESCAPE, ESCAPE), RejectReason.DUPLICATE)
    run = str(tmp_path / "run")
    for arguments in (
        ("inspect", run),
        ("inspect", run, "--json"),
        ("inspect", run, "--rejected"),
        ("inspect", run, "--id", "m0"),
        ("inspect", run, "--id", "c2"),
        ("inspect", run, "--id", "m0", "--json"),
        ("status", run),
        ("export", run, "-o", "-"),
    ):
        out, err = typed(*arguments)
        assert is_harmless(out + err), arguments
    (example,) = rows_of("inspect", run, "--json")
    assert example["output"] == ESCAPE


def test_a_text_cannot_forge_a_label(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        built.admit("Task.", ("harmless\noutput:         forged", "real"))
    lines = typed("inspect", tmp_path / "run")[0].splitlines()
    assert [line for line in lines if line.startswith("output:")] == ["output:         real"]


def test_a_huge_text_is_shortened_in_lists_and_whole_for_an_id(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        built.admit("Task.", ("", "y" * 3_000_000))
    assert len(typed("inspect", tmp_path / "run")[0]) < 3000
    assert "y" * 3_000_000 in typed("inspect", tmp_path / "run", "--id", "m0")[0]


def test_printable_escapes_what_steers_a_terminal_and_nothing_else() -> None:
    assert printable("\x1b[31m\x00\r\x7f\x9b\u202e\U000e0041") == (r"\x1b[31m\x00\x0d\x7f\x9b\u202e\U000e0041")
    assert printable("a\tb\nñ 日本 🎉 [bold]שלום") == "a\tb\nñ 日本 🎉 [bold]שלום"
    assert printable("\ud800") == r"\ud800"


def test_shortened_texts_say_how_much_is_missing() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdef", 2) == "ab … (4 more characters)"


def test_labelled_texts_hang_below_their_first_line() -> None:
    assert labelled("input", "a\nb", 8) == "input:  a\n        b"


def test_characters_that_stdout_cannot_show_are_escaped(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "other") as built:
        built.admit("Übersetze 日本.", ("", "ü"))
    program = (
        "import sys; from fastinstruct.cli.inspect import inspect; import pathlib; inspect(pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "other"], env=environment, capture_output=True, check=True
    )
    assert rb"instruction:    \xdcbersetze \u65e5\u672c." in done.stdout


@pytest.mark.parametrize("module", ["export", "inspect", "status", "terminal", "chosen_run"])
def test_a_verbs_module_imports_nothing_heavy(module: str) -> None:
    heavy = {"numba", "numpy", "pydantic", "yaml", "rich", "sqlite3", "aiohttp"}
    program = f"import sys, fastinstruct.cli.{module}; print(sorted(set(sys.modules) & {heavy!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
