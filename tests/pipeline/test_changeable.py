"""Which settings may differ between a run and its manifest: runs of older versions stay the runs they are."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fastinstruct.config import NULL, RunConfig, load_config
from fastinstruct.errors import RunFolderError
from fastinstruct.pipeline.identity import changed_settings, of_its_version, refuse_disagreement, with_changes
from fastinstruct.records import Api

FORBIDDEN = {"filters.forbidden": ["acme"]}


def older(identity: dict[str, Any]) -> dict[str, Any]:
    """An identity as a version wrote it that knew three filters only."""
    found = copy.deepcopy(identity)
    found["filters"] = {key: found["filters"][key] for key in ("min_words", "max_words", "keywords")}
    return found


def test_a_run_of_an_older_version_goes_on_with_the_identity_it_has() -> None:
    config = RunConfig()
    identity = older(config.identity_fields())
    resumed = of_its_version(config, identity)
    assert resumed.filters.max_repeated_output is None
    assert resumed.identity_fields() == identity
    refuse_disagreement(identity, resumed, "config.yaml")
    assert with_changes(identity, resumed, None) == identity


def test_a_new_run_keeps_the_limit_its_manifest_names() -> None:
    config = RunConfig()
    assert of_its_version(config, config.identity_fields()) == config


def test_a_limit_that_a_person_chose_is_not_taken_for_the_default() -> None:
    identity = older(RunConfig().identity_fields())
    chosen = load_config(flags={"filters.max_repeated_output": 5})
    assert of_its_version(chosen, identity) == chosen  # `claim` says that it differs
    changes = {"filters.max_repeated_output": 10}
    assert of_its_version(load_config(flags=changes), identity, changes).filters.max_repeated_output == 10
    assert (
        of_its_version(load_config(flags=changes), identity, {"filters.min_words": 3}).filters.max_repeated_output
        is None
    )


def test_rules_and_the_limit_can_be_changed_and_changed_back() -> None:
    old = RunConfig()
    changes = FORBIDDEN | {"filters.required": [{"words": "x", "on": "output"}], "filters.max_repeated_output": NULL}
    new = load_config(flags=changes)
    assert set(changed_settings(old, new, Api.CHAT, changes)) == set(changes)
    there = with_changes(old.identity_fields(), new, None)
    assert there["filters"] == new.identity_fields()["filters"]
    assert "max_repeated_output" not in there["filters"]
    assert with_changes(there, old, None) == old.identity_fields()


@pytest.mark.parametrize(("there", "here"), [({}, FORBIDDEN), (FORBIDDEN, {})])
def test_rules_that_were_edited_in_the_folder_are_refused(there: dict[str, Any], here: dict[str, Any]) -> None:
    identity = load_config(flags=there).identity_fields()
    with pytest.raises(RunFolderError, match=r"config\.yaml: was edited, filters\.forbidden is "):
        refuse_disagreement(identity, load_config(flags=here), "config.yaml")


def test_a_filter_of_a_newer_version_is_not_left_out() -> None:
    identity = RunConfig().identity_fields()
    identity["filters"]["tomorrow"] = 1
    with pytest.raises(RunFolderError, match=r"this version cannot apply filters\.tomorrow"):
        refuse_disagreement(identity, RunConfig(), "config.yaml")
