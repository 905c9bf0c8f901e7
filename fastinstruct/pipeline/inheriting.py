"""What a run that an older version began keeps of how that version worked.

Its manifest lacks what this version records of a new run. Where the configuration leaves such a thing to the default,
the run goes on as it was begun: replies as text, the filters that there were, and the first version of the tokenizer
`unicode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastinstruct.config import ModelConfig, RunConfig
from fastinstruct.pipeline.changeable import of_its_version, with_exact_tokenizer
from fastinstruct.records import Stage
from fastinstruct.replaceable import is_there
from fastinstruct.store import has_answers, read_manifest

__all__ = ["as_begun", "begun_identity"]


def begun_identity(folder: Path) -> Mapping[str, Any] | None:
    """Return the identity of the run in this folder; None where nothing was answered yet, so that it is nobody's.

    Raises:
        RunFolderError: the manifest or the database is damaged.
    """
    if not is_there(folder / "manifest.json") or not has_answers(folder / "run.db"):
        return None
    return dict(read_manifest(folder)["identity"])


def as_begun(config: RunConfig, identity: Mapping[str, Any]) -> RunConfig:
    """Return the configuration with the defaults of the version that began the run of this identity."""
    return with_exact_tokenizer(of_its_version(_with_text_replies(config, identity), identity), identity)


def _with_text_replies(config: RunConfig, identity: Mapping[str, Any]) -> RunConfig:
    """Ask for text in each stage of which the manifest says nothing: older versions knew nothing else."""
    changes: dict[str, Any] = {}
    silent = [stage for stage in Stage if "replies" not in dict(identity.get(stage) or {})]
    for stage in silent:
        part = getattr(config, stage)
        if part.model is not None:
            changes[stage] = part.model_copy(update={"model": _as_text(part.model)})
        elif len(silent) == len(Stage):
            changes["model"] = _as_text(config.model)
    return config.model_copy(update=changes)


def _as_text(model: ModelConfig) -> ModelConfig:
    return model.model_copy(update={"replies": "text"}) if model.replies == "auto" else model
