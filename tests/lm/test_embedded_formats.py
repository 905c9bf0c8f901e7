"""Replies in JSON from llama.cpp's own server, in this process: what it does on both routes, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fastinstruct.config import load_config
from fastinstruct.doctor.rehearsing import settle
from fastinstruct.errors import ReplyFormRefused
from fastinstruct.lm import Endpoint, HttpTransport, Ok, Outcome, Request, RetryPolicy
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.scheduler import Scheduler, complete_all
from fastinstruct.lm.transports.embedded import EmbeddedServer, find_model
from fastinstruct.pipeline import prepare
from fastinstruct.pipeline.stages import classify
from fastinstruct.records import Api, FinishReason, ReplyForm, ReplyFormat, Sampling
from played import Longest

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="the extra `local` is not installed"),
]
ANIMALS = {
    "type": "object",
    "properties": {"animals": {"type": "array", "items": {"type": "string"}, "maxItems": 2}},
    "required": ["animals"],
    "additionalProperties": False,
}
OF_NO_TYPE = {"type": "object", "properties": {"animals": {"type": "spam"}}, "required": ["animals"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    cache = tmp_path_factory.mktemp("cache")
    model = find_model(None, cache)
    with EmbeddedServer(model) as running:
        yield running
    model.path.unlink()  # a quarter of a gigabyte, which pytest would keep three times


async def ask(server: EmbeddedServer, api: Api, schema: Mapping[str, object], max_tokens: int = 40) -> Outcome:
    """Return what became of one request, sent as a run sends them."""
    endpoint = Endpoint(base_url=server.base_url, model=server.model.name, api=api, api_key=server.api_key)
    asked = ReplyFormat(form=ReplyForm.JSON_SCHEMA, name="animals", schema=schema)
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0)
    request = Request(key="r1", prompt="List two animals as JSON.", sampling=sampling, reply_format=asked)
    async with HttpTransport(endpoint) as transport:
        fleet = Fleet.of(Channel.unlimited(transport))
        scheduler: Scheduler[int] = Scheduler(fleet, max_in_flight=1, policy=RetryPolicy(), rng=Longest())
        [outcome] = await complete_all(scheduler, [request])
    return outcome


@pytest.mark.parametrize("api", list(Api))
async def test_a_reply_by_schema_is_what_the_schema_says(server: EmbeddedServer, api: Api) -> None:
    outcome = await ask(server, api, ANIMALS)
    assert isinstance(outcome, Ok)
    assert outcome.completion.finish_reason is FinishReason.STOP
    found = json.loads(outcome.completion.text)
    assert list(found) == ["animals"]
    assert 0 < len(found["animals"]) <= 2
    assert {type(animal) for animal in found["animals"]} == {str}


async def test_a_schema_that_it_refuses_is_told_with_its_words_and_what_to_set(server: EmbeddedServer) -> None:
    with pytest.raises(ReplyFormRefused, match=r"set model\.replies to text in a new run.*unrecognized type spam"):
        await ask(server, Api.CHAT, OF_NO_TYPE)


async def test_on_completions_it_ignores_a_schema_that_it_cannot_use_so_a_probe_has_to_read_what_comes(
    server: EmbeddedServer,
) -> None:
    outcome = await ask(server, Api.COMPLETIONS, OF_NO_TYPE, max_tokens=8)
    assert isinstance(outcome, Ok)
    with pytest.raises(ValueError, match=r"."):
        json.loads(outcome.completion.text)


async def test_a_form_that_it_refuses_is_stepped_down_from(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked on chat with a schema that it cannot turn into a grammar, then with any object, then as text."""
    monkeypatch.setattr(classify, "is_classification_format", of_no_type)
    flags = {"model.base_url": server.base_url, "model.name": server.model.name, "model.api": "chat"}
    short = {"classification.num_demonstrations": 2, "classification.sampling.max_tokens": 24, "out": tmp_path / "run"}
    preparation = prepare(load_config(flags={**flags, **short}), {"XDG_CACHE_HOME": str(tmp_path)})
    endpoint = Endpoint(base_url=server.base_url, model=server.model.name, api=Api.CHAT, api_key=server.api_key)
    async with HttpTransport(endpoint) as transport:
        forms, finding = await settle(preparation, [transport], ["classification"])
    assert forms["classification"] in {ReplyForm.JSON_OBJECT, ReplyForm.TEXT}
    assert finding.found.startswith("replies are asked for as ")


def of_no_type(form: ReplyForm) -> ReplyFormat:
    return ReplyFormat(form=form, name="kind", schema=OF_NO_TYPE)
