"""A configuration as a run's folder keeps it: YAML that `load_config` reads back, from any folder, without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fastinstruct.config.schema import OF_THE_PAPER, ModelConfig, RunConfig, StageSettings
from fastinstruct.errors import ConfigError
from fastinstruct.tokenizer_names import exact_tokenizer

__all__ = ["recorded", "refuse_masked"]

_MASK = "***"


def recorded(config: RunConfig, folder: Path) -> str:
    """Return `config` as the `config.yaml` of the run in `folder`.

    Paths are absolute, because a file's relative ones are taken from its own folder, and `out` names the run's, so that
    the file alone resumes it. The tokenizer has its exact name. The values of headers, which may be keys, are masked.
    """
    tree = config.model_dump(mode="json")
    _record_model(tree["model"], config.model)
    for part, settings in [*((tree[name], config.stage(name)) for name in OF_THE_PAPER), *_further(tree, config)]:
        if settings.model is not None:
            _record_model(part["model"], settings.model)
    for row, file in zip(tree["similarity"]["against"], config.similarity.against, strict=True):
        row["path"] = _absolute(file.path)
    tree["similarity"]["tokenizer"] = exact_tokenizer(config.similarity.tokenizer)
    tree |= {"out": _absolute(folder), "seeds": _absolute(config.seeds), "prompts": _absolute(config.prompts)}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _further(tree: Mapping[str, Any], config: RunConfig) -> Iterator[tuple[dict[str, Any], StageSettings]]:
    for name, settings in config.stages.items():
        yield tree["stages"][name], settings


def _record_model(tree: dict[str, Any], model: ModelConfig) -> None:
    tree["headers"] = dict.fromkeys(model.headers, _MASK)
    tree["gguf"] = _absolute(model.gguf)
    for row, endpoint in zip(tree["endpoints"], model.endpoints, strict=True):
        row["headers"] = dict.fromkeys(endpoint.headers, _MASK)


def refuse_masked(headers: Mapping[str, str]) -> None:
    """Keep a mask that a run's `config.yaml` holds from being sent in a header's place.

    Raises:
        ConfigError: which header is masked.
    """
    for name, value in headers.items():
        if value == _MASK:
            key = f"model.headers.{name}"
            raise ConfigError(f"{key}: a run's config.yaml does not hold its value; give it with --set {key}=...")


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
