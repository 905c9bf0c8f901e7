"""The prompts of a run, of all stages in their usual proportions.

Knows nothing of servers or clients. Guarantees the same prompts for the same count.
"""

from __future__ import annotations

import itertools
import random

from fastinstruct.records import Api
from fastinstruct.scripted_server.replies import grammar_instruction
from fastinstruct.text.demonstrations import (
    classification_demonstrations,
    input_first_demonstrations,
    output_first_demonstrations,
)
from fastinstruct.text.prompting import PromptSet, load_templates
from fastinstruct.text.seeds import packaged_seeds

# Of twelve requests of a run: one asks for instructions, the others work them up.
STAGES = ("instructions", *["classification", "input_first"] * 4, "classification", "output_first", "input_first")


def drawn_prompts(count: int) -> list[str]:
    """So many prompts, no two alike."""
    seeds, rng = packaged_seeds(), random.Random(1)
    prompts = PromptSet(
        load_templates(Api.COMPLETIONS, PLACEHOLDERS),
        classification=classification_demonstrations(seeds, seeds, 10),
        input_first=input_first_demonstrations(seeds, seeds, 6),
        output_first=output_first_demonstrations(seeds, seeds, 5),
    )
    return [_prompt(prompts, stage, rng) for stage in itertools.islice(itertools.cycle(STAGES), count)]


def _prompt(prompts: PromptSet, stage: str, rng: random.Random) -> str:
    texts = [grammar_instruction(rng) for _ in range(8)]
    prompt = prompts.instructions(texts, 8) if stage == "instructions" else prompts.about(stage, texts[0])
    assert isinstance(prompt, str)  # the completions route takes text
    return prompt
