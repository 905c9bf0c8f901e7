"""An OpenAI-shaped model server over real HTTP on loopback, for tests, benchmarks and rehearsals: no model, no network.

Knows nothing of prompt templates, the client or the run. `Script` says all that decides the answers; `ScriptedServer`
gives them. On the command line: `fastinstruct scripted-server`.
"""

from __future__ import annotations

from fastinstruct.scripted_server.faults import Fault
from fastinstruct.scripted_server.hints import RetryHint
from fastinstruct.scripted_server.json_asks import JsonReplies
from fastinstruct.scripted_server.log import LogEntry
from fastinstruct.scripted_server.metrics import Metrics
from fastinstruct.scripted_server.parsing import (
    parse_episode,
    parse_new_model,
    parse_outage,
    parse_rates,
    parse_schedule,
)
from fastinstruct.scripted_server.replies import Kind, Replies
from fastinstruct.scripted_server.script import Episode, Latency, Outage, Overflow, Script, UntilReady
from fastinstruct.scripted_server.server import ScriptedServer
from fastinstruct.scripted_server.styles import MIXED, STYLES
from fastinstruct.scripted_server.truths import Truth

__all__ = [
    "MIXED",
    "STYLES",
    "Episode",
    "Fault",
    "JsonReplies",
    "Kind",
    "Latency",
    "LogEntry",
    "Metrics",
    "Outage",
    "Overflow",
    "Replies",
    "RetryHint",
    "Script",
    "ScriptedServer",
    "Truth",
    "UntilReady",
    "parse_episode",
    "parse_new_model",
    "parse_outage",
    "parse_rates",
    "parse_schedule",
]
