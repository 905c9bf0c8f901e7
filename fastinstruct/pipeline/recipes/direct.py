"""Instructions as in Self-Instruct, each answered directly: for a model that answers well without being shown how.

Give the stage a model of its own, mostly a stronger one: `stages.respond.model`.
"""

from __future__ import annotations

from fastinstruct.pipeline.recipes.base import Recipe
from fastinstruct.pipeline.stages.generate_instructions import GenerateInstructions
from fastinstruct.pipeline.stages.respond import Respond

__all__ = ["DIRECT"]

DIRECT = Recipe("direct", (GenerateInstructions, Respond))
