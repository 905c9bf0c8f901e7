"""Merge a configuration from its sources, each outranking the next.

flags and `--set` > FASTINSTRUCT_* > configuration file > OPENAI_BASE_URL > profile > defaults

Knows nothing of what most keys do. Every problem is a `ConfigError` of one line with the source and the key's path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from fastinstruct.config.environment import refuse_secrets
from fastinstruct.config.files import Tree, parse_yaml, read_tree
from fastinstruct.config.problems import complaint, dotted, nearest
from fastinstruct.config.profiles import PROFILES
from fastinstruct.config.schema import RunConfig
from fastinstruct.errors import ConfigError

__all__ = ["ENVIRONMENT", "NULL", "load_config", "parse_assignment"]

ENVIRONMENT = {
    "FASTINSTRUCT_PROFILE": "profile",
    "FASTINSTRUCT_TARGET": "target",
    "FASTINSTRUCT_SEEDS": "seeds",
    "FASTINSTRUCT_PROMPTS": "prompts",
    "FASTINSTRUCT_OUT": "out",
    "FASTINSTRUCT_RNG_SEED": "rng_seed",
    "FASTINSTRUCT_BASE_URL": "model.base_url",
    "FASTINSTRUCT_MODEL": "model.name",
    "FASTINSTRUCT_API": "model.api",
    "FASTINSTRUCT_GGUF": "model.gguf",
    "FASTINSTRUCT_THRESHOLD": "similarity.threshold",
    "FASTINSTRUCT_TOKENIZER": "similarity.tokenizer",
    "FASTINSTRUCT_MAX_IN_FLIGHT": "runtime.max_in_flight",
}
"""Environment variables that set a key. FASTINSTRUCT_API_KEY holds the key itself and is read when a run connects."""

NULL: Final = object()
"""A flag's value that sets a key to null; None means that the flag was not given."""

_KEY = re.compile(r"[\w.]*")


def load_config(
    path: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> RunConfig:
    """Return the effective configuration.

    A group that is set in part keeps its other keys' values from the sources below: setting a temperature alone leaves
    the stage's own `max_tokens`. A `base_url` displaces the `gguf` of a source below, and a `gguf` the `base_url`.

    Args:
        path: YAML, JSON or TOML; its relative paths are relative to its own folder.
        flags: dotted key -> value, from flags and `--set`; None values are ignored, `NULL` sets null.
        env: the environment to read; an empty one by default, so that a library call depends on nothing hidden.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a wrong type, a value out of range, a secret where it
            would be stored, an unreadable file or an unset variable.
    """
    env = env or {}
    file_tree = read_tree(path, env) if path else {}
    flag_tree, env_tree = _from_flags(flags or {}), _from_environment(env)
    given = _over(_over(file_tree, env_tree), flag_tree)
    profile = given.get("profile")
    base = PROFILES.get(profile, {}) if isinstance(profile, str) else {}
    tree = _merge(_merge(RunConfig().model_dump(), base), given)
    variables = {key: name for name, key in ENVIRONMENT.items() if env.get(name)} | _fill_in_openai(tree, env)
    sources = _Sources(file=str(path) if path else "configuration", variables=variables, flags=flag_tree)
    config = _validated(tree, sources)
    try:
        refuse_secrets(config, env)
    except ConfigError as error:
        key = str(error).partition(":")[0].partition(".endpoints.")[0]  # of one of the list, the model
        raise ConfigError(f"{sources.of(key)}: {error}") from None
    return config


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `a.b=value` of `--set`; the value is read as YAML, so `true`, `0.5` and `[a, b]` mean what they say.

    Returns:
        The key and the value; `NULL` for null, because None is a flag that was not given.

    Raises:
        ConfigError: there is no `=`, no key, or the value is no YAML.
    """
    key, found, value = (part.strip() for part in text.partition("="))
    if not found or not key:
        # What comes after the key may be a secret, so it is not repeated.
        shown = _KEY.match(text.strip())
        name = shown[0] if shown else ""
        raise ConfigError(f"--set {name}: write it as key=value, such as similarity.threshold=0.6")
    parsed = parse_yaml(value, f"--set {_KEY.findall(key)[0]}")
    return key, NULL if parsed is None else parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    """Which source a key's value came from, for messages."""

    file: str
    variables: Mapping[str, str]
    flags: Tree

    def of(self, key: str) -> str:
        return "command line" if _holds(self.flags, key) else self.variables.get(key, self.file)


def _from_flags(flags: Mapping[str, Any]) -> Tree:
    tree: Tree = {}
    for key, value in flags.items():
        if value is not None:
            _assign(tree, key, None if value is NULL else value)
    return tree


def _from_environment(env: Mapping[str, str]) -> Tree:
    known = [*ENVIRONMENT, "FASTINSTRUCT_API_KEY"]
    tree: Tree = {}
    for name, value in env.items():
        if not name.startswith("FASTINSTRUCT_") or name == "FASTINSTRUCT_API_KEY":
            continue
        if name not in ENVIRONMENT:
            raise ConfigError(f"{name}: no such environment variable of FastInstruct{nearest(name, known)}")
        if value:
            _assign(tree, ENVIRONMENT[name], value)
    return tree


def _fill_in_openai(tree: Tree, env: Mapping[str, str]) -> dict[str, str]:
    """Let OPENAI_BASE_URL stand in where nothing says where the model is, but a model is named.

    Returns:
        The key that it set, if it did, with the variable's name.
    """
    model = tree["model"]
    if not isinstance(model, dict) or model.get("base_url") or model.get("gguf") or not model.get("name"):
        return {}
    if not env.get("OPENAI_BASE_URL"):
        return {}
    model["base_url"] = env["OPENAI_BASE_URL"]
    return {"model.base_url": "OPENAI_BASE_URL"}


def _assign(tree: Tree, key: str, value: object) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        child = tree.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{dotted([key])}: {dotted([parent])} is a value, not a group of keys")
        tree = child
    tree[leaf] = value


def _over(under: Tree, over: Tree) -> Tree:
    """Return `under` with what `over`, a source of higher rank, sets; a model it names displaces another kind below."""
    above, below = over.get("model"), under.get("model")
    if isinstance(above, Mapping) and isinstance(below, Mapping):
        displaced: set[str] = set()
        if above.get("gguf") and not above.get("base_url"):
            displaced = {"base_url", "name"}
        elif above.get("base_url") and not above.get("gguf"):
            displaced = {"gguf"}
        under = {**under, "model": {key: value for key, value in below.items() if key not in displaced}}
    return _merge(under, over)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """Return `under` with what `over` sets, group by group.

    `model.extra_body`, `model.headers` and `model.query` are groups too. A null group in a file ("model:") counts
    as an empty one.
    """
    merged = dict(under)
    for key, value in over.items():
        if isinstance(merged.get(key), Mapping):
            if value is None:
                continue
            if isinstance(value, Mapping):
                value = _merge(merged[key], value)
        merged[key] = value
    return merged


def _holds(tree: object, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def _validated(tree: Tree, sources: _Sources) -> RunConfig:
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False)
    except ValueError:  # pydantic cannot show an integer of more than 4300 digits
        raise ConfigError(f"{sources.of('')}: a number in it is too long") from None
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    key = dotted(list(takewhile(lambda part: isinstance(part, str), items[0]["loc"])))  # of a list's item, the list's
    raise ConfigError(f"{sources.of(key)}: {complaint(items[0])}{more}")
