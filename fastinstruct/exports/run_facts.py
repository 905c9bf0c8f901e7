"""What an export has to know of a run beside its rows: the settings in the manifest that made them.

Reads `manifest.json` and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fastinstruct.errors import RunFolderError
from fastinstruct.reading import whole_text
from fastinstruct.records import Api
from fastinstruct.store import api_in, model_in
from fastinstruct.tokenizer_names import stored_tokenizer

__all__ = ["RunFacts", "facts_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Settings of a run that never change.

    `num_items` is how many instructions a prompt asks for, `api` the route of stage 1's prompts, and
    `classification_model` the model that stage 2 asked.
    """

    rng_seed: int
    tokenizer: str
    num_items: int
    classification_model: str
    api: Api


def facts_of(folder: Path) -> RunFacts:
    """Read the facts of the run in `folder`.

    Raises:
        RunFolderError: there is no manifest, or it is damaged.
    """
    manifest = folder / "manifest.json"
    try:
        identity = json.loads(whole_text(manifest))["identity"]
        return RunFacts(
            rng_seed=int(identity["rng_seed"]),
            tokenizer=stored_tokenizer(str(identity["similarity"]["tokenizer"])),
            num_items=int(identity["instructions"]["num_items"]),
            classification_model=str(model_in(identity, "classification")["name"] or "model"),
            api=api_in(identity, "instructions"),
        )
    except OSError as error:
        raise RunFolderError(f"{manifest}: cannot be read: {error.strerror}; restore it from a copy") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{manifest}: is damaged; restore it from a copy") from error
