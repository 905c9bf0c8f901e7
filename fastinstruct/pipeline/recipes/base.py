"""A recipe: an ordered tuple of stages, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fastinstruct.config import OF_THE_PAPER, RunConfig, nearest, settings_of
from fastinstruct.config.problems import dotted
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline.stages.base import Stage
from fastinstruct.text.prompting import JSON_SUFFIX, Placeholders

__all__ = ["Recipe"]

_DEFAULTS = RunConfig()


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run asks, in this order: the first stage makes candidates, the others ask about what was admitted.

    Attributes:
        name: what a configuration and a run's identity call it.
        stages: their classes.
        keeps_repeats: whether any number of instructions may have one and the same output.

    Raises:
        ConfigError: a stage lacks what it asks about, or two have one name.
    """

    name: str
    stages: tuple[type[Stage], ...]
    keeps_repeats: bool = False

    def __post_init__(self) -> None:
        made: set[str] = set()
        names: set[str] = set()
        for place, stage in enumerate(self.stages):
            where = f"recipe {self.name}: stage {stage.name}"
            if stage.name in names:
                raise ConfigError(f"{where}: stands in it twice; give each stage a name of its own")
            told = "the first stage, and no other, shows tasks of the pool and makes candidates"
            if (place == 0) != (stage.consumes == "pool"):
                raise ConfigError(f"{where}: consumes {stage.consumes}; {told}")
            if (place == 0) != (stage.makes == "candidates"):
                raise ConfigError(f"{where}: makes {stage.makes}; {told}")
            if missing := [name for name in stage.needs if name not in made]:
                raise ConfigError(f"{where}: needs {missing[0]}, which no stage before it makes; put one before it")
            names.add(stage.name)
            made.update(stage.annotates)
        if not self.stages or self.stages[-1].makes != "examples":
            raise ConfigError(f"recipe {self.name}: its last stage has to make examples")

    def __getitem__(self, name: str) -> type[Stage]:
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of its stages, in order."""
        return tuple(stage.name for stage in self.stages)

    @property
    def generating(self) -> str:
        """Return the name of the stage that makes candidates."""
        return self.stages[0].name

    def placeholders(self, stages: Collection[str] | None = None) -> dict[str, Placeholders]:
        """Return the templates of these stages, by default of all, and what fills them; those for text first."""
        asked = [stage for stage in self.stages if stages is None or stage.name in stages]
        found = {name: holes for stage in asked for name, holes in stage.placeholders().items()}
        return dict(sorted(found.items(), key=lambda item: item[0].endswith(JSON_SUFFIX)))

    def stage_of_template(self, kind: str) -> str:
        """Return the name of the stage that asks with a template."""
        return next(stage.name for stage in self.stages if kind in stage.templates)

    def refuse_strangers(self, config: RunConfig) -> None:
        """Check the part of a configuration that is about stages, each by its own stage.

        Raises:
            ConfigError: a key is about a stage that the recipe lacks, unknown, or its value is out of range.
        """
        for name in OF_THE_PAPER:  # whose settings are there with every recipe, at their defaults
            if name not in self.names and config.stage(name) != getattr(_DEFAULTS, name):
                told = "take its settings out, or choose another recipe"
                raise ConfigError(f"{name}: recipe {self.name} has no such stage; {told}")
        for name in config.stages:
            if name not in self.names:
                raise ConfigError(
                    f"{dotted(['stages', name])}: recipe {self.name} has no such stage{nearest(name, self.names)}"
                )
        for stage in self.stages:
            settings_of(config, stage.name, stage.settings)
