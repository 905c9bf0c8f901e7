"""Which settings a stored run can be read by anew: those that decide what becomes of an answer, not what was asked.

Pure. An identity is what `Preparation.identity` returns and a run's manifest holds. Of `similarity.against` it holds a
hash of what the files say, so whether that is changed is for those to say who have read them.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fastinstruct.config import FilterConfig, RunConfig
from fastinstruct.config.filters import IMPLIED
from fastinstruct.errors import ConfigError, RunFolderError
from fastinstruct.records import Api, Stage
from fastinstruct.store import exact_identity
from fastinstruct.tokenizer_names import exact_tokenizer, goes_on_with

__all__ = [
    "AGAINST",
    "TOKENIZER",
    "changed_settings",
    "is_given",
    "of_its_version",
    "refuse_disagreement",
    "with_changes",
    "with_exact_tokenizer",
]

AGAINST = "similarity.against"
TOKENIZER = "similarity.tokenizer"

_FOLDER_MODE = "runtime.folder_mode"  # the new run has a folder of its own
_MAX_INSTANCES = "instances.max_instances"
_MAX_REPEATED = "filters.max_repeated_output"
_CHANGEABLE = (
    "similarity.threshold",
    TOKENIZER,
    "filters.min_words",
    "filters.max_words",
    "filters.keywords",
    "filters.required",
    "filters.forbidden",
    _MAX_REPEATED,
    _MAX_INSTANCES,
)
_NOT_IN_IDENTITY = frozenset({"seeds", "prompts", "model.gguf", "model.replies"})  # but their contents are
_OWN_MODELS = tuple(f"{stage}.model" for stage in Stage)
_ASKED = "it decides what the model was asked, and the answers are already there; start a new run for it"
_LATER = "it has no part in refiltering; give it to `fastinstruct run` when the new run goes on"


def changed_settings(
    old: RunConfig, new: RunConfig, api: Api, given: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two configurations of a run, but for AGAINST and who may read it: key -> (old, new).

    Args:
        old: the run's configuration.
        new: the one to read its answers by.
        api: the route of stage 3's prompts.
        given: the keys that a person asked to change; a message names one of these first.

    Raises:
        ConfigError: a key that refiltering cannot change, and why.
    """
    before, after = dict(_leaves(old.model_dump(mode="json"))), dict(_leaves(new.model_dump(mode="json")))
    missing = object()
    keys = [key for key in {**before, **after} if key not in {AGAINST, _FOLDER_MODE}]
    differing = [key for key in keys if before.get(key, missing) != after.get(key, missing)]
    asked = {key for config in (old, new) for key, _ in _leaves(config.identity_fields())} | _NOT_IN_IDENTITY
    for key in sorted(differing, key=lambda key: key not in given):
        if key not in _CHANGEABLE:
            is_asked = key in asked or _of_run(key) in asked or key in _OWN_MODELS
            raise ConfigError(f"{_shown(key)}: cannot be changed: {_reason(key, is_asked=is_asked)}")
    if _MAX_INSTANCES in differing:
        _refuse_more_instances(old, new, api)
    return {key: (before[key], after[key]) for key in differing}


def is_given(key: str, given: Mapping[str, Any]) -> bool:
    """Whether a person gave a value for this key, or for a part of it; None is no value."""
    return any(f"{leaf}.".startswith(f"{key}.") for leaf, value in _leaves(given) if value is not None)


def with_changes(identity: Mapping[str, Any], config: RunConfig, against_sha256: str | None) -> dict[str, Any]:
    """Return a run's identity with what `config` and its evaluation files say of the settings that can be changed."""
    found = copy.deepcopy(dict(identity))
    fields = config.identity_fields()
    for key in _CHANGEABLE:
        part, _, name = key.partition(".")
        found.setdefault(part, {}).pop(name, None)
        if name in fields[part]:  # an identity leaves out what earlier versions implied
            found[part][name] = fields[part][name]
    found["similarity"].pop("against", None)
    if against_sha256 is not None:
        found["similarity"]["against"] = against_sha256
    return found


def of_its_version(config: RunConfig, identity: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> RunConfig:
    """Return a run's configuration as the version meant it that began the run.

    A run whose manifest lacks `filters.max_repeated_output` has no such limit: it is older than the setting, or was
    begun with null. So the default, which nobody chose, does not stand for it. A value that a person chose, which is
    any other, or any that is `given` (as `load_config` takes flags), stays; `RunFolder.claim` refuses to go on with
    it, and `refilter` judges anew by it.
    """
    filters = config.filters
    is_chosen = filters.max_repeated_output != FilterConfig().max_repeated_output or is_given(
        _MAX_REPEATED, given or {}
    )
    if is_chosen or _MAX_REPEATED in dict(_leaves(identity)):
        return config
    return config.model_copy(update={"filters": filters.model_copy(update={"max_repeated_output": None})})


def with_exact_tokenizer(config: RunConfig, identity: Mapping[str, Any] | None = None) -> RunConfig:
    """Return the configuration with the exact name of its tokenizer.

    Where it asks for `unicode`, that is the version that the run of this `identity` has; without one, the newest.
    """
    asked = config.similarity.tokenizer
    similarity = exact_identity(identity or {}).get("similarity")
    stored = similarity.get("tokenizer") if isinstance(similarity, Mapping) else None
    exact = stored if goes_on_with(str(stored), asked) else exact_tokenizer(asked)
    return config.model_copy(update={"similarity": config.similarity.model_copy(update={"tokenizer": exact})})


def refuse_disagreement(identity: Mapping[str, Any], config: RunConfig, where: str) -> None:
    """Check that `config`, read from a run's folder, is that run's: somebody may have edited it.

    Raises:
        RunFolderError: which setting differs from the manifest's, or which filter of the run's is unknown here.
    """
    there, here = dict(_leaves(exact_identity(identity))), dict(_leaves(config.identity_fields()))
    for name, implied in IMPLIED.items():
        there.setdefault(f"filters.{name}", implied)
        here.setdefault(f"filters.{name}", implied)
    for key in there:
        # To leave a filter out would admit too much.
        if key.startswith(("similarity.", "filters.")) and key not in here and key != AGAINST:
            raise RunFolderError(f"{where}: this version cannot apply {key}, which the run was filtered by")
    for key, value in here.items():
        # Of these, the manifest holds what null stood for.
        is_resolved = _of_run(key).startswith("model.") or ".sampling." in key
        if not is_resolved and key in there and there[key] != value:
            both = f"{key} is {value!r:.40} there and {there[key]!r:.40} in manifest.json"
            raise RunFolderError(f"{where}: was edited, {both}; undo that")


def _refuse_more_instances(old: RunConfig, new: RunConfig, api: Api) -> None:
    """A base model was stopped after so many instances; chat models and the profile `paper` have no such stop."""
    most = old.instances.max_instances
    if api is Api.COMPLETIONS and old.profile == "default" and new.instances.max_instances > most:
        raise ConfigError(
            f"{_MAX_INSTANCES}: cannot be raised: the model was stopped after {most} instances; give at most {most}"
        )


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a tree with its dotted key; tuples as lists, which they are in JSON."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def _of_run(key: str) -> str:
    """The key of the run's model that says what this key of a stage's own does; any other key as it is."""
    stage, _, rest = key.partition(".")
    return rest if stage in set(Stage) and rest.startswith("model.") else key


def _shown(key: str) -> str:
    """The key, without what stands inside `model.headers`, `query` and `extra_body`: it is not ours to repeat."""
    rest = _of_run(key)
    return key.removesuffix(rest) + ".".join(rest.split(".")[:2]) if rest.startswith("model.") else key


def _reason(key: str, *, is_asked: bool) -> str:
    if key == "out":
        return "--out names the new run's folder"
    return _ASKED if is_asked or _of_run(key).startswith("model.extra_body") else _LATER
