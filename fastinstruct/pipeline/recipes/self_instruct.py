"""The recipe of this house: three stages as in Self-Instruct (arXiv:2212.10560), read strictly."""

from __future__ import annotations

from fastinstruct.pipeline.recipes.base import Recipe
from fastinstruct.pipeline.stages.classify import Classify
from fastinstruct.pipeline.stages.generate_instances import GenerateInstances
from fastinstruct.pipeline.stages.generate_instructions import GenerateInstructions

__all__ = ["SELF_INSTRUCT"]

SELF_INSTRUCT = Recipe("self_instruct", (GenerateInstructions, Classify, GenerateInstances))
