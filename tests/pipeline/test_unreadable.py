"""Replies that give nothing: counted, shown, told, a reason to stop, and never a run that is called reached."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner

from fastinstruct.cli.refilter import refilter as refilter_verb
from fastinstruct.config import InstructionsConfig, RunConfig, load_config
from fastinstruct.errors import FilterFailed
from fastinstruct.pipeline import Run, RunResult, refilter
from fastinstruct.pipeline.budget.stop_rules import Stop, StopRules, Unreadable
from fastinstruct.records import Example
from fastinstruct.store import Commit, RequestRow, RunReader, without_examples

TASKS = (
    "Write a short poem about the quiet sea.",
    "Explain how ocean tides work to children.",
    "Suggest three healthy breakfasts for a busy week.",
    "Describe a good morning routine for students.",
)
NOTHING = "I would gladly do that, but my notes are at home."
Answer = Callable[[str, int], str]


def stage_of(prompt: str) -> str:
    if "Label task (answer" in prompt:
        return "classification"
    return "instructions" if "Now write tasks" in prompt else "instances"


class Server:
    """Answers each stage's n-th request (from 0) with what `answer` says; refuses JSON in words that nobody knows."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.num_refused = 0
        self._num = dict.fromkeys(("instructions", "classification", "instances"), 0)
        self.base_url = ""

    async def __aenter__(self) -> Server:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "response_format" in body:
            self.num_refused += 1
            return web.json_response({"error": {"code": "1210", "message": "API call argument error"}}, status=400)
        stage = stage_of("\n".join(message["content"] for message in body["messages"]))
        number, self._num[stage] = self._num[stage], self._num[stage] + 1
        message = {"role": "assistant", "content": self._answer(stage, number)}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        return web.json_response({"model": "m", "choices": [choice], "usage": usage})


def config_for(server: Server, out: Path, **flags: Any) -> RunConfig:
    given = {
        "model.base_url": server.base_url,
        "model.name": "m",
        "model.replies": "text",
        "out": out,
        "target": 4,
        "runtime.max_in_flight": 2,
    }
    return load_config(flags={**given, **{key.replace("__", "."): value for key, value in flags.items()}})


async def execute(config: RunConfig, **arguments: Any) -> RunResult:
    return await Run(config, env={"XDG_CACHE_HOME": f"{config.out}-cache"}, **arguments).execute()


def listed(texts: Sequence[str], first: int = 9) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, first))


def answers(instances: Callable[[int], str]) -> Answer:
    def answer(stage: str, number: int) -> str:
        if stage == "instructions":
            return listed(TASKS)
        return "No" if stage == "classification" else instances(number)

    return answer


async def test_a_run_without_one_example_is_not_reached_and_says_why(tmp_path: Path) -> None:
    async with Server(answers(lambda _: NOTHING)) as server:
        result = await execute(config_for(server, tmp_path / "run"))
    assert (result.ended_by, result.exit_code) == ("no_examples", 3)
    assert result.progress.num_admitted == 4
    assert result.progress.num_unreadable == {"instances": 4}
    with RunReader(tmp_path / "run") as reader:
        found = list(without_examples(reader))
        totals = reader.totals()
    assert [(row.instruction, row.reason, row.reply) for row in found] == [
        (text, "unreadable", NOTHING) for text in TASKS
    ]
    assert totals.requests["instances"] == {"unreadable": 4}
    assert totals.num_worked_up == 4


async def test_a_server_that_refuses_json_in_unknown_words_is_asked_for_text(tmp_path: Path) -> None:
    """Six refusals alike, which would end a run if they were of its own requests."""
    async with Server(answers(lambda n: f"Output: Line {n} of verse.")) as server:
        result = await execute(config_for(server, tmp_path / "run", model__replies="auto"))
    assert (result.ended_by, result.progress.num_examples) == ("target", 4)
    assert server.num_refused == 6


async def test_what_was_unreadable_is_not_asked_again(tmp_path: Path) -> None:
    async with Server(answers(lambda n: NOTHING if n == 0 else "Output: A line of verse.")) as server:
        config = config_for(server, tmp_path / "run", runtime__max_in_flight=1)
        first = await execute(config)
        again = await execute(config)
    assert (first.ended_by, again.ended_by) == ("target", "target")
    assert first.progress.num_with_examples == 3
    assert again.progress.num_requests_used == first.progress.num_requests_used
    assert again.progress.num_unreadable == {"instances": 1}


async def test_each_instruction_without_an_example_has_its_reason(tmp_path: Path) -> None:
    replies = [NOTHING, "Output: N/A", "Output: [image of a shop window]", "Output: Eat oats.\n\nOutput: Eat fruit."]
    async with Server(answers(lambda n: replies[n])) as server:
        await execute(config_for(server, tmp_path / "run", runtime__max_in_flight=1))
    with RunReader(tmp_path / "run") as reader:
        reasons = {(row.reason, row.detail) for row in without_examples(reader)}
    assert {reason for reason, _ in reasons} == {"unreadable", "rejected"}
    details = {detail for reason, detail in reasons if reason == "rejected"}
    assert details >= {"empty_output", "placeholder"}


async def test_the_unexplained_rest_of_a_reply_is_stored_and_counted(tmp_path: Path) -> None:
    def answer(stage: str, _: int) -> str:
        if stage == "instructions":
            return f"My notes are at home, oddly enough!\n\n{listed(TASKS)}"
        return "No" if stage == "classification" else "Output: A line of verse."

    async with Server(answer) as server:
        result = await execute(config_for(server, tmp_path / "run", runtime__max_in_flight=1))
    assert result.progress.num_unexplained >= 1
    with RunReader(tmp_path / "run") as reader:
        rows = list(reader.rows("SELECT rest FROM unexplained ORDER BY request_id"))
    assert rows[0] == ("My notes are at home, oddly enough!",)


async def test_refiltering_reads_unreadable_replies_anew(tmp_path: Path) -> None:
    async with Server(answers(lambda n: NOTHING if n else "Output: A line of verse.")) as server:
        await execute(config_for(server, tmp_path / "run", runtime__max_in_flight=1))
    found = refilter(tmp_path / "run", tmp_path / "again", {})
    assert found.after == found.before
    assert found.after.requests["instances"] == {"ok": 1, "unreadable": 3}


# ---------------------------------------------------------------------------------------------------------- stop rules


def commit(outcome: str, stage: str = "instances") -> Commit:
    request = RequestRow(id=1, stage=stage, number=0, template="x", in_context=None, outcome=outcome, text=NOTHING)
    return Commit(request=request)


def test_more_than_half_of_forty_replies_that_give_nothing_end_a_sitting() -> None:
    watch = Unreadable(0.5)
    assert [watch.watch(commit("ok" if n % 2 else "unreadable")) for n in range(40)] == [None] * 40
    assert [watch.watch(commit("unreadable")) for _ in range(2)] == [
        None,
        Stop(rule="unreadable", used=21 / 40, limit=0.5, stage="instances", sample=f'"{NOTHING}"'),
    ]


def test_fewer_than_forty_replies_are_no_reason_to_end_and_each_stage_counts_by_itself() -> None:
    watch = Unreadable(0.5)
    stages = ["instances", "classification"]
    assert [watch.watch(commit("unreadable", stages[n % 2])) for n in range(78)] == [None] * 78
    assert watch.watch(commit("unreadable", "instances")) is not None


def test_null_lets_a_sitting_go_on() -> None:
    watch = Unreadable(None)
    assert [watch.watch(commit("unreadable")) for _ in range(100)] == [None] * 100


def test_above_a_twentieth_of_twenty_replies_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    watch = Unreadable(0.5)
    for number in range(30):
        watch.watch(commit("unreadable" if number in {3, 19, 25} else "ok"))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("10% of the last 20 replies of stage instances give nothing, such as")


def test_failed_requests_are_no_replies() -> None:
    watch = Unreadable(0.5)
    assert [watch.watch(commit("deadline")) for _ in range(100)] == [None] * 100
    assert StopRules(RunConfig(), InstructionsConfig(), "instructions").watch(commit("unreadable")) is None


async def test_the_stop_rule_ends_a_run_with_3_and_a_larger_limit_goes_on(tmp_path: Path) -> None:
    async with Server(lambda stage, _: NOTHING) as server:
        config = config_for(server, tmp_path / "run", target=1000, runtime__max_in_flight=4)
        result = await execute(config)
    assert (result.ended_by, result.exit_code) == ("unreadable", 3)
    assert result.stop is not None
    assert (result.stop.stage, result.stop.sample) == ("instructions", f'"{NOTHING}"')
    assert 40 <= result.progress.num_unreadable["instructions"] <= 44
    assert result.progress.num_failed == 0


# ----------------------------------------------------------------------------------------------------- filters of a run


def typed_refilter(run: Path, out: Path) -> str:
    app = typer.Typer()
    app.command()(refilter_verb)
    result = CliRunner().invoke(app, [str(run), "-o", str(out)])
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_a_filter_of_the_callers_own_is_asked_last_and_counted_under_its_name(tmp_path: Path) -> None:
    asked: list[Example] = []

    def no_verse(example: Example) -> str | None:
        asked.append(example)
        return "verse" if "sea" in example.instruction else None

    async with Server(answers(lambda n: f"Output: Line {n} of verse.")) as server:
        result = await execute(config_for(server, tmp_path / "run"), example_filter=no_verse)
    assert result.progress.num_examples == 3
    assert result.progress.rejected_instances == {"custom:verse": 1}
    assert len(asked) == 4
    without = typed_refilter(tmp_path / "run", tmp_path / "new")
    assert "a filter of your own rejected 1 instances of the old run and was not asked here" in without


async def test_a_filter_that_raises_ends_the_run_by_its_name_and_costs_no_answer(tmp_path: Path) -> None:
    def broken(example: Example) -> str | None:
        raise KeyError(example.output)

    async with Server(answers(lambda n: f"Output: Line {n} of verse.")) as server:
        config = config_for(server, tmp_path / "run", runtime__max_in_flight=1)
        with pytest.raises(FilterFailed, match=r"the filter .* raised KeyError at m0"):
            await execute(config, example_filter=broken)
        result = await execute(config)
    assert (result.ended_by, result.progress.num_examples) == ("target", 4)


async def test_one_output_under_many_instructions_is_kept_so_often_and_no_more_whatever_the_sittings(
    tmp_path: Path,
) -> None:
    async with Server(answers(lambda _: "Output: The answer is always the same.")) as server:
        flags = {"filters__max_repeated_output": 2, "runtime__max_in_flight": 1}
        await execute(config_for(server, tmp_path / "run", **flags, budget__max_requests=7))
        result = await execute(config_for(server, tmp_path / "run", **flags))
    assert result.progress.num_examples == 2
    assert result.progress.rejected_instances == {"repeated_output": 2}


async def test_words_that_are_ruled_out_are_counted_under_their_rules_name(tmp_path: Path) -> None:
    rules = [{"name": "waves", "words": ["sea"], "on": ["instruction"]}, {"words": ["line 2"], "on": ["output"]}]
    async with Server(answers(lambda n: f"Output: Line {n} of verse.")) as server:
        config = config_for(server, tmp_path / "run", target=3, filters__forbidden=rules, runtime__max_in_flight=1)
        result = await execute(config)
    assert result.progress.rejected["forbidden:waves"] >= 1
    assert result.progress.rejected_instances == {"forbidden:line 2": 1}
    identity = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["identity"]
    assert identity["filters"]["forbidden"][0]["name"] == "waves"
