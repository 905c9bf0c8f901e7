"""`fastinstruct doctor`: find what would keep a run from working, before it starts.

Prints what `doctor` finds: one line a check on stdout, what lasts on stderr.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from fastinstruct.cli.terminal import say, tell

if TYPE_CHECKING:
    from fastinstruct.config import RunConfig
    from fastinstruct.doctor import Finding

__all__ = ["doctor"]


def doctor(
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
    offline: Annotated[bool, typer.Option("--offline", help="Load no model and connect to nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON object on stdout.")] = False,
) -> None:
    """Check machine, settings, seeds and every endpoint.

    Each line says ok, warning or problem, and what to do. Takes the options of `run`.

    Sends some forty short requests. Exits with 1 if anything is a problem.
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
    findings = _findings(settings, config, offline=offline, as_json=as_json)
    has_problem = any(finding.level == "problem" for finding in findings)
    if as_json:
        _print_json(findings, has_problem=has_problem)
    if has_problem:
        raise typer.Exit(1)


def _findings(settings: RunConfig, config: Path | None, *, offline: bool, as_json: bool) -> list[Finding]:
    """Collect the findings and, unless they are wanted as JSON, print each as it comes."""
    import asyncio

    from fastinstruct.config.environment import process_environment
    from fastinstruct.doctor import diagnose

    findings: list[Finding] = []

    def report(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            say(_line(finding))

    work = diagnose(
        settings,
        process_environment(),
        source="flags and defaults" if config is None else str(config),
        offline=offline,
        report=report,
        note=tell,
    )
    asyncio.run(work)
    return findings


def _line(finding: Finding) -> str:
    advice = f" ({finding.advice})" if finding.advice else ""
    return f"{finding.level:<8} {finding.name:<15} {finding.found}{advice}"


def _print_json(findings: list[Finding], *, has_problem: bool) -> None:
    from dataclasses import asdict

    from fastinstruct.cli.terminal import say_json

    report = {"ok": not has_problem, "findings": [asdict(finding) for finding in findings]}
    say_json(report)
