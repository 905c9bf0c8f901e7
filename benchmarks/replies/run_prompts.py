"""The prompts of a run, of all stages in their usual proportions.

Knows nothing of servers or clients. Guarantees the same prompts for the same count.
"""

from __future__ import annotations

import itertools
import random

from fastinstruct.config import ClassificationConfig, InstancesConfig
from fastinstruct.pipeline.recipes import RECIPES
from fastinstruct.pipeline.stages.classify import Classify
from fastinstruct.pipeline.stages.generate_instances import GenerateInstances
from fastinstruct.records import Api
from fastinstruct.scripted_server.replies import grammar_instruction
from fastinstruct.text.prompting import PromptSet, asking_for_tasks, load_templates
from fastinstruct.text.seeds import packaged_seeds

# Of twelve requests of a run: one asks for instructions, the others work them up.
STAGES = ("instructions", *["classification", "input_first"] * 4, "classification", "output_first", "input_first")


def drawn_prompts(count: int) -> list[str]:
    """So many prompts, no two alike."""
    seeds, rng = packaged_seeds(), random.Random(1)
    instances = InstancesConfig(num_input_first_demonstrations=6, num_output_first_demonstrations=5)
    shown = {
        **Classify.demonstrations(seeds, seeds, ClassificationConfig(num_demonstrations=10)),
        **GenerateInstances.demonstrations(seeds, seeds, instances),
    }
    prompts = PromptSet(load_templates(Api.COMPLETIONS, RECIPES["self_instruct"].placeholders()), shown)
    return [_prompt(prompts, stage, rng) for stage in itertools.islice(itertools.cycle(STAGES), count)]


def _prompt(prompts: PromptSet, stage: str, rng: random.Random) -> str:
    texts = [grammar_instruction(rng) for _ in range(8)]
    is_list = stage == "instructions"
    prompt = asking_for_tasks(prompts.templates[stage], texts, 8) if is_list else prompts.about(stage, texts[0])
    assert isinstance(prompt, str)  # the completions route takes text
    return prompt
