"""The options that several verbs share, and turning them into a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fastinstruct.config import RunConfig

__all__ = [
    "AgainstFieldOption",
    "AgainstOption",
    "ApiOption",
    "BaseUrlOption",
    "ConcurrencyOption",
    "ConfigOption",
    "GgufOption",
    "MaxCostOption",
    "MaxErrorRateOption",
    "MaxInFlightOption",
    "MaxRequestsOption",
    "MaxTimeOption",
    "MaxTokensOption",
    "ModelOption",
    "OutOption",
    "ProfileOption",
    "PromptsOption",
    "RngSeedOption",
    "SeedsOption",
    "SetOption",
    "TargetOption",
    "ThresholdOption",
    "TokenizerOption",
    "against_files",
    "load",
]

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="A YAML, JSON or TOML configuration (see `fastinstruct init`).")
]
SeedsOption = Annotated[
    Path | None, typer.Option("--seeds", help="Seed tasks, JSONL; a single task will do. Default: the packaged 175.")
]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", help="The stages: self_instruct, paper, or direct (one answer each).")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="default, or paper: another name for the recipe paper.")
]
PromptsOption = Annotated[
    Path | None, typer.Option("--prompts", help="A folder with templates of your own; each *.txt in it replaces one.")
]
BaseUrlOption = Annotated[
    str | None, typer.Option("--base-url", help="An OpenAI-compatible endpoint, with its /v1. Default: embedded model.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="The model's name, as the endpoint knows it. Its key: $OPENAI_API_KEY.")
]
GgufOption = Annotated[Path | None, typer.Option("--gguf", help="A local .gguf to embed instead of the packaged one.")]
ApiOption = Annotated[
    str | None, typer.Option("--api", help="chat or completions. Default: chat for endpoints, completions if embedded.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="The run's folder. Default: runs/<configuration or seed file>.")
]
TargetOption = Annotated[
    int | None, typer.Option("--target", "-n", help="Machine-generated instructions to admit. Default: 100.")
]
ThresholdOption = Annotated[
    float | None, typer.Option("--threshold", help="Reject above this ROUGE-L F-measure. Default: 0.7.")
]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        help="unicode (every script; unicode-1 is its older version), or rouge (a-z and 0-9, as the paper).",
    ),
]
AgainstOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--against", metavar="FILE", help="Reject what is near this evaluation set: JSON Lines or .txt. Repeatable."
    ),
]
AgainstFieldOption = Annotated[
    str | None, typer.Option("--against-field", help="The text in --against files. Default: instruction.")
]
MaxInFlightOption = Annotated[
    int | None, typer.Option("--max-in-flight", help="Requests at once. Default: 64 an endpoint; embedded model: 6.")
]
ConcurrencyOption = Annotated[
    str | None,
    typer.Option("--concurrency", help="fixed; aimd: up to what a server bears; queue: by the server's /metrics."),
]
MaxCostOption = Annotated[
    float | None, typer.Option("--max-cost", help="Stop before the run has cost more dollars than this.")
]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", help="Stop before the run has used more tokens, prompts and replies.")
]
MaxRequestsOption = Annotated[
    int | None, typer.Option("--max-requests", help="Stop before the run has sent more requests.")
]
MaxTimeOption = Annotated[
    str | None, typer.Option("--max-time", help="Stop this sitting after 90m, 2h30m or so many seconds.")
]
MaxErrorRateOption = Annotated[
    float | None, typer.Option("--max-error-rate", help="Stop when a larger share of the last 100 requests failed.")
]
RngSeedOption = Annotated[int | None, typer.Option("--rng-seed", help="Seed of every random draw. Default: 0.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key, such as instances.max_instances=3.")
]

_KEYS = {
    "out": "out",
    "target": "target",
    "seeds": "seeds",
    "prompts": "prompts",
    "rng_seed": "rng_seed",
    "recipe": "recipe",
    "profile": "profile",
    "base_url": "model.base_url",
    "model": "model.name",
    "gguf": "model.gguf",
    "api": "model.api",
    "threshold": "similarity.threshold",
    "tokenizer": "similarity.tokenizer",
    "against": "similarity.against",
    "max_in_flight": "runtime.max_in_flight",
    "concurrency": "runtime.concurrency",
    "max_cost": "budget.max_cost",
    "max_tokens": "budget.max_tokens",
    "max_requests": "budget.max_requests",
    "max_time": "budget.max_time_s",
    "max_error_rate": "budget.max_error_rate",
}


def load(
    config: Path | None,
    assignments: list[str] | None,
    *,
    against: list[Path] | None = None,
    against_field: str | None = None,
    **flags: Any,  # noqa: ANN401 - any flag's value
) -> RunConfig:
    """Return the effective configuration: `--set` outranks the other flags, both outrank environment and file.

    Without `out`, a run's folder is runs/<name of the configuration or seed file>, so that the same command resumes.

    Raises:
        ConfigError: what is wrong with which key.
    """
    from fastinstruct.config import load_config, parse_assignment
    from fastinstruct.config.environment import process_environment

    flags["against"] = against_files(against, against_field)
    given = {_KEYS[name]: value for name, value in flags.items()}
    given.update(dict(parse_assignment(text) for text in assignments or []))
    found = load_config(config, flags=given, env=process_environment())
    if found.out is None and config is not None:
        return found.model_copy(update={"out": Path("runs") / config.stem})
    return found


def against_files(files: list[Path] | None, field: str | None) -> list[dict[str, Any]] | None:
    """Return what `--against` and `--against-field` say as `similarity.against`; None where they are not given.

    Raises:
        InputError: a field is named and no file.
    """
    if not files:
        if field is None:
            return None
        from fastinstruct.errors import InputError

        raise InputError("--against-field names the text in --against files; give both")
    return [{"path": path, "field": field} for path in files]
