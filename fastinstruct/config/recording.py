"""A configuration as a run's folder keeps it: YAML that `load_config` reads back, from any folder, without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fastinstruct.config.schema import EndpointConfig, ModelConfig, RunConfig
from fastinstruct.errors import ConfigError
from fastinstruct.records import Stage
from fastinstruct.tokenizer_names import exact_tokenizer

__all__ = ["recorded", "refuse_masked"]

_MASK = "***"


def recorded(config: RunConfig, folder: Path) -> str:
    """Return `config` as the `config.yaml` of the run in `folder`.

    Paths are absolute, because a file's relative ones are taken from its own folder, and `out` names the run's, so that
    the file alone resumes it. The tokenizer has its exact name. The values of headers and queries, which may be keys,
    are masked.
    """
    tree = config.model_dump(mode="json")
    _record_model(tree["model"], config.model)
    for stage in Stage:
        own = tree[stage].get("model")
        if own is not None:
            _record_model(own, config.model_of(stage))
    for row, file in zip(tree["similarity"]["against"], config.similarity.against, strict=True):
        row["path"] = _absolute(file.path)
    tree["similarity"]["tokenizer"] = exact_tokenizer(config.similarity.tokenizer)
    tree |= {"out": _absolute(folder), "seeds": _absolute(config.seeds), "prompts": _absolute(config.prompts)}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _record_model(tree: dict[str, Any], model: ModelConfig) -> None:
    tree["gguf"] = _absolute(model.gguf)
    servers: list[ModelConfig | EndpointConfig] = [model, *model.endpoints]
    for row, server in zip([tree, *tree["endpoints"]], servers, strict=True):
        row["headers"] = dict.fromkeys(server.headers, _MASK)
        row["query"] = dict.fromkeys(server.query, _MASK)


def refuse_masked(server: ModelConfig | EndpointConfig) -> None:
    """Keep a mask that a run's `config.yaml` holds from being sent in the place of a header's or a query's value.

    Raises:
        ConfigError: which of them is masked.
    """
    values = {f"headers.{name}": value for name, value in server.headers.items()}
    values |= {f"query.{name}": value for name, value in server.query.items()}
    for name, value in values.items():
        if value == _MASK:
            told = "a run's config.yaml does not hold its value; give it"
            if isinstance(server, EndpointConfig):
                raise ConfigError(f"model.endpoints: {name}: {told} with the list of endpoints, in a file or by --set")
            raise ConfigError(f"model.{name}: {told} with --set model.{name}=...")


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
