"""A run's configuration: frozen, validated values, and where they come from.

`schema`, `filters` and `budgets` say what can be set, `profiles` what each profile sets, `patterns` compiles a user's
regular expressions, `files` reads a file, `loading` merges file, environment and flags, `problems` words what is wrong.
Only this package reads the environment. Secrets are never part of a configuration: it names the variable that holds
them.
"""

from __future__ import annotations

from fastinstruct.config.budgets import BudgetConfig, PriceConfig, SaturationConfig
from fastinstruct.config.filters import FilterConfig, RuleConfig
from fastinstruct.config.loading import NULL, load_config, parse_assignment, settings_of
from fastinstruct.config.models import EndpointConfig, ModelConfig, SamplingConfig
from fastinstruct.config.problems import nearest
from fastinstruct.config.schema import (
    OF_THE_PAPER,
    AgainstConfig,
    ClassificationConfig,
    InstancesConfig,
    InstructionsConfig,
    RunConfig,
    RuntimeConfig,
    SimilarityConfig,
    StageSettings,
)

__all__ = [
    "NULL",
    "OF_THE_PAPER",
    "AgainstConfig",
    "BudgetConfig",
    "ClassificationConfig",
    "EndpointConfig",
    "FilterConfig",
    "InstancesConfig",
    "InstructionsConfig",
    "ModelConfig",
    "PriceConfig",
    "RuleConfig",
    "RunConfig",
    "RuntimeConfig",
    "SamplingConfig",
    "SaturationConfig",
    "SimilarityConfig",
    "StageSettings",
    "load_config",
    "nearest",
    "parse_assignment",
    "settings_of",
]
