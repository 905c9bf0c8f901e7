"""The files of Self-Instruct's released code, under its names and with its fields, so that its later steps go on.

    seed_tasks.jsonl                            the seeds, as the run holds them; is_classification null: unknown
    machine_generated_instructions.jsonl        instruction, most_similar, avg_similarity_score, metadata, request_idx
    is_clf_or_not_<model>_template_1.jsonl      instruction, is_classification: " Yes", " No" or "" for unknown
    machine_generated_instances.jsonl           instruction, raw_instances, instance_metadata, instruction_metadata, ...
    all_generated_instances.jsonl               instruction, input, output
    gpt3_finetuning_data_<N>.jsonl              prompt, completion: N rows in stage 4's varied layouts, shuffled

Knows nothing of how a run is made. Similarities are recomputed over the pool as it was at each admission, and prompts
rebuilt from the stored template and in-context tasks (a list of messages where the endpoint is a chat). Times are UTC.
An instruction that stage 2 or 3 has not answered yet is left out of that stage's file. `include_seeds` adds the
seeds' instances to the last file only, as there. Draws come from `random.Random(rng_seed)` of the run.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastinstruct.exports.files import NewFile
from fastinstruct.exports.formats import Exported
from fastinstruct.exports.replay import PoolReplay
from fastinstruct.exports.run_facts import RunFacts, facts_of
from fastinstruct.exports.single_file import examples_of
from fastinstruct.files.json_rows import json_row
from fastinstruct.pipeline.stages.generate_instructions import GenerateInstructions
from fastinstruct.records import Example, SeedTask
from fastinstruct.store import RunReader
from fastinstruct.store.queries.whole_run import Admitted, admitted_with_replies, templates
from fastinstruct.text.encoding import Encoded, encode_all
from fastinstruct.text.prompting import Template, asking_for_tasks, parse_template
from fastinstruct.text.seeds import input_of

__all__ = ["REFERENCE", "Reference"]

_SEEDS = "seed_tasks.jsonl"
_INSTRUCTIONS = "machine_generated_instructions.jsonl"
_INSTANCES = "machine_generated_instances.jsonl"
_EXAMPLES = "all_generated_instances.jsonl"
_FINETUNING = re.compile(r"gpt3_finetuning_data_\d+\.jsonl")
_ANSWERS = {True: " Yes", False: " No", None: ""}


class Reference:
    """The format of several files in one folder."""

    name = "reference"
    description = "a folder with the files of Self-Instruct's released code, ready for its later steps"
    default_name = "reference"
    # Places in the pool and prompts are told by all that came before.
    needed = ("template", "seed", "request", "candidate", "instruction")

    def existing(self, reader: RunReader, path: Path) -> list[Path]:
        """The files of this format in the folder; finetuning data of any size is one of them."""
        if not path.is_dir():
            return []
        classification = _classification_name(facts_of(reader.folder).classification_model)
        fixed = {_SEEDS, _INSTRUCTIONS, classification, _INSTANCES, _EXAMPLES}
        return sorted(file for file in path.iterdir() if file.name in fixed or _FINETUNING.fullmatch(file.name))

    def write(self, reader: RunReader, path: Path, *, include_seeds: bool = False) -> Exported:
        """Write all files into the folder `path`: all or, if one cannot be written, none.

        Raises:
            InputError, RunFolderError, StoreError: as `Format.write` says.
        """
        facts = facts_of(reader.folder)
        with reader.snapshot(), ExitStack() as stack:
            reader.check_once()
            examples = examples_of(reader, include_seeds=include_seeds)
            encoded = encode_all(examples, random.Random(facts.rng_seed))  # shuffled, so all of it is in memory
            names = [_SEEDS, _INSTRUCTIONS, _classification_name(facts.classification_model), _INSTANCES, _EXAMPLES]
            names.append(f"gpt3_finetuning_data_{len(encoded)}.jsonl")
            files = [stack.enter_context(NewFile(path / name)) for name in names]
            seeds, instructions, classification, instances, generated, finetuning = files
            tasks = reader.seeds()
            _write_all(seeds, map(_seed_row, tasks))
            _write_stages(reader, facts, tasks, (instructions, classification, instances))
            num_examples = _write_all(generated, map(_example_row, reader.examples()))
            _write_all(finetuning, map(_encoded_row, encoded))
        _remove_outdated(reader, path, names[-1])
        num_examples += sum(len(task.instances) for task in tasks) if include_seeds else 0
        return Exported(files=tuple(path / name for name in names), num_examples=num_examples)


REFERENCE = Reference()


def _write_stages(
    reader: RunReader, facts: RunFacts, seeds: tuple[SeedTask, ...], files: tuple[NewFile, NewFile, NewFile]
) -> None:
    """Write the three files of stages 1 to 3 in one pass over the instructions: each is compared with the pool once."""
    instructions, classification, instances = files
    template = _stored_template(reader, facts)
    pool = PoolReplay([seed.instruction for seed in seeds], facts.tokenizer)
    for row in admitted_with_replies(reader):
        metadata = {"prompt": _prompt(template, pool, row, facts.num_items), **_metadata(*row.reply)}
        similarity = pool.admit(row.instruction)
        scores = {"most_similar": similarity.most_similar, "avg_similarity_score": similarity.average}
        generated = {"instruction": row.instruction, **scores, "metadata": metadata, "request_idx": row.request_idx}
        _write_all(instructions, [generated])
        if row.is_classified:
            answer = _ANSWERS[row.is_classification]
            _write_all(classification, [{"instruction": row.instruction, "is_classification": answer}])
        text, finish_reason, finished_at = row.last_reply
        if text is not None:
            reply = {
                "raw_instances": text,
                "instance_metadata": _metadata(text, finish_reason, finished_at),
                "instruction_metadata": metadata,
            }
            _write_all(instances, [{"instruction": row.instruction, **reply, **scores}])


def _stored_template(reader: RunReader, facts: RunFacts) -> Template | None:
    """The run's own stage-1 prompt, whatever the packaged one says by now; None for a run that holds no template."""
    stored = templates(reader)
    if "instructions" not in stored:
        return None
    holes = GenerateInstructions.placeholders()["instructions"]
    return parse_template(
        "instructions", facts.api, stored["instructions"][1], holes, where="the run's stage-1 template"
    )


def _prompt(template: Template | None, pool: PoolReplay, row: Admitted, num_items: int) -> str | list[dict[str, str]]:
    """What was asked, in completions a text and in chat a list of messages; empty where the run does not know."""
    if template is None or row.in_context is None:
        return ""
    # In a refiltered run, the text of a task stands for one that is not in the pool.
    shown = [pool[task] if isinstance(task, int) else task for task in json.loads(row.in_context)]
    prompt = asking_for_tasks(template, shown, num_items)
    if isinstance(prompt, str):
        return prompt
    return [{"role": message.role, "content": message.content} for message in prompt]


def _metadata(text: str, finish_reason: str, finished_at: float) -> dict[str, Any]:
    created_at = datetime.fromtimestamp(finished_at, UTC).replace(tzinfo=None)  # written without a zone, as there
    return {
        "response": {"choices": [{"text": text, "index": 0, "finish_reason": finish_reason}]},
        "created_at": created_at.isoformat(sep=" ", timespec="microseconds"),
    }


def _seed_row(seed: SeedTask) -> dict[str, Any]:
    return {
        "id": seed.id,
        "name": seed.name,
        "instruction": seed.instruction,
        "instances": [{"input": input_of(case.input), "output": case.output} for case in seed.instances],
        "is_classification": seed.is_classification,
    }


def _example_row(example: Example) -> dict[str, Any]:
    return {"instruction": example.instruction, "input": example.input, "output": example.output}


def _encoded_row(row: Encoded) -> dict[str, Any]:
    return {"prompt": row.prompt, "completion": row.completion}


def _write_all(file: NewFile, rows: Iterable[dict[str, Any]]) -> int:
    num_rows = 0
    for row in rows:
        file.write(f"{json_row(row)}\n")
        num_rows += 1
    return num_rows


def _classification_name(model: str) -> str:
    """The file of stage 2; a model's name may hold slashes."""
    return f"is_clf_or_not_{re.sub(r'[^A-Za-z0-9._-]+', '_', model)[:100]}_template_1.jsonl"


def _remove_outdated(reader: RunReader, path: Path, name: str) -> None:
    """Inside the run's own `exports/`, leave only the newest finetuning data; elsewhere a user may want the old."""
    exports = Path(os.path.realpath(reader.folder / "exports"))
    if not Path(os.path.realpath(path)).is_relative_to(exports):
        return
    for file in path.iterdir():
        if file.name != name and _FINETUNING.fullmatch(file.name):
            file.unlink(missing_ok=True)
