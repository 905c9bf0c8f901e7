"""The recipes that a configuration can name. Another one is a file beside this, and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from fastinstruct.config import RunConfig, nearest
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline.recipes.base import Recipe
from fastinstruct.pipeline.recipes.direct import DIRECT
from fastinstruct.pipeline.recipes.paper import PAPER
from fastinstruct.pipeline.recipes.self_instruct import SELF_INSTRUCT

__all__ = ["RECIPES", "Recipe", "recipe_of"]

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (SELF_INSTRUCT, PAPER, DIRECT)}


def recipe_of(config: RunConfig) -> Recipe:
    """Return the recipe that a configuration names.

    Raises:
        ConfigError: there is none of that name, or what it says of stages is not what the recipe's stages take.
    """
    name = config.recipe_name
    if name not in RECIPES:
        raise ConfigError(f"recipe: there is none called {name}{nearest(name, RECIPES)}; known: {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    recipe.refuse_strangers(config)
    return recipe
