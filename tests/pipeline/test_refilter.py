"""Refiltering: what becomes of stored answers under other filters, and that nothing is asked, lost or written twice."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from fastinstruct.pipeline.stages.reading import reading_of
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from built_run import BuiltRun
from fastinstruct.cli.export import export
from fastinstruct.cli.inspect import inspect
from fastinstruct.cli.refilter import refilter as refilter_verb
from fastinstruct.cli.status import status
from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import ConfigError, FastInstructError, RunFolderError, StoreError
from fastinstruct.pipeline import Run, RunResult, refilter
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.refiltering.replay import Rejudge
from fastinstruct.records import Api, RejectReason
from fastinstruct.scripted_server import Latency, Script, ScriptedServer
from fastinstruct.scripted_server.replies import Kind
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import (
    AttemptRow,
    CandidateRow,
    RequestRow,
    RunFolder,
    RunReader,
    history,
    read_manifest,
    schema,
)

TABLES = ("meta", "seed", "template", "request", "attempt", "candidate", "instruction", "classification", "instance")
SCRIPT = Script(duplicate_rate=0.5, junk_rate=0.2, length_rate=0.1)
OTHER = {"similarity.threshold": 0.4, "filters.keywords": [], "filters.min_words": 2}  # some are gained, some lost


def config_for(server: ScriptedServer, out: Path, **flags: Any) -> RunConfig:
    given_flags: dict[str, Any] = {
        "model.base_url": server.base_url,
        "model.name": "scripted",
        "model.api": "completions",
        "classification.method": "text",
        "out": out,
        "target": 40,
        "runtime.max_in_flight": 1,
    }
    return load_config(flags=given_flags | {key.replace("__", "."): value for key, value in flags.items()})


async def execute(config: RunConfig) -> RunResult:
    return await Run(config, env={"XDG_CACHE_HOME": f"{config.out}-cache"}).execute()


def made(folder: Path, script: Script = SCRIPT, **flags: Any) -> Path:
    """Make a run, one request in flight unless the flags say otherwise."""

    async def run() -> None:
        async with ScriptedServer(script) as server:
            await execute(config_for(server, folder, **flags))

    asyncio.run(run())
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with near-duplicates, junk and torn replies; read-only for all tests."""
    return made(tmp_path_factory.mktemp("refilter") / "run")


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def tables(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that a run holds, but for its sittings and how its latest one fared."""
    found = {name: rows(folder, f"SELECT * FROM {name} ORDER BY rowid") for name in TABLES if name not in _KEYED}
    found |= {name: rows(folder, f"SELECT * FROM {name} ORDER BY 1") for name in _KEYED}
    return found | {"meta": [row for row in found["meta"] if row[0] != "telemetry"]}


_KEYED = ("meta", "template")  # tables without a rowid


def examples_by_instruction(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    with RunReader(folder) as reader:
        for example in reader.examples():
            case = (example.input, example.output, example.is_classification)
            found.setdefault(example.instruction, []).append(case)
    return found


def instructions(folder: Path) -> list[str]:
    return [text for (text,) in rows(folder, "SELECT text FROM instruction ORDER BY id")]


# --------------------------------------------------------------------------------------------------- nothing is changed


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"model__api": "chat"},
        {"profile": "paper"},
        {"classification__method": "auto"},
        {"similarity__tokenizer": "rouge", "filters__min_words": 6},
    ],
)
def test_without_changes_the_data_are_equal_to_the_last_row(tmp_path: Path, flags: dict[str, Any]) -> None:
    script = Script(duplicate_rate=0.3, junk_rate=0.1, faults={"500": 0.1, "truncated": 0.05})
    old = made(tmp_path / "old", script, runtime__max_in_flight=16, **flags)
    found = refilter(old, tmp_path / "new", {})
    assert tables(tmp_path / "new") == tables(old)
    assert rows(old, "SELECT count(*) FROM attempt") != [(0,)]
    assert found.changes == {}
    assert (found.before, found.num_gained, found.num_lost, found.num_left_out) == (found.after, 0, 0, 0)
    assert (found.num_to_classify, found.num_to_instantiate) == (0, 0)


def test_a_value_that_is_set_to_what_it_was_is_no_change(run: Path, tmp_path: Path) -> None:
    found = refilter(run, tmp_path / "new", {"similarity.threshold": 0.7, "target": 40})
    assert found.changes == {}
    assert tables(tmp_path / "new") == tables(run)


def test_a_run_of_an_older_version_has_no_limit_on_repeated_outputs_until_it_is_given_one(
    run: Path, tmp_path: Path
) -> None:
    old = shutil.copytree(run, tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    assert manifest["identity"]["filters"].pop("max_repeated_output") == 10
    (old / "manifest.json").write_text(json.dumps(manifest))
    (old / "config.yaml").write_text(
        "".join(
            line
            for line in (old / "config.yaml").read_text().splitlines(keepends=True)
            if not line.strip().startswith(("required:", "forbidden:", "max_repeated_output:"))
        )
    )
    assert refilter(old, tmp_path / "same", {}).changes == {}
    assert read_manifest(tmp_path / "same")["identity"] == manifest["identity"]
    limited = refilter(old, tmp_path / "limited", {"filters.max_repeated_output": 10})
    assert limited.changes == {"filters.max_repeated_output": (None, 10)}
    assert read_manifest(tmp_path / "limited")["identity"]["filters"]["max_repeated_output"] == 10


# ------------------------------------------------------------------------------------------------------ what is decided

THRESHOLDS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.4, 0.5, 0.6, 2 / 3, 0.7, 0.71, 0.8, 0.9, 1.0]))


@settings(max_examples=25)
@given(threshold=THRESHOLDS, tokenizer=st.sampled_from(["unicode", "rouge"]))
def test_every_candidate_is_decided_as_an_index_decides_in_the_same_order(
    run: Path, threshold: float, tokenizer: str
) -> None:
    index = RougeIndex(threshold=threshold, tokenizer=tokenizer)
    with RunReader(run) as reader:
        index.add([seed.instruction for seed in reader.seeds()])
        stored = [row for _, candidates in history(reader) for row in candidates]
    with tempfile.TemporaryDirectory() as folder:
        refilter(run, Path(folder), {"similarity.threshold": threshold, "similarity.tokenizer": tokenizer})
        with RunReader(Path(folder)) as reader:
            decided = [row for _, candidates in history(reader) for row in candidates]
        admitted = instructions(Path(folder))
    assert [row.text for row in decided] == [row.text for row in stored]
    expected: list[str] = []
    for old, new in zip(stored, decided, strict=True):
        if old.reason not in {None, RejectReason.NEAR_DUPLICATE}:
            assert (new.reason, new.nearest, new.score) == (old.reason, None, None)
            continue
        (verdict,) = index.admit([old.text])
        if verdict.admitted:
            assert (new.reason, new.nearest, new.score) == (None, None, None)
            expected.append(old.text)
        else:
            assert (new.reason, new.nearest, new.score) == ("near_duplicate", verdict.nearest, verdict.score)
    assert admitted == expected


@settings(max_examples=10)
@given(threshold=THRESHOLDS, min_words=st.integers(0, 12))
def test_refiltering_back_gives_the_old_run_again(run: Path, threshold: float, min_words: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        refilter(run, folder / "there", {"similarity.threshold": threshold, "filters.min_words": min_words})
        refilter(folder / "there", folder / "back", {"similarity.threshold": 0.7, "filters.min_words": 4})
        assert tables(folder / "back") == tables(run)


def test_instructions_in_both_keep_their_answers_and_the_others_have_none(run: Path, tmp_path: Path) -> None:
    found = refilter(run, tmp_path / "new", OTHER)
    before, after = instructions(run), instructions(tmp_path / "new")
    assert found.num_kept == len({*before} & {*after}) > 0
    assert found.num_lost == len({*before} - {*after}) > 0
    assert found.num_gained == len({*after} - {*before}) > 0
    assert found.num_to_classify == found.num_gained
    old_examples, new_examples = examples_by_instruction(run), examples_by_instruction(tmp_path / "new")
    assert new_examples == {text: cases for text, cases in old_examples.items() if text in after}
    classified = (
        "SELECT i.text, c.is_classification FROM classification AS c JOIN instruction AS i ON i.id = instruction_id"
    )
    assert {*rows(tmp_path / "new", classified)} == {row for row in rows(run, classified) if row[0] in after}


def test_what_was_paid_for_is_kept(run: Path, tmp_path: Path) -> None:
    refilter(run, tmp_path / "new", {"similarity.threshold": 0.3})
    paid = "SELECT id, stage, outcome, text, prompt_tokens, completion_tokens FROM request ORDER BY id"
    assert rows(tmp_path / "new", paid) == rows(run, paid)


def test_the_heuristic_filters_are_applied_anew(run: Path, tmp_path: Path) -> None:
    found = refilter(run, tmp_path / "new", {"filters.keywords": [], "filters.min_words": 0, "filters.max_words": 12})
    assert found.before.rejected["keyword"] > 0
    assert found.before.rejected["too_short"] > 0
    assert found.after.rejected.keys() & {"keyword", "too_short"} == set()
    assert max(len(text.split()) for text in instructions(tmp_path / "new")) <= 12


def test_fewer_instances_are_kept_of_the_same_answers(run: Path, tmp_path: Path) -> None:
    refilter(run, tmp_path / "new", {"instances.max_instances": 1})
    assert examples_by_instruction(tmp_path / "new") == {
        text: cases[:1] for text, cases in examples_by_instruction(run).items()
    }
    surplus = rows(tmp_path / "new", "SELECT count(*) FROM instance WHERE reason = 'surplus'")
    assert surplus == rows(run, "SELECT count(*) FROM instance WHERE reason IS NULL AND item > 0")


def test_prompts_showed_what_they_showed_whatever_the_pool_holds_now(run: Path, tmp_path: Path) -> None:
    """A task that the new pool lacks is stored as text, and found by its position again when it is back."""

    def shown(folder: Path) -> list[list[str]]:
        with RunReader(folder) as reader:
            pool = [seed.instruction for seed in reader.seeds()] + instructions(folder)
            requests = [request for request, _ in history(reader) if request.stage == "instructions"]
        return [[pool[task] if isinstance(task, int) else task for task in r.in_context or ()] for r in requests]

    refilter(run, tmp_path / "new", {"similarity.threshold": 0.3})
    refilter(tmp_path / "new", tmp_path / "newer", {"similarity.threshold": 0.55})
    assert shown(tmp_path / "new") == shown(tmp_path / "newer") == shown(run)
    stored = [json.loads(text) for (text,) in rows(tmp_path / "new", "SELECT in_context FROM request") if text]
    assert any(isinstance(task, str) for tasks in stored for task in tasks)


# ------------------------------------------------------------------------------------------------------- one old answer

SEEDS = ["Explain how tides work to a child of seven years."]
NEW = ["List five cheap breakfasts for students.", "Turn these meeting notes into a polite reminder."]


def new_rejudge(old: Sequence[str] = (), candidate_ids: Sequence[int] = ()) -> Rejudge:
    index = RougeIndex()
    index.add(SEEDS)
    judge = Judge(reading_of(RunConfig(), Api.COMPLETIONS), index, num_seeds=1, rng_seed=0, threshold=None)
    return Rejudge(judge, TaskPool(SEEDS, old), candidate_ids)


def request(id_: int, stage: str, number: int, text: str | None, **facts: Any) -> RequestRow:
    template = {"instructions": "instructions", "classification": "classification"}.get(stage, "input_first")
    known: dict[str, Any] = {"template": template, "outcome": "ok", "in_context": None, "finish_reason": "stop"}
    return RequestRow(id=id_, stage=stage, number=number, text=text, **(known | facts))


def candidate(id_: int, text: str, reason: RejectReason | None = None) -> CandidateRow:
    return CandidateRow(id=id_, text=text, reason=reason)


def generated(texts: Sequence[str], **facts: Any) -> RequestRow:
    listed = "".join(f"\n{number}. {text}" for number, text in enumerate(texts[1:], 3))
    return request(1, "instructions", 0, f" {texts[0]}{listed}", in_context=(0,), **facts)


def test_an_answer_that_could_not_be_parsed_is_read_anew() -> None:
    rejudge = new_rejudge()
    commit = rejudge.settle(generated(NEW, outcome="parser_failed", detail="KeyError"), [])
    assert commit is not None
    assert (commit.request.outcome, commit.request.detail) == ("ok", None)
    assert [row.text for row in commit.instructions] == NEW
    assert rejudge.num_gained == 2


def test_a_request_that_failed_stays_as_it_was() -> None:
    attempts = (AttemptRow(attempt=1, outcome="transient", detail="server: 500", latency_ms=7),)
    failed = request(3, "instructions", 2, None, outcome="transient", detail="server: 502", attempts=attempts)
    commit = new_rejudge().settle(failed, [])
    assert commit is not None
    assert commit.request == failed
    assert (commit.candidates, commit.instructions) == ((), ())


@pytest.mark.parametrize(("outcome", "is_settled"), [("bad_request", True), ("deadline", False)])
def test_only_a_refusal_leaves_an_instruction_unclassified_for_good(outcome: str, *, is_settled: bool) -> None:
    rejudge = new_rejudge(NEW[:1], [1])
    rejudge.settle(generated(NEW[:1]), [candidate(1, NEW[0])])
    commit = rejudge.settle(request(2, "classification", 0, None, outcome=outcome, detail="no"), [])
    assert commit is not None
    assert (commit.classification is not None) == is_settled
    assert (commit.request.outcome, commit.request.detail) == (outcome, "no")


def test_instances_are_read_in_the_form_they_were_asked_for() -> None:
    rejudge = new_rejudge(NEW[:1], [1])
    rejudge.settle(generated(NEW[:1]), [candidate(1, NEW[0])])
    text = "Class label: neutral\nA headline.\n"
    commit = rejudge.settle(request(2, "instances", 0, text, template="output_first"), [])
    assert commit is not None
    assert [(row.input, row.output) for row in commit.instances] == [("A headline.", "neutral")]


def test_an_answer_about_a_candidate_that_is_not_found_any_more_is_left_out() -> None:
    """Another version may read an answer otherwise; there is nothing then that its instances could belong to."""
    rejudge = new_rejudge(["Something that the reply does not say."], [1])
    rejudge.settle(generated(NEW), [candidate(1, "Something that the reply does not say.")])
    assert rejudge.settle(request(2, "classification", 0, "No"), []) is None
    assert (rejudge.num_kept, rejudge.num_gained, rejudge.num_lost, rejudge.num_left_out) == (0, 2, 1, 1)


def test_of_equal_candidates_in_one_answer_each_is_taken_for_itself() -> None:
    rejudge = new_rejudge(NEW[:1], [1])
    old = [candidate(1, NEW[0]), candidate(2, NEW[0], RejectReason.NEAR_DUPLICATE)]
    commit = rejudge.settle(generated([NEW[0], NEW[0]]), old)
    assert commit is not None
    assert [row.reason for row in commit.candidates] == [None, "near_duplicate"]
    kept, rejected = (rejudge.settle(request(n, "classification", n, "No"), []) for n in (0, -2))
    assert kept is not None
    assert rejected is not None
    assert (kept.request.number, rejected.request.number) == (0, -2)


# ------------------------------------------------------------------------------------------------------ the run goes on


async def test_the_new_run_goes_on_with_its_own_configuration(tmp_path: Path) -> None:
    async with ScriptedServer(SCRIPT) as server:
        await execute(config_for(server, tmp_path / "old"))
        found = await asyncio.to_thread(refilter, tmp_path / "old", tmp_path / "new", OTHER)
        num_before, num_requests = found.after.num_admitted, len(server.log)
        config = load_config(tmp_path / "new" / "config.yaml", flags={"out": tmp_path / "new"})
        result = await execute(config)
        asked = [entry.kind for entry in server.log[num_requests:]]
    assert num_before < 40 <= result.progress.num_admitted
    num_new = result.progress.num_admitted - num_before
    assert asked.count(Kind.CLASSIFICATION) == found.num_gained + num_new
    with RunReader(tmp_path / "new") as reader:
        totals = reader.totals()
        seeds = [seed.instruction for seed in reader.seeds()]
    assert totals.num_classified == totals.num_admitted
    index = RougeIndex(threshold=0.4)
    index.add(seeds)
    assert all(verdict.admitted for verdict in index.admit(instructions(tmp_path / "new")))
    answered = "SELECT count(*) FROM request WHERE stage = 'instances' AND number = instruction.id"
    assert {*rows(tmp_path / "new", f"SELECT ({answered}) FROM instruction")} == {(1,)}


async def test_a_calibrated_run_is_not_calibrated_again(tmp_path: Path) -> None:
    async with ScriptedServer(SCRIPT) as server:
        await execute(config_for(server, tmp_path / "old", classification__method="logprobs"))
        found = await asyncio.to_thread(refilter, tmp_path / "old", tmp_path / "new", OTHER)
        num_requests = len(server.log)
        config = load_config(tmp_path / "new" / "config.yaml", flags={"target": 1})
        await Run(config, env={"XDG_CACHE_HOME": str(tmp_path / "empty")}).execute()
        asked = [entry.kind for entry in server.log[num_requests:]]
    num_instances = asked.count(Kind.INPUT_FIRST) + asked.count(Kind.OUTPUT_FIRST)
    assert asked.count(Kind.CLASSIFICATION) == num_instances == found.num_gained > 0


async def test_a_run_is_refiltered_as_it_is_at_one_moment_while_it_goes_on(tmp_path: Path) -> None:
    async with ScriptedServer(Script(duplicate_rate=0.3, latency=Latency(0.004))) as server:
        config = config_for(server, tmp_path / "old", target=120, runtime__max_in_flight=8)
        going = Run(config, env={})
        task = asyncio.create_task(going.execute())
        while (progress := going.progress()) is None or progress.num_admitted < 30:  # noqa: ASYNC110 - no event is set
            await asyncio.sleep(0.002)
        found = await asyncio.to_thread(refilter, tmp_path / "old", tmp_path / "new", {})
        assert not task.done()
        await task
    requests = rows(tmp_path / "new", "SELECT * FROM request ORDER BY id")
    assert requests == rows(tmp_path / "old", "SELECT * FROM request ORDER BY id")[: len(requests)]
    assert instructions(tmp_path / "new") == instructions(tmp_path / "old")[: found.after.num_admitted]
    assert found.before == found.after


# ------------------------------------------------------------------------------------------- the tokenizer has versions


@pytest.fixture
def run_of_old(run: Path, tmp_path: Path) -> Path:
    """A run from before the second version of `unicode`: its files name none."""
    copy = tmp_path / "old"
    shutil.copytree(run, copy)
    for name in ("config.yaml", "manifest.json"):
        text = (copy / name).read_text()
        assert text.count("unicode-2") == 1
        (copy / name).write_text(text.replace("unicode-2", "unicode"))
    return copy


def tokenizers(folder: Path) -> tuple[str, str]:
    config = load_config(folder / "config.yaml").similarity.tokenizer
    return config, json.loads((folder / "manifest.json").read_text())["identity"]["similarity"]["tokenizer"]


def test_a_new_run_records_the_exact_tokenizer(run: Path) -> None:
    assert tokenizers(run) == ("unicode-2", "unicode-2")


def test_a_run_of_the_first_tokenizer_keeps_it(run_of_old: Path, tmp_path: Path) -> None:
    assert refilter(run_of_old, tmp_path / "new", {"similarity.threshold": 0.6}).changes == {
        "similarity.threshold": (0.7, 0.6)
    }
    assert tokenizers(tmp_path / "new") == ("unicode-1", "unicode-1")


def test_unicode_asked_for_by_name_is_the_newest(run: Path, run_of_old: Path, tmp_path: Path) -> None:
    newest = {"similarity.tokenizer": "unicode"}
    assert refilter(run, tmp_path / "same", newest).changes == {}
    found = refilter(run_of_old, tmp_path / "new", newest)
    assert found.changes == {"similarity.tokenizer": ("unicode-1", "unicode-2")}
    assert tokenizers(tmp_path / "new") == ("unicode-2", "unicode-2")


# ----------------------------------------------------------------------------------------------------- what is recorded


def test_the_manifest_says_where_the_new_run_comes_from(run: Path, tmp_path: Path) -> None:
    refilter(run, tmp_path / "new", {"similarity.threshold": 0.6})
    refilter(tmp_path / "new", tmp_path / "newer", {"filters.min_words": 5})
    old, new, newer = (
        json.loads((folder / "manifest.json").read_text()) for folder in (run, tmp_path / "new", tmp_path / "newer")
    )
    assert new["identity"] == old["identity"] | {"similarity": {"threshold": 0.6, "tokenizer": "unicode-2"}}
    origin = new["refiltered_from"]
    with RunReader(run) as reader:
        totals = reader.totals()
    assert (origin["run"], origin["changes"]) == (str(run), {"similarity.threshold": [0.7, 0.6]})
    counts = ("num_candidates", "num_admitted", "num_examples")
    assert [origin[name] for name in counts] == [getattr(totals, name) for name in counts]
    assert newer["refiltered_from"]["refiltered_from"] == origin
    assert newer["refiltered_from"]["identity_sha256"] != origin["identity_sha256"]


def test_the_old_run_is_only_read(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    files = ("run.db", "manifest.json", "config.yaml")
    before = {name: (copy / name).read_bytes() for name in files}
    refilter(copy, tmp_path / "new", {"similarity.threshold": 0.5})
    assert {name: (copy / name).read_bytes() for name in files} == before


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"similarity.treshold": 0.6}, r"unknown key similarity\.treshold \(did you mean similarity\.threshold\?\)"),
        ({"similarity.threshold": 1.5}, r"similarity\.threshold: input should be less than or equal to 1, got 1\.5"),
        ({"profile": "paper"}, r"^profile: cannot be changed: it decides what the model was asked"),
        ({"rng_seed": 1}, r"^rng_seed: cannot be changed: it decides what the model was asked"),
        ({"seeds": "mine.jsonl"}, r"^seeds: cannot be changed: it decides what the model was asked"),
        ({"instructions.num_items": 4}, r"^instructions\.num_items: cannot be changed: it decides"),
        ({"classification.method": "auto"}, r"^classification\.method: cannot be changed: it decides"),
        ({"model.extra_body": {"k": "s3cr3t"}}, r"^model\.extra_body: cannot be changed: it decides"),
        ({"model.gguf": "m.gguf"}, r"^model\.gguf: cannot be changed: it decides"),
        ({"target": 5}, r"^target: cannot be changed: it has no part in refiltering; give it to `fastinstruct run`"),
        ({"model.headers": {"X": "s3cr3t"}}, r"^model\.headers: cannot be changed: it has no part in refiltering"),
        ({"out": "elsewhere"}, r"^out: cannot be changed: --out names the new run's folder"),
        ({"instances.max_instances": 6}, r"cannot be raised: the model was stopped after 5 instances; give at most 5"),
    ],
)
def test_what_cannot_be_changed_is_named_with_the_reason(
    run: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        refilter(run, tmp_path / "new", changes)
    assert "s3cr3t" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_chat_models_instances_may_be_raised_to_what_it_gave(tmp_path: Path) -> None:
    old = made(tmp_path / "old", model__api="chat", instances__max_instances=1)
    refilter(old, tmp_path / "new", {"instances.max_instances": 5})
    assert rows(old, "SELECT count(*) FROM instance WHERE reason = 'surplus'") != [(0,)]
    assert rows(tmp_path / "new", "SELECT count(*) FROM instance WHERE reason = 'surplus'") == [(0,)]


def test_folders_that_will_not_do_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"none: holds no run \(there is no run\.db\)"):
        refilter(tmp_path / "none", tmp_path / "new", {})
    with pytest.raises(RunFolderError, match="is the run itself, which stays as it is"):
        refilter(run, run / ".." / run.name, {})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(RunFolderError, match=r"full: is not empty, it holds thesis\.tex; give a new folder as --out"):
        refilter(run, tmp_path / "full", {})
    with RunFolder(tmp_path / "busy"), pytest.raises(RunFolderError, match="busy: another process is writing"):
        refilter(run, tmp_path / "busy", {})
    assert not (tmp_path / "new").exists()


def test_a_run_folder_that_was_tampered_with_is_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("min_words: 4", "min_words: 3"))
    with pytest.raises(RunFolderError, match=r"was edited, filters\.min_words is 3 there and 4 in manifest\.json"):
        refilter(copy, tmp_path / "new", {})
    (copy / "config.yaml").write_text(config)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["identity"]["similarity"]["language"] = "en"  # of a version to come
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunFolderError, match=r"cannot apply similarity\.language, which the run was filtered by"):
        refilter(copy, tmp_path / "new", {})
    (copy / "config.yaml").unlink()
    with pytest.raises(RunFolderError, match=r"holds no config\.yaml; resume the run once, which writes it anew"):
        refilter(copy, tmp_path / "new", {})
    (copy / "manifest.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"manifest\.json: is damaged"):
        refilter(copy, tmp_path / "new", {})


def test_a_run_without_a_known_route_is_refused(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "old", api="telepathy"):
        pass
    (tmp_path / "old" / "config.yaml").write_text(
        "rng_seed: 7\ninstructions: {num_items: 4}\nsimilarity: {tokenizer: rouge}"
    )
    with pytest.raises(RunFolderError, match=r"manifest\.json: is damaged"):
        refilter(tmp_path / "old", tmp_path / "new", {})


def test_a_full_disk_leaves_nothing_that_looks_like_a_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = schema.connect

    def small(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        connection = connect(path, read_only=read_only)
        if not read_only:
            connection.execute("PRAGMA max_page_count = 30")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(schema, "connect", small)
        with pytest.raises(StoreError, match="the disk is full"):
            refilter(run, tmp_path / "new", {})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.lock"]
    refilter(run, tmp_path / "new", {})
    assert tables(tmp_path / "new") == tables(run)


def test_what_a_killed_process_left_is_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for name in (".run.db.new", ".run.db.new-wal"):
        (tmp_path / "new" / name).write_bytes(b"half a page")
    refilter(run, tmp_path / "new", {})
    assert tables(tmp_path / "new") == tables(run)
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert {name for name in names if not name.startswith("run.db-")} == {
        "config.yaml",
        "manifest.json",
        "run.db",
        "run.lock",
    }


# ------------------------------------------------------------------------------------------------------- as it is typed

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
for verb in (export, inspect, refilter_verb, status):
    app.command()(verb)


def typed(*arguments: str | Path) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, FastInstructError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


@pytest.fixture
def new(run: Path, tmp_path: Path) -> Path:
    refilter(run, tmp_path / "new", {"similarity.threshold": 0.4})
    return tmp_path / "new"


def test_the_verb_prints_a_table_of_before_and_after(run: Path, tmp_path: Path) -> None:
    out, err = typed("refilter", run, "-o", tmp_path / "new", "--threshold", "0.5", "--set", "filters.min_words=5")
    lines = [line.split() for line in out.splitlines()]
    with RunReader(run) as before, RunReader(tmp_path / "new") as after:
        old_totals, new_totals = before.totals(), after.totals()
    assert "similarity.threshold: 0.7 -> 0.5" in out
    assert "filters.min_words: 4 -> 5" in out
    assert ["admitted", str(old_totals.num_admitted), str(new_totals.num_admitted)] in lines
    near = "near_duplicate"
    assert [near, str(old_totals.rejected[near]), str(new_totals.rejected[near])] in lines
    assert f"run --config {tmp_path / 'new' / 'config.yaml'} --out {tmp_path / 'new'}" in err


def test_the_verb_shows_rules_by_their_names(run: Path, tmp_path: Path) -> None:
    rules = "filters.forbidden=[acme, {name: links, pattern: 'https?://'}, {words: [a, b], on: output}]"
    required = "filters.required={pattern: '.'}"
    out, _ = typed("refilter", run, "-o", tmp_path / "new", "--set", rules, "--set", required)
    assert "filters.forbidden: none -> acme, links, a or b\n" in out
    assert "filters.required: none -> .\n" in out


def test_the_verb_prints_the_same_as_json(run: Path, tmp_path: Path) -> None:
    out, err = typed("refilter", run, "-o", tmp_path / "new", "--set", "similarity.threshold=0.5", "--json")
    found = json.loads(out)
    assert err == ""
    assert found["changes"] == {"similarity.threshold": {"before": 0.7, "after": 0.5}}
    assert (
        found["after"]["num_admitted"] == found["num_kept"] + found["num_gained"] == len(instructions(tmp_path / "new"))
    )
    assert found["before"]["num_admitted"] == found["num_kept"] + found["num_lost"] == len(instructions(run))
    assert sum(found["after"]["rejected"].values()) == found["after"]["num_candidates"] - found["after"]["num_admitted"]


def test_nothing_changed_is_said(run: Path, tmp_path: Path) -> None:
    out, err = typed("refilter", run, "-o", tmp_path / "new")
    assert out.startswith("nothing is changed\n")
    assert "go on to the target" in err


def test_status_inspect_and_export_take_the_new_run_for_any_other(run: Path, new: Path, tmp_path: Path) -> None:
    assert f"refilter of {run}" in typed("status", new)[0]
    assert typed("export", new, "-f", "alpaca", "-f", "messages")[0].count("examples") == 2
    for prefix, table in (("m", "instruction"), ("c", "candidate")):
        for (number,) in rows(new, f"SELECT id FROM {table}"):
            typed("inspect", new, "--id", f"{prefix}{number}")
    typed("inspect", new, "--rejected", "--limit", "1000")


def test_inspect_shows_tasks_that_are_not_in_the_pool_and_answers_about_rejects(run: Path, new: Path) -> None:
    kept = [id_ for id_, text in rows(new, "SELECT candidate_id, in_context FROM instruction JOIN request ON "
            "request.id = (SELECT request_id FROM candidate WHERE candidate.id = candidate_id)")
            if any(isinstance(task, str) for task in json.loads(text))]  # fmt: skip
    assert "not in the pool: " in typed("inspect", new, "--id", f"c{kept[0]}")[0]
    ((lost,), *_) = rows(new, "SELECT -number FROM request WHERE number < 0 AND stage = 'instances'")
    asked = json.loads(typed("inspect", new, "--id", f"c{lost}", "--json")[0])["requests"]
    assert [one["stage"] for one in asked] == ["instructions", "classification", "instances"]


def test_the_reference_files_hold_the_prompts_that_were_sent(run: Path, new: Path) -> None:
    def prompts(folder: Path) -> dict[str, str]:
        typed("export", folder, "-f", "reference", "-o", new.parent / f"exported-{folder.name}")
        file = new.parent / f"exported-{folder.name}" / "machine_generated_instructions.jsonl"
        exported = map(json.loads, file.read_text(encoding="utf-8").split("\n")[:-1])
        return {row["instruction"]: row["metadata"]["prompt"] for row in exported}

    before, after = prompts(run), prompts(new)
    shared = before.keys() & after.keys()
    assert shared
    assert {text: after[text] for text in shared} == {text: before[text] for text in shared}
