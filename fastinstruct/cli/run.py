"""`fastinstruct run`: start a run, or go on with it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastinstruct.cli.options import (
    AgainstFieldOption,
    AgainstOption,
    ApiOption,
    BaseUrlOption,
    ConcurrencyOption,
    ConfigOption,
    GgufOption,
    MaxCostOption,
    MaxErrorRateOption,
    MaxInFlightOption,
    MaxRequestsOption,
    MaxTimeOption,
    MaxTokensOption,
    ModelOption,
    OutOption,
    ProfileOption,
    PromptsOption,
    RecipeOption,
    RngSeedOption,
    SeedsOption,
    SetOption,
    TargetOption,
    ThresholdOption,
    TokenizerOption,
    load,
)
from fastinstruct.cli.terminal import tell

if TYPE_CHECKING:
    from fastinstruct.config import RunConfig
    from fastinstruct.pipeline import RunResult

__all__ = ["run"]


def run(
    config: ConfigOption = None,
    out: OutOption = None,
    target: TargetOption = None,
    seeds: SeedsOption = None,
    base_url: BaseUrlOption = None,
    model: ModelOption = None,
    gguf: GgufOption = None,
    api: ApiOption = None,
    recipe: RecipeOption = None,
    profile: ProfileOption = None,
    prompts: PromptsOption = None,
    threshold: ThresholdOption = None,
    tokenizer: TokenizerOption = None,
    against: AgainstOption = None,
    against_field: AgainstFieldOption = None,
    max_in_flight: MaxInFlightOption = None,
    concurrency: ConcurrencyOption = None,
    max_cost: MaxCostOption = None,
    max_tokens: MaxTokensOption = None,
    max_requests: MaxRequestsOption = None,
    max_time: MaxTimeOption = None,
    max_error_rate: MaxErrorRateOption = None,
    rng_seed: RngSeedOption = None,
    assignments: SetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print one filled prompt per stage and send nothing.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Send a few requests, say what reaching the target will take, and stop.")
    ] = False,
    estimate_requests: Annotated[
        int, typer.Option("--estimate-requests", min=1, help="How many of each stage --estimate sends at most.")
    ] = 10,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over; what the folder holds is moved to `earlier` in it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as one JSON object on stdout.")] = False,
    show: Annotated[int, typer.Option("--show", min=0, help="Print so many examples at the end, drawn at random.")] = 3,
) -> None:
    """Generate data from seed tasks.

    The same command again goes on where it stopped.

    A budget (--max-cost, ...) that is used up ends it with exit code 3; a larger one goes on.

    Ctrl-C once finishes what is in flight, twice aborts. Nothing that was stored is lost.
    """
    settings = load(
        config,
        assignments,
        out=out,
        target=target,
        seeds=seeds,
        base_url=base_url,
        model=model,
        gguf=gguf,
        api=api,
        recipe=recipe,
        profile=profile,
        prompts=prompts,
        threshold=threshold,
        tokenizer=tokenizer,
        against=against,
        against_field=against_field,
        max_in_flight=max_in_flight,
        concurrency=concurrency,
        max_cost=max_cost,
        max_tokens=max_tokens,
        max_requests=max_requests,
        max_time=max_time,
        max_error_rate=max_error_rate,
        rng_seed=rng_seed,
    )
    if dry_run:
        _print_prompts(settings)
        return
    result = _asyncio_run(_execute(settings, sample=estimate_requests if estimate else None, restart=restart))
    _finish(result, as_json=as_json, show=show)


def _print_prompts(settings: RunConfig) -> None:
    from fastinstruct.cli.terminal import printable, say
    from fastinstruct.config.environment import process_environment
    from fastinstruct.pipeline import dry_run, prepare

    preparation = prepare(settings, process_environment())
    for title, stage, prompt in dry_run(preparation):
        model = preparation.models[stage]
        say(f"===== {title} ({model.name}, {model.api}) =====")
        if isinstance(prompt, str):
            say(printable(prompt))
        else:
            for message in prompt:
                say(f"[{message.role}]\n{printable(message.content)}")
        say("")
    if preparation.against.files:
        tell(f"to keep away from: {preparation.against.summary()}")


def _asyncio_run(work: Coroutine[Any, Any, RunResult]) -> RunResult:
    """Run on uvloop where the platform has it."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _execute(settings: RunConfig, *, sample: int | None, restart: bool) -> RunResult:
    """Execute the run with its display and its signals."""
    import asyncio

    from fastinstruct.cli.display import display
    from fastinstruct.cli.signals import handled
    from fastinstruct.pipeline import Run

    with display() as view:

        def announce(endpoint: str) -> None:
            view.note(f"{endpoint} -> {current.folder}")
            if current.num_against:
                view.note(f"evaluation texts to keep away from: {current.num_against:,}")
            for line in current.prices:
                view.note(line)

        current = Run(settings, on_endpoint=announce, on_note=view.note, sample=sample, restart=restart)
        with handled(current, view.note):
            work = asyncio.create_task(current.execute())
            while not work.done():
                await asyncio.wait([work], timeout=view.interval_s)
                if (progress := current.progress()) is not None:
                    view.update(progress)
    return work.result()


def _finish(result: RunResult, *, as_json: bool, show: int) -> None:
    """Say what came of it, and exit with the code that says how it ended."""
    from fastinstruct.cli.summary import print_summary, summary
    from fastinstruct.cli.terminal import say_json

    if as_json:
        say_json(summary(result))
    else:
        print_summary(result, show)
    if (code := result.exit_code) != 0:
        raise typer.Exit(code)
