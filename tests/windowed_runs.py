"""Runs whose commits keep the order of draws."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastinstruct.config import RunConfig, load_config

WINDOWED = {"runtime.commit_order": "windowed", "runtime.window": 24}


def config_for(url: str, out: Path, flags: dict[str, Any] | None = None) -> RunConfig:
    given: dict[str, Any] = {
        "model.base_url": url,
        "model.name": "scripted",
        "model.api": "completions",
        "classification.method": "text",
        "out": out,
        "target": 40,
        "runtime.max_in_flight": 16,
        **WINDOWED,
        **(flags or {}),
    }
    return load_config(flags=given, env={})


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for is a file or a counter, which set no event
        await asyncio.sleep(0)
