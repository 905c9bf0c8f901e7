"""`fastinstruct scripted-server`: an endpoint without a model, to rehearse against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastinstruct.cli.terminal import say

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from fastinstruct.scripted_server import ScriptedServer

__all__ = ["scripted_server"]


def scripted_server(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes a free one.")
    ] = 8000,
    port_file: Annotated[Path | None, typer.Option("--port-file", help="Gets the port, once it listens.")] = None,
    log: Annotated[Path | None, typer.Option("--log", help="Gets a JSON line for each answer.")] = None,
    log_every: Annotated[
        float | None, typer.Option("--log-every", help="Write these lines together, so many seconds apart; cheaper.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of replies, latencies and faults.")] = 0,
    model: Annotated[str, typer.Option("--model", help="The model's name; another one is refused.")] = "scripted",
    new_model: Annotated[
        str | None, typer.Option("--new-model", metavar="NAME@N", help="Answers name this model after N replies.")
    ] = None,
    api_key: Annotated[str | None, typer.Option("--api-key", help="Refuse requests without this key.")] = None,
    replies: Annotated[
        str,
        typer.Option("--replies", help="written; quick: cheaper, with more words; canned: the same for everything."),
    ] = "written",
    style: Annotated[
        str | None,
        typer.Option("--style", help="Write as models do, the truth goes into the log; any unknown name lists them."),
    ] = None,
    json_replies: Annotated[
        str,
        typer.Option(
            "--json-replies",
            help="Asked for JSON: it is given, ignored (text comes), refused (400), or object-only (a schema: 400).",
        ),
    ] = "given",
    duplicate_rate: Annotated[
        float, typer.Option("--duplicate-rate", help="Share of instructions that repeat one of a few.")
    ] = 0.05,
    junk_rate: Annotated[
        float, typer.Option("--junk-rate", help="Share of instructions that the heuristic filters reject.")
    ] = 0.03,
    length_rate: Annotated[
        float, typer.Option("--length-rate", help="Share of replies cut off, with finish_reason length.")
    ] = 0.03,
    latency: Annotated[float, typer.Option("--latency", help="Seconds before an answer.")] = 0.0,
    latency_width: Annotated[
        float, typer.Option("--latency-width", help="Up to so many seconds more, uniformly.")
    ] = 0.0,
    latency_sigma: Annotated[
        float, typer.Option("--latency-sigma", help="Log-normal: --latency is the median then.")
    ] = 0.0,
    latency_per_token: Annotated[
        float, typer.Option("--latency-per-token", help="Seconds more for each token of the reply.")
    ] = 0.0,
    slots: Annotated[
        int | None, typer.Option("--slots", help="So many are served at once, the others wait in line. Default: all.")
    ] = None,
    max_queue: Annotated[
        int | None, typer.Option("--max-queue", help="So many may wait, others get 503. Default: all, as with vLLM.")
    ] = None,
    metrics: Annotated[
        str, typer.Option("--metrics", help="Whose names /metrics uses: vllm, sglang, llamacpp; or none.")
    ] = "vllm",
    requests_per_minute: Annotated[
        float | None, typer.Option("--requests-per-minute", help="Refuse what is beyond with 429.")
    ] = None,
    tokens_per_minute: Annotated[
        float | None, typer.Option("--tokens-per-minute", help="The same for tokens, of prompts and replies.")
    ] = None,
    rate_schedule: Annotated[
        str | None,
        typer.Option("--rate-schedule", metavar="S:RATE,...", help="Requests per second, from each second on."),
    ] = None,
    burst: Annotated[float, typer.Option("--burst", help="So many seconds' worth of these may come at once.")] = 1.0,
    retry_after: Annotated[
        float | None, typer.Option("--retry-after", help="Seconds, told with each fault 429.")
    ] = None,
    retry_hint: Annotated[
        str, typer.Option("--retry-hint", help="How a 429 tells to wait: seconds, date, ms, reset, words or none.")
    ] = "seconds",
    max_model_len: Annotated[
        int | None,
        typer.Option("--max-model-len", help="Refuse prompts that have more tokens, of 4 characters, with max_tokens."),
    ] = None,
    overflow: Annotated[
        str, typer.Option("--overflow", help="Whose words refuse them: openai, vllm or llamacpp.")
    ] = "openai",
    refuse_parameter: Annotated[
        list[str] | None, typer.Option("--refuse-parameter", help="Refuse requests that set it, as stop. Repeatable.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="NAME=RATE", help="The share of answers that meet this fault. Repeatable."),
    ] = None,
    max_faults_per_prompt: Annotated[
        int, typer.Option("--max-faults-per-prompt", help="So many of these in a row, then the prompt is answered.")
    ] = 2,
    episode: Annotated[
        list[str] | None,
        typer.Option("--episode", metavar="NAME=RATExN", help="This share of requests begins N such faults in a row."),
    ] = None,
    outage: Annotated[
        list[str] | None,
        typer.Option("--outage", metavar="I-J:NAME", help="Requests I to J, or I- and on, all meet it. Repeatable."),
    ] = None,
    drip_every: Annotated[float, typer.Option("--drip-every", help="Seconds between blank lines of drips.")] = 1.0,
    num_drips: Annotated[int, typer.Option("--num-drips", help="Blank lines before a drip-reply's reply.")] = 3,
    idle_close: Annotated[
        float | None, typer.Option("--idle-close", help="Close connections that were idle for so many seconds.")
    ] = None,
    ready_after: Annotated[float, typer.Option("--ready-after", help="Be ready only so many seconds later.")] = 0.0,
    until_ready: Annotated[
        str,
        typer.Option("--until-ready", help="And until then: 503, refused, unaccepted (no answer), or unconnectable."),
    ] = "503",
) -> None:
    """Serve an endpoint without a model, to rehearse against.

    It is OpenAI-shaped, and as slow and as failing as it is told to be.

    Replies suit the prompts of every stage, and are the same again for the same prompt and seed. Serves until Ctrl-C.
    /stats tells what came and what became of it, /metrics what is running and waiting.

    Faults at the door: 307, 400, 400-filter, 401, 402, 403, 404, 422, 429, 429-busy, 429-quota, 498, 503, 529, and
    stale (a used connection closed at its next request).

    Faults after the latency: 500, 502, 504, 200-error, 200-error-choice, empty, malformed (an HTML page), cut-json,
    no-choices, null-content, filtered, prose, hang, closed, reset, truncated, reset-inside, stall, drip (blank lines,
    forever), drip-reply.
    """
    from fastinstruct.scripted_server import (
        Latency,
        Script,
        ScriptedServer,
        parse_episode,
        parse_new_model,
        parse_outage,
        parse_rates,
        parse_schedule,
    )

    choices: dict[str, Any] = {  # Script refuses what is none of theirs
        "replies": replies,
        "json_replies": json_replies,
        "metrics": metrics,
        "retry_hint": retry_hint,
        "overflow": overflow,
        "until_ready": until_ready,
    }
    renamed = parse_new_model(new_model) if new_model is not None else (None, 0)
    script = Script(
        seed=seed,
        model=model,
        new_model=renamed[0],
        new_model_after=renamed[1],
        api_key=api_key,
        style=style,
        duplicate_rate=duplicate_rate,
        junk_rate=junk_rate,
        length_rate=length_rate,
        latency=Latency(latency, latency_width, latency_sigma, latency_per_token),
        slots=slots,
        max_queue=max_queue,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        rate_schedule=parse_schedule(rate_schedule) if rate_schedule is not None else (),
        burst_s=burst,
        retry_after_s=retry_after,
        max_model_len=max_model_len,
        refused_parameters=tuple(refuse_parameter or ()),
        faults=parse_rates(fault or ()),
        max_faults_per_prompt=max_faults_per_prompt,
        episodes=tuple(map(parse_episode, episode or ())),
        outages=tuple(map(parse_outage, outage or ())),
        drip_every_s=drip_every,
        num_drips=num_drips,
        idle_close_s=idle_close,
        ready_after_s=ready_after,
        **choices,
    )
    server = ScriptedServer(script, port=port, log_file=log, log_every_s=log_every, keeps_log=False)
    _serve_until_stopped(server, port_file)


def _serve_until_stopped(server: ScriptedServer, port_file: Path | None) -> None:
    import asyncio
    from contextlib import suppress

    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with suppress(ImportError):
        from uvloop import new_event_loop as loop_factory
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(server, port_file))


async def _serve(server: ScriptedServer, port_file: Path | None) -> None:
    import asyncio
    import signal

    from fastinstruct.errors import ConfigError

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await server.__aenter__()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise ConfigError(f"{where}{error.strerror or error}; give another --port or --log") from error
    try:
        if port_file is not None:
            _write_whole(port_file, server.base_url.removesuffix("/v1").rpartition(":")[2])
        say(f"listening on {server.base_url}")
        await stop.wait()
    finally:
        await server.__aexit__()


def _write_whole(path: Path, text: str) -> None:
    """Write so that a reader never sees a part of it."""
    import os

    from fastinstruct.reading import regular_descriptor
    from fastinstruct.replaceable import regular_target

    target = regular_target(path)
    partial = target.with_name(target.name + ".partial")
    with os.fdopen(regular_descriptor(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
        file.write(text)
    partial.replace(target)
