"""What a recipe may be, and what a configuration may say of one: a mistake is one line that says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import ConfigError, FastInstructError
from fastinstruct.pipeline.preparation import prepare
from fastinstruct.pipeline.recipes import RECIPES, Recipe, recipe_of
from fastinstruct.pipeline.stages.base import Stage
from fastinstruct.pipeline.stages.classify import Classify
from fastinstruct.pipeline.stages.generate_instances import GenerateInstances
from fastinstruct.pipeline.stages.generate_instructions import GenerateInstructions
from fastinstruct.pipeline.stages.respond import Respond
from fastinstruct.records import Api
from fastinstruct.text.prompting import load_templates
from places import REPOSITORY

SERVED = {"model.base_url": "http://127.0.0.1:9/v1", "model.name": "m"}


def other(stage: type[Stage], name: str, **fields: str) -> type[Stage]:
    """A stage that differs from another in these."""
    return type(name.title(), (stage,), {"name": name, **fields})


AGAIN = other(GenerateInstructions, "again")
INVENTING = other(Classify, "inventing", makes="candidates")
ANSWERING = other(GenerateInstructions, "answering", makes="examples")
OTHERWISE = "where profile is paper, which is the recipe paper; give one of them"
ALONE = "the first stage, and no other, shows tasks of the pool and makes candidates"


def refused(flags: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        recipe_of(load_config(flags=flags))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def typed(folder: Path, *arguments: str, **env: str) -> tuple[int, str, str]:
    """The exit code of the command, and what it prints on either stream."""
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "kernels")))
    done = subprocess.run(
        [sys.executable, "-m", "fastinstruct", *arguments],
        cwd=folder,
        env={"PYTHONPATH": paths, "HOME": str(folder), "PATH": os.defpath, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


# ------------------------------------------------------------------------------------------------------------ its name


def test_a_recipe_that_does_not_exist_is_told_with_the_nearest() -> None:
    known = f"known: {', '.join(RECIPES)}"
    assert refused({"recipe": "self-instruct"}) == (
        f"recipe: there is none called self-instruct (did you mean self_instruct?); {known}"
    )
    assert refused({"recipe": "papr"}) == f"recipe: there is none called papr (did you mean paper?); {known}"
    assert refused({"recipe": "qqq"}) == f"recipe: there is none called qqq; {known}"


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_goes_by_its_name_and_has_templates_on_both_routes(recipe: str) -> None:
    found = recipe_of(load_config(flags={"recipe": recipe}))
    assert (found.name, found) == (recipe, RECIPES[recipe])
    for api in Api:
        there = load_templates(api, found.placeholders())
        assert {kind for stage in found.stages for kind in stage.templates} <= set(there)


def test_without_a_name_it_is_what_the_profile_stands_for() -> None:
    assert recipe_of(load_config()).name == "self_instruct"
    assert recipe_of(load_config(flags={"profile": "paper"})).name == "paper"
    assert RunConfig(recipe="paper") == RunConfig(profile="paper")


@pytest.mark.parametrize("stated", [{"recipe": "paper"}, {"recipe": "paper", "profile": "paper"}])
def test_the_recipe_paper_is_the_profile_paper(stated: dict[str, str], tmp_path: Path) -> None:
    """The same configuration, so that a run which one of them began goes on with the other."""
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    by_profile = load_config(flags={**SERVED, "profile": "paper"})
    by_recipe = load_config(flags={**SERVED, **stated})
    assert by_recipe == by_profile
    identity = prepare(by_recipe, env).identity()
    assert identity == prepare(by_profile, env).identity()
    assert (identity["profile"], "recipe" in identity) == ("paper", False)
    assert identity["instructions"]["sampling"]["presence_penalty"] == 2.0
    assert identity != prepare(load_config(flags=SERVED), env).identity()


def test_a_recipe_at_its_default_stays_out_of_the_identity(tmp_path: Path) -> None:
    """Yesterday's runs know no recipe, and go on."""
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    identity = prepare(load_config(flags={**SERVED, "recipe": "self_instruct"}), env).identity()
    assert identity == prepare(load_config(flags=SERVED), env).identity()
    assert "recipe" not in identity


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"recipe": "paper", "profile": "default"}, "recipe: is paper where profile is 'default'; give one of them"),
        ({"recipe": "paper", "profile": ["a"]}, "recipe: is paper where profile is \"['a']\"; give one of them"),
        (
            {"recipe": "self_instruct", "profile": "paper"},
            f"configuration: recipe: is 'self_instruct' {OTHERWISE}",
        ),
        (
            {"recipe": "direct", "profile": "paper"},
            f"configuration: recipe: is 'direct' {OTHERWISE}",
        ),
    ],
)
def test_recipe_and_profile_that_name_different_ones_are_refused(stated: dict[str, Any], told: str) -> None:
    assert refused(stated) == told


@pytest.mark.parametrize("recipe", ["direct", "self_instruct"])
def test_they_are_refused_wherever_either_is_named(recipe: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"recipe: {recipe}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"recipe: is '{recipe}' where profile is paper"):
        load_config(file, flags={"profile": "paper"})
    with pytest.raises(ConfigError, match=f"recipe: is '{recipe}' where profile is paper"):
        load_config(file, env={"FASTINSTRUCT_PROFILE": "paper"})
    file.write_text("profile: paper\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"recipe: is '{recipe}' where profile is paper"):
        load_config(file, env={"FASTINSTRUCT_RECIPE": recipe})
    assert load_config(file, env={"FASTINSTRUCT_RECIPE": "paper"}) == load_config(flags={"recipe": "paper"})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--recipe", "papr"), "recipe: there is none called papr (did you mean paper?); known: "),
        (("--recipe", "direct", "--profile", "paper"), "recipe: is 'direct' where profile is paper"),
        (("--recipe", "paper", "--profile", "default"), "recipe: is paper where profile is 'default'"),
        (("--recipe", "direct", "--set", "stages.respnd.model=null"), "stages.respnd: "),
        (("--recipe", "direct", "--set", "stages.respond.samplin=1"), "unknown key stages.respond.samplin (did you "),
    ],
)
def test_the_command_ends_with_2_and_one_line_and_makes_nothing(
    arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    served = ("--base-url", SERVED["model.base_url"], "--model", "m", "--out", "run")
    code, out, err = typed(tmp_path, "run", *served, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert told in err
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ its stages' settings


@pytest.mark.parametrize(
    ("group", "key"), [("classification", "method"), ("instances", "max_instances"), ("instances", "sampling")]
)
def test_settings_of_a_stage_of_the_paper_that_the_recipe_lacks_are_refused(group: str, key: str) -> None:
    other = {"method": "text", "max_instances": 2, "sampling": {"temperature": 0.1}}
    told = f"{group}: recipe direct has no such stage; take its settings out, or choose another recipe"
    assert refused({"recipe": "direct", group: {key: other[key]}}) == told


@pytest.mark.parametrize(
    ("recipe", "stage", "told"),
    [
        ("direct", "respnd", "stages.respnd: recipe direct has no such stage (did you mean respond?)"),
        ("self_instruct", "respond", "stages.respond: recipe self_instruct has no such stage"),
        ("paper", "rate", "stages.rate: recipe paper has no such stage"),
    ],
)
def test_settings_of_a_stage_that_the_recipe_lacks_are_refused(recipe: str, stage: str, told: str) -> None:
    assert refused({"recipe": recipe, "stages": {stage: {"sampling": {"temperature": 0.1}}}}) == told


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"samplin": {}}, "unknown key stages.respond.samplin (did you mean stages.respond.sampling?)"),
        (
            {"temperature": 1},
            "unknown key stages.respond.temperature (did you mean stages.respond.sampling.temperature?)",
        ),
        (
            {"sampling": {"temperatur": 1}},
            "command line: unknown key stages.respond.sampling.temperatur (did you mean stages.respond.sampling.temp",
        ),
        ({"model": {"nme": "m"}}, "command line: unknown key stages.respond.model.nme (did you mean"),
        ({"sampling": {"temperature": 9}}, "command line: stages.respond.sampling.temperature: input should be less"),
        ({"max_instances": 3}, "unknown key stages.respond.max_instances"),
    ],
)
def test_a_key_that_a_further_stage_does_not_take_is_refused_with_the_nearest(
    settings: dict[str, Any], told: str
) -> None:
    assert refused({"recipe": "direct", "stages": {"respond": settings}}).startswith(told)


def test_a_secret_among_a_further_stages_settings_is_refused_and_not_repeated() -> None:
    told = refused({"recipe": "direct", "stages": {"respond": {"api_key": "sk-0123456789abcdef"}}})
    assert told.startswith("unknown key stages.respond.api_key; a key is never part of a configuration")
    assert "sk-0123456789abcdef" not in told


@pytest.mark.parametrize("settings", [None, 5, "sk-0123456789abcdef", []])
def test_what_is_no_group_of_keys_is_no_stages_settings(settings: object) -> None:
    told = "command line: stages.respond: must be a group of keys"
    assert refused({"recipe": "direct", "stages": {"respond": settings}}) == told


@pytest.mark.parametrize("stage", ["instructions", "classification", "instances"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_papers_stages_have_groups_of_their_own(recipe: str, stage: str) -> None:
    told = f"configuration: stages.{stage}: its settings stand in {stage}, without stages"
    assert refused({"recipe": recipe, "stages": {stage: {"sampling": {"temperature": 0.5}}}}) == told


def test_what_is_set_of_a_further_stage_reaches_it_and_the_identity(tmp_path: Path) -> None:
    flags = {**SERVED, "recipe": "direct", "stages": {"respond": {"sampling": {"temperature": 0.25}}}}
    preparation = prepare(load_config(flags=flags), {"XDG_CACHE_HOME": str(tmp_path)})
    sampling = preparation.stages()["respond"].build(preparation.first_items()["respond"]).request.sampling
    assert (sampling.temperature, sampling.top_p) == (0.25, 0.95)
    assert preparation.identity()["stages"]["respond"]["sampling"]["temperature"] == 0.25


# ---------------------------------------------------------------------------------------------------------- its stages


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        (
            (GenerateInstructions, GenerateInstances),
            "stage instances: needs is_classification, which no stage before it makes; put one before it",
        ),
        (
            (GenerateInstructions, GenerateInstances, Classify),
            "stage instances: needs is_classification, which no stage before it makes; put one before it",
        ),
        (
            (GenerateInstructions, Classify, Classify, GenerateInstances),
            "stage classification: stands in it twice; give each stage a name of its own",
        ),
        (
            (Classify, GenerateInstances),
            f"stage classification: consumes instruction; {ALONE}",
        ),
        (
            (GenerateInstructions, AGAIN, Respond),
            f"stage again: consumes pool; {ALONE}",
        ),
        (
            (GenerateInstructions, INVENTING, Respond),
            f"stage inventing: makes candidates; {ALONE}",
        ),
        (
            (ANSWERING, Respond),
            f"stage answering: makes examples; {ALONE}",
        ),
    ],
)
def test_stages_that_do_not_fit_together_make_no_recipe(stages: tuple[type[Stage], ...], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe("own", stages)
    assert str(caught.value) == f"recipe own: {told}"


@pytest.mark.parametrize("stages", [(), (GenerateInstructions,), (GenerateInstructions, Classify)])
def test_a_recipe_ends_with_examples(stages: tuple[type[Stage], ...]) -> None:
    with pytest.raises(FastInstructError) as caught:
        Recipe("own", stages)
    assert str(caught.value) == "recipe own: its last stage has to make examples"
    assert caught.value.exit_code == 2


def test_a_recipe_of_ones_own_joins_the_identity_and_checks_what_is_said_of_its_stages(tmp_path: Path) -> None:
    own, env = Recipe("own", (GenerateInstructions, Respond)), {"XDG_CACHE_HOME": str(tmp_path)}
    assert prepare(load_config(flags=SERVED), env, recipe=own).identity()["recipe"] == "own"
    config = load_config(flags={**SERVED, "stages": {"rate": {}}})
    with pytest.raises(ConfigError, match=r"^stages\.rate: recipe own has no such stage"):
        prepare(config, env, recipe=own)
