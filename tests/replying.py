"""A server whose replies a function gives, a run against it, and what the run's store holds of each reply.

The server is OpenAI-shaped, answers on loopback, tells the stages apart, and knows nothing of what it answers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from aiohttp import web

from fastinstruct.config import load_config
from fastinstruct.errors import FastInstructError
from fastinstruct.pipeline import Run, RunResult
from fastinstruct.store import RunReader

__all__ = ["Outcome", "Pair", "Reply", "Sitting", "chat", "outcomes", "sit", "task_of"]

Reply: TypeAlias = "str | dict[str, Any] | web.Response"
Pair: TypeAlias = "tuple[str, str]"
Plan: TypeAlias = "Callable[[str, int, dict[str, Any]], Reply]"

_WORDS = (
    ("instructions", "Now write tasks"),
    ("classification", "Label task"),
    ("output_first", "For each label that it allows"),
    ("input_first", "Write one to three examples"),
)
_BY_PROPERTIES = {("tasks",): "instructions", ("is_classification",): "classification"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one reply came to: the tasks or the pairs that were kept, and the others with their reasons.

    `number` is the request's of stage 1, and the instruction's of the others.
    """

    stage: str
    number: int
    reply: str
    outcome: str
    kept: tuple[Any, ...]
    rejected: tuple[tuple[Any, str], ...]
    told: str
    rest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """How a run ended: with a result, or with an error; what it told, and what it asked."""

    folder: Path
    result: RunResult | None = None
    error: FastInstructError | None = None
    notes: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ended_by(self) -> str:
        return self.result.ended_by if self.result is not None else type(self.error).__name__

    @property
    def exit_code(self) -> int:
        return self.result.exit_code if self.result is not None else 1

    @property
    def outcomes(self) -> list[Outcome]:
        return outcomes(self.folder)

    @property
    def pairs(self) -> set[Pair]:
        with RunReader(self.folder) as reader:
            return {(example.input, example.output) for example in reader.examples()}

    @property
    def tasks(self) -> list[str]:
        with RunReader(self.folder) as reader:
            return [text for (text,) in reader.rows("SELECT text FROM instruction ORDER BY id")]


def chat(content: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat reply as most servers shape it."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, **message},
    }
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def task_of(body: Mapping[str, Any]) -> str:
    """The instruction that a prompt of stage 2 or 3 is about."""
    text = str(body["messages"][-1]["content"])
    return text.rsplit("Task: ", 1)[-1].split("\nLabel task", maxsplit=1)[0].strip()


def _stage_of(body: Mapping[str, Any]) -> str:
    """The stage of a prompt, by the schema it comes with, else by its words."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    stage = _BY_PROPERTIES.get(tuple(schema.get("properties", ())))
    if stage is not None:
        return stage
    text = "\n".join(str(message["content"]) for message in body["messages"])
    return next((stage for stage, words in _WORDS if words in text), "other")


@asynccontextmanager
async def _serving(plan: Plan, asked: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Serve the plan's replies; yield the base URL."""
    count: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        asked.append(body)
        stage = _stage_of(body)
        count[stage] += 1
        reply = plan(stage, count[stage] - 1, body)
        if isinstance(reply, web.Response):
            return reply
        return web.json_response(chat(reply) if isinstance(reply, str) else reply)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def sit(folder: Path, plan: Plan, **flags: Any) -> Sitting:
    """Run once against the plan's replies, eight requests at a time; `flags` are keys of the configuration."""
    asked: list[dict[str, Any]] = []
    notes: list[str] = []
    given: dict[str, Any] = {
        "model.name": "m",
        "target": 4,
        "out": folder,
        "runtime.max_in_flight": 8,
        "budget.max_requests": 80,
        **flags,
    }
    async with _serving(plan, asked) as url:
        run = Run(
            load_config(flags={"model.base_url": url, **given}),
            env={"XDG_CACHE_HOME": str(folder) + "-cache"},
            on_note=notes.append,
        )
        try:
            result = await run.execute()
        except FastInstructError as error:
            return Sitting(folder=folder, error=error, notes=notes, asked=asked)
    return Sitting(folder=folder, result=result, notes=notes, asked=asked)


def outcomes(folder: Path) -> list[Outcome]:
    """What each stored reply came to, in the order of the commits."""
    with RunReader(folder) as reader:
        return [
            Outcome(
                stage=stage,
                number=number,
                reply=reply or "",
                outcome=outcome,
                kept=tuple(item for item, reason in items if reason is None),
                rejected=tuple((item, reason) for item, reason in items if reason is not None),
                told=detail or stumbled_over or "",
                rest=rest or "",
            )
            for id_, stage, number, reply, outcome, detail, stumbled_over, rest in reader.rows(_REQUESTS)
            for items in [_items(reader, id_, stage)]
        ]


def _items(reader: RunReader, id_: int, stage: str) -> list[tuple[Any, str | None]]:
    if stage == "instructions":
        sql = "SELECT text, reason FROM candidate WHERE request_id = ? ORDER BY id"
        return [(text, reason) for text, reason in reader.rows(sql, (id_,))]
    if stage == "classification":
        sql = "SELECT value FROM annotation WHERE request_id = ? AND name = 'is_classification' ORDER BY subject_id"
        return [(json.loads(answer), None) for (answer,) in reader.rows(sql, (id_,))]
    sql = "SELECT input, output, reason FROM instance WHERE request_id = ? ORDER BY id"
    return [((given, output), reason) for given, output, reason in reader.rows(sql, (id_,))]


_REQUESTS = """
SELECT r.id, r.stage, r.number, r.text, r.outcome, r.detail, u.stumbled_over, u.rest
FROM request AS r LEFT JOIN unexplained AS u ON u.request_id = r.id ORDER BY r.id
"""
