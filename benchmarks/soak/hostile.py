"""Hostile replies, bodies, files and damaged run folders, one after another, until the time is up or one does harm.

Four kinds take turns: texts through the parsers and filters of replies; bodies through the classifier of a server's
replies; bytes through every reader of a user's files; and a run's folder with bytes changed, cut or gone through
status, inspect, export, refilter and resuming. Harm is an exception that is not ours, more than two seconds, or more
than a GiB of memory. Everything follows from a seed and the case's number. A table for people, one JSON document as
the last line; 1 as exit code after harm.

    python -m benchmarks.soak.hostile --minutes 30
    python -m benchmarks.soak.hostile --seed 0 --first 1234 --cases 1     # one case again
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from typer.testing import CliRunner

from fastinstruct import __version__
from fastinstruct.cli.app import app
from fastinstruct.config import load_config
from fastinstruct.config.recording import recorded
from fastinstruct.errors import FastInstructError
from fastinstruct.files.rows import Source, rows_of
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes.classify import classify_reply
from fastinstruct.pipeline import prepare
from fastinstruct.pipeline.identity import begun_identity
from fastinstruct.pipeline.monitoring.monitor import open_monitor
from fastinstruct.pipeline.recipes import RECIPES
from fastinstruct.records import Api, FinishReason, Sampling
from fastinstruct.store import (
    FORMAT_VERSION,
    AnnotationRow,
    CandidateRow,
    Commit,
    InstanceRow,
    InstructionRow,
    RequestRow,
    RunFolder,
    RunStore,
    read_manifest,
)
from fastinstruct.text.marker_names import load_marker_names
from fastinstruct.text.parsing import parse_classification, parse_instances, parse_instructions
from fastinstruct.text.parsing_instructions import refined
from fastinstruct.text.prompting import load_templates
from fastinstruct.text.seeds import load_seeds
from fastinstruct.text.sifting import sift_instances
from fastinstruct.text.structured import read_examples, read_is_classification, read_tasks

_MOST_S, _MOST_MIB = 2.0, 1024
_ENDPOINT = Endpoint(base_url="http://127.0.0.1:9/v1", model="m", api_key="sk-hostile-soak-key-1")
_REQUEST = Request(key="k", prompt="p", sampling=Sampling(max_tokens=256))
_PIECES = (
    *(
        "Example 1\n",
        "Input: ",
        "Output: ",
        "Task: ",
        "**",
        "```\n",
        "~~~",
        "<think>",
        "</think>",
        "◁think▷",
        "[THINK]",
    ),
    *('{"tasks": [', '"', "'", "\\", "]", "}", "{", "[", ":", ",", "null", "1e999", "9. ", "IX. ", "① ", "- ", "> "),
    *("Class label: ", "输出：", "निर्गत: ", "I can't help", "Let me know if ", "(Note: ", "<|channel|>analysis"),
    *("\n", "\n\n", " ", "\t", "\x00", "\u200b", "\u202e", "\u2028", "\ud800", "a", "The cat sat. ", "é", "\x1b[31m"),
    *('{"choices":[{"message":{"content":', '"usage":{"completion_tokens":', '"error":{"message":', "<title>"),
)
_VALUES = (
    "'x'",
    "''",
    "-7",
    "0",
    "9223372036854775807",
    "2.5",
    "9e999",
    "x'ff'",
    "CAST(x'ff' AS TEXT)",
    "'{}'",
    "NULL",
)
_SEED = '{"id": "s", "name": "s", "instruction": "Greet.", "instances": [{"input": "", "output": "Good day."}]}\n'
_BYTES = (b"\xff", b"\x00", b"\xef\xbb\xbf", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"PK", b"\xed\xa0\x80", b"&a [*a,*a]\n")


class Harm(Exception):
    """What a case did: an exception that is not ours, too long, too much memory."""


def hostile_text(rng: random.Random) -> str:
    """A text of up to 64,000 characters, from few pieces repeated often or many drawn."""
    pieces = rng.choices(_PIECES, k=rng.randint(1, 12))
    if rng.random() < 0.5:
        text = "".join(pieces) * rng.randint(1, 4_000)
    else:
        text = "".join(rng.choices(pieces, k=rng.randint(1, 3_000)))
    return text[: rng.choice((100, 4_000, 64_000))]


def hostile_bytes(rng: random.Random) -> bytes:
    """A file of up to 64,000 bytes: text in UTF-8, often cut or with other bytes in it."""
    content = bytearray(hostile_text(rng).encode("utf-8", "surrogatepass"))
    for _ in range(rng.randint(0, 8)):
        at = rng.randint(0, len(content))
        content[at:at] = rng.choice(_BYTES)
    return bytes(content)


def read_text(rng: random.Random, _: Path) -> None:
    """One text through every reader of replies."""
    text, reason = hostile_text(rng), rng.choice(list(FinishReason))
    parse_instructions(text, api=rng.choice(list(Api)), first_number=9, max_items=8, finish_reason=reason)
    for is_label in (False, True):
        found = parse_instances(text, is_classification=is_label, finish_reason=reason, instruction="Write it.")
        sift_instances(found.kept, instruction="Write it.")
    parse_classification(text)
    refined(read_tasks(text, max_items=8, is_torn=False))
    read_examples(text, is_torn=True, instruction="Write it.")
    read_is_classification(text)


def read_body(rng: random.Random, _: Path) -> None:
    """One body through the classifier, which raises nothing."""
    status = rng.choice((200, 200, 400, 401, 404, 413, 429, 500, 503))
    headers = {"retry-after": hostile_text(rng)[:200], "content-type": "application/json"}
    classify_reply(status, headers, hostile_bytes(rng), _ENDPOINT, now_s=1e9, request=_REQUEST, limits=(256,))


def read_file(rng: random.Random, folder: Path) -> None:
    """One file through every reader of a user's files."""
    content = hostile_bytes(rng)
    for suffix in (".jsonl", ".yaml", ".json", ".toml", ".txt"):
        (folder / f"file{suffix}").write_bytes(content)
    prompts = folder / "prompts"
    prompts.mkdir(exist_ok=True)
    (prompts / "instructions.txt").write_bytes(content)
    readers: list[Callable[[], object]] = [
        lambda: load_seeds(folder / "file.jsonl"),
        lambda: list(rows_of(Source(folder / "file.jsonl", "instruction"))),
        lambda: list(rows_of(Source(folder / "file.txt", None))),
        *(lambda suffix=suffix: load_config(folder / f"file{suffix}") for suffix in (".yaml", ".json", ".toml")),
        lambda: load_marker_names(folder / "file.txt"),
        lambda: load_templates(Api.CHAT, RECIPES["self_instruct"].placeholders(), prompts),
    ]
    for read in readers:
        with suppress(FastInstructError):
            read()


def built(folder: Path) -> Path:
    """A small run with one example, as its own version would leave it behind, in a folder beside its seeds.

    Raises:
        Harm: a verb does not take it as it is, so that damaging it would show nothing.
    """
    folder.parent.joinpath("seeds.jsonl").write_text(_SEED, encoding="utf-8")
    flags = {"model.base_url": _ENDPOINT.base_url, "model.name": "m", "model.api": "chat", "target": 1}
    config = load_config(flags={**flags, "seeds": folder.parent / "seeds.jsonl", "out": folder}, env={})
    preparation = prepare(config, {})
    with RunFolder(folder) as opened:
        opened.claim(preparation.identity(), {"fastinstruct": __version__, "format": FORMAT_VERSION})
        store = RunStore(opened.prepare_database(), opened)
        templates = preparation.prompts.templates
        store.begin(preparation.seeds, {name: (one.sha256, one.source) for name, one in templates.items()})
        store.begin_sitting(__version__, _ENDPOINT.describe())
        opened.write("config.yaml", recorded(config, folder))
        store.submit(_answers()).result()
        store.end_sitting("target")
        store.close()
    told = every_verb(folder, folder)
    if any(told[verb] is None for verb in told) or told["export"] != told["export of refilter"]:
        raise Harm(f"a run that nothing has damaged is refused, or is another when it is read anew: {told}")
    if str(told["export"]).count("\n") != 1:
        raise Harm(f"a run of one example is exported as {told['export']!r}")
    return folder


def _answers() -> tuple[Commit, ...]:
    """One instruction through all three stages."""
    text = "Name a colour of the rainbow."

    def request(id_: int, stage: str, template: str, said: str) -> RequestRow:
        return RequestRow(
            id=id_, stage=stage, number=0, template=template, in_context=(0,) if id_ == 1 else None, outcome="ok",
            text=said, finish_reason="stop", model="m", prompt_tokens=90, completion_tokens=9,
        )  # fmt: skip

    return (
        Commit(
            request=request(1, "instructions", "instructions", f"1. {text}"),
            candidates=(CandidateRow(id=1, text=text, reason=None),),
            instructions=(InstructionRow(id=0, candidate_id=1, text=text),),
        ),
        Commit(
            request=request(2, "classification", "classification", "No"),
            annotations=(AnnotationRow(instruction_id=0, name="is_classification", value=False),),
        ),
        Commit(
            request=request(3, "instances", "input_first", "Output: It is red."),
            instances=(InstanceRow(instruction_id=0, item=0, input="", output="It is red."),),
        ),
    )


def damage_run(rng: random.Random, folder: Path) -> None:
    """A run's folder with a file damaged through every verb that reads one; nothing is exported that was not there."""
    run = Path(shutil.copytree(folder / "built", folder / "run", dirs_exist_ok=True))
    victim = run / rng.choice(("run.db", "run.db", "manifest.json", "config.yaml"))
    if victim.name == "run.db" and rng.random() < 0.5:
        _set_a_value(rng, victim)
    else:
        _flip_bits(rng, victim)
    told, whole = every_verb(run, folder / "built"), _export(folder / "built")
    for verb in ("export", "export of refilter"):
        if told[verb] not in {None, whole} and (verb == "export" or victim.name == "run.db"):
            raise Harm(f"{victim.name} is damaged, and the {verb} is {told[verb]!r} without a word")
    shutil.rmtree(run)


def _flip_bits(rng: random.Random, victim: Path) -> None:
    content = bytearray(victim.read_bytes())
    for _ in range(rng.choice((1, 1, 3, 40))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    victim.write_bytes(bytes(content[: rng.choice((len(content), len(content), rng.randrange(len(content) + 1)))]))


def _set_a_value(rng: random.Random, database: Path) -> None:
    """Let some column of a database hold some value of any kind."""
    with closing(sqlite3.connect(database)) as connection, connection, suppress(sqlite3.IntegrityError):
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = rng.choice([name for name in tables if connection.execute(f"SELECT 1 FROM {name}").fetchone()])
        column = rng.choice([row[1] for row in connection.execute(f"PRAGMA table_info({table})")])
        connection.execute(f"UPDATE {table} SET {column} = {rng.choice(_VALUES)}")


def every_verb(run: Path, whole: Path) -> dict[str, str | None]:
    """What each verb that reads a run's folder prints of `run`, a copy of `whole`; None where it refuses."""
    new = run.parent / "new"
    told = {
        "status": _typed("status", run),
        "inspect": _typed("inspect", run),
        "inspect --rejected": _typed("inspect", run, "--rejected"),
        "inspect --json": _typed("inspect", run, "--json"),
        "export": _export(run),
        "refilter": _typed("refilter", run, "--out", str(new)),
    }
    told["export of refilter"] = None if told["refilter"] is None else _export(new)
    shutil.rmtree(new, ignore_errors=True)
    return {**told, "going on": _gone_on(run, whole)}


def _gone_on(run: Path, whole: Path) -> str | None:
    """Open a run as its next sitting does, and send nothing; return what there is to do."""
    preparation = prepare(load_config(whole / "config.yaml"), {})
    with suppress(FastInstructError), RunFolder(run) as opened:
        begun_identity(run)
        opened.claim(read_manifest(whole)["identity"], {})
        store = RunStore(opened.prepare_database(), opened)
        try:
            open_monitor(preparation, dict.fromkeys(preparation.recipe.names), run, store)
            return repr(store.state(preparation.recipe.names))
        finally:
            store.close()
    return None


def _export(run: Path) -> str | None:
    return _typed("export", run, "-o", "-", "-f", "alpaca")


def _typed(verb: str, run: Path, *more: str) -> str | None:
    told = CliRunner().invoke(app, [verb, str(run), *more])
    if told.exception is not None and not isinstance(told.exception, FastInstructError | SystemExit):
        raise told.exception
    return told.stdout if told.exit_code == 0 else None


def _peak_mib() -> int:
    """The most memory that this process has held at once; ``ru_maxrss`` would also count what started it."""
    told = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(told.split()[1]) // 1024


KINDS: dict[str, Callable[[random.Random, Path], None]] = {
    "reply": read_text,
    "body": read_body,
    "file": read_file,
    "run folder": damage_run,
}


def run_case(seed: int, number: int, folder: Path) -> tuple[str, float]:
    """Run one case; return its kind and the seconds it took.

    Raises:
        Harm: it did some.
    """
    kind = list(KINDS)[number % len(KINDS)]
    started = time.thread_time()
    try:
        KINDS[kind](random.Random(f"{seed} {number}"), folder)
    except FastInstructError:
        pass
    except Exception as error:
        raise Harm(f"{kind} {number}: {type(error).__name__}: {error}") from error
    seconds = time.thread_time() - started
    if seconds > _MOST_S * (6 if kind in {"file", "run folder"} else 7):  # so many readers each
        raise Harm(f"{kind} {number}: took {seconds:.1f} s")
    mib = _peak_mib()
    if mib > _MOST_MIB:
        raise Harm(f"{kind} {number}: {mib} MiB of memory")
    return kind, seconds


def main() -> None:
    """Run cases until the time is up, all are run or one does harm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    counts: Counter[str] = Counter()
    slowest: dict[str, float] = {}
    harm, number, ends = "", options.first, time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as name:
        built(Path(name) / "built")
        while time.monotonic() < ends and (options.cases is None or number < options.first + options.cases):
            try:
                kind, seconds = run_case(options.seed, number, Path(name))
            except Harm as error:
                harm = str(error)
                break
            counts[kind] += 1
            slowest[kind] = max(slowest.get(kind, 0.0), seconds)
            number += 1
    for kind in KINDS:
        print(f"{kind:<12}{counts[kind]:>10,} cases, the slowest {slowest.get(kind, 0.0):.2f} s")
    print(harm or "no harm", flush=True)
    told = {
        "cases": counts,
        "slowest_s": slowest,
        "harm": harm,
        "seed": options.seed,
        "python": platform.python_version(),
    }
    print(json.dumps({"benchmark": "soak_hostile", **told}))
    sys.exit(bool(harm))


if __name__ == "__main__":
    main()
