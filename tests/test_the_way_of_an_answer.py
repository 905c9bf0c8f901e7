"""From a server's reply to its row an answer passes few modules, in the order that the README tells."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fastinstruct.config import load_config
from fastinstruct.lm import Ok
from fastinstruct.lm.outcomes.classify import classify_reply
from fastinstruct.lm.scheduling.job import Delivery
from fastinstruct.lm.transports import http
from fastinstruct.lm.transports.http import Reply
from fastinstruct.pipeline import Run
from fastinstruct.pipeline.stages.base import Read
from fastinstruct.records import Completion
from fastinstruct.scripted_server import Script, ScriptedServer
from fastinstruct.store import Commit, run_store

MOST = 15
# How a reply is read, how a text is compared and what limits requests are matters of their own, behind one call each.
ASIDE = ("text.", "similarity.", "lm.limits.", "scripted_server.")
# What is handed on: these say what it is, and do nothing with it.
NOUNS = {"records", "lm.outcomes.outcomes", "lm.scheduling.job", "pipeline.stages.base", "store.rows"}
FIRST, LAST = "lm.outcomes.classify", "store.run_store"


def arguments_of(frame: FrameType) -> list[Any]:
    code = frame.f_code
    return [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]]


def is_the_answer(value: Any) -> bool:
    """Whether it is the reply, or what was made of it on its way."""
    if isinstance(value, list | tuple) and value and not isinstance(value, Reply):
        return is_the_answer(value[0])
    return isinstance(value, Reply | Ok | Delivery | Completion | Read | Commit)


class Way:
    """The modules of ours that are entered between a reply's arrival and its row, in the order of their first calls."""

    def __init__(self) -> None:
        self.modules: list[str] = []
        self.is_on = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        name = frame.f_globals.get("__name__", "")
        if not (self.is_on and event == "call" and name.startswith("fastinstruct.")):
            return
        if name.endswith(FIRST) or any(map(is_the_answer, arguments_of(frame))):
            part = name.removeprefix("fastinstruct.")
            if not part.startswith(ASIDE) and part not in NOUNS and part not in self.modules:
                self.modules.append(part)


@pytest.mark.may_block("every call is looked at")
async def test_an_answer_is_handed_through_at_most_fifteen_modules_on_its_way_to_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, num_replies = Way(), 0
    classify, insert = classify_reply, run_store._insert

    def arrived(*arguments: Any, **named: Any) -> Any:
        nonlocal num_replies
        num_replies += 1
        way.is_on = way.is_on or num_replies == 12  # all is warm, and one request is in flight
        return classify(*arguments, **named)

    def written(*arguments: Any) -> None:
        insert(*arguments)
        way.is_on = way.is_on and num_replies < 12

    monkeypatch.setattr(http, "classify_reply", arrived)
    monkeypatch.setattr(run_store, "_insert", written)
    threading.setprofile(way)
    sys.setprofile(way)
    try:
        async with ScriptedServer(Script()) as server:
            flags = {"model.base_url": server.base_url, "model.name": "scripted", "model.replies": "text"}
            more = {"out": tmp_path / "run", "target": 12, "runtime.max_in_flight": 1}
            await Run(load_config(flags=flags | more), env={"XDG_CACHE_HOME": str(tmp_path)}).execute()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert len(way.modules) <= MOST, way.modules
    assert (way.modules[0], way.modules[-1]) == (FIRST, LAST)
    steps = [
        "lm.scheduling.scheduler",
        "pipeline.budget.budget",
        "pipeline.commit.committer",
        "pipeline.commit.admission",
    ]
    assert sorted(steps, key=way.modules.index) == steps
