"""`fastinstruct scripted-server`: an endpoint without a model, to rehearse against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from fastinstruct.scripted_server import ScriptedServer

__all__ = ["scripted_server"]


def scripted_server(
    port: Annotated[int, typer.Option("--port", help="Where to listen on 127.0.0.1; 0 takes a free one.")] = 8000,
    port_file: Annotated[Path | None, typer.Option("--port-file", help="Gets the port, once it listens.")] = None,
    log: Annotated[Path | None, typer.Option("--log", help="Gets a JSON line for each answer.")] = None,
    log_every: Annotated[
        float | None, typer.Option("--log-every", help="Write these lines together, so many seconds apart; cheaper.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of replies, latencies and faults.")] = 0,
    model: Annotated[str, typer.Option("--model", help="The model's name; another one is refused.")] = "scripted",
    api_key: Annotated[str | None, typer.Option("--api-key", help="Refuse requests without this key.")] = None,
    replies: Annotated[
        str,
        typer.Option(
            "--replies", help="written; quick: cheaper, with more words; canned: the same bytes for everything."
        ),
    ] = "written",
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
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="NAME=RATE", help="The share of answers that meet this fault. Repeatable."),
    ] = None,
    max_faults_per_prompt: Annotated[
        int, typer.Option("--max-faults-per-prompt", help="So many in a row, then the prompt is answered.")
    ] = 2,
    retry_after: Annotated[
        float | None, typer.Option("--retry-after", help="Seconds, told with each 429 of --fault.")
    ] = None,
    retry_hint: Annotated[
        str, typer.Option("--retry-hint", help="How a 429 tells to wait: seconds, date, ms, reset, words or none.")
    ] = "seconds",
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
    slots: Annotated[
        int | None, typer.Option("--slots", help="So many are served at once, the others wait in line. Default: all.")
    ] = None,
    max_queue: Annotated[
        int | None, typer.Option("--max-queue", help="So many may wait, others get 503. Default: all, as with vLLM.")
    ] = None,
    metrics: Annotated[
        str, typer.Option("--metrics", help="Whose names /metrics uses: vllm, sglang, llamacpp; or none.")
    ] = "vllm",
) -> None:
    """Serve an OpenAI-shaped endpoint without a model, to rehearse runs, time-outs and failures against.

    Replies suit the prompts of all stages, and are the same again for the same prompt and seed. Serves until Ctrl-C.

    Faults: 429, 500, hang, malformed (an HTML page), reset, truncated.
    """
    from fastinstruct.scripted_server import Latency, Script, ScriptedServer, parse_rates, parse_schedule

    script = Script(
        seed=seed,
        model=model,
        api_key=api_key,
        replies=replies,  # type: ignore[arg-type]  # Script checks it
        duplicate_rate=duplicate_rate,
        junk_rate=junk_rate,
        length_rate=length_rate,
        latency=Latency(latency, latency_width, latency_sigma),
        faults=parse_rates(fault or ()),
        max_faults_per_prompt=max_faults_per_prompt,
        retry_after_s=retry_after,
        retry_hint=retry_hint,  # type: ignore[arg-type]  # as `replies`
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        rate_schedule=parse_schedule(rate_schedule) if rate_schedule else (),
        burst_s=burst,
        slots=slots,
        max_queue=max_queue,
        metrics=metrics,  # type: ignore[arg-type]  # as `replies`
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
        raise ConfigError(f"the server cannot start: {error.strerror or error}; see --port and --log") from error
    try:
        if port_file is not None:
            _write_whole(port_file, server.base_url.removesuffix("/v1").rpartition(":")[2])
        typer.echo(f"listening on {server.base_url}")
        await stop.wait()
    finally:
        await server.__aexit__()


def _write_whole(path: Path, text: str) -> None:
    """Write so that a reader never sees a part of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)
