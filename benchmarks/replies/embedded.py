"""Whether JSON helps a base model: the embedded one, asked for instructions and instances in four ways.

As text, the format of the prompts; as JSON by the prompt alone; as JSON by llama.cpp's field `json_schema`, whose
grammar allows any white space between the parts; and by a grammar of our own that allows none. Each way with the
sampling that suits it: penalties and stop strings do not go with JSON. Counts only, no times: a reply counts as valid
if it is JSON by the schema as it stands, and rows as kept if reader and filters keep them (duplicates are not looked
for). A table for people, one JSON document as the last line.

    python -m benchmarks.replies.embedded --prompts 24 --max-tokens 160
"""

from __future__ import annotations

import argparse
import json
import os
import random
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import fastinstruct
from fastinstruct.config import InstancesConfig
from fastinstruct.config.environment import cache_folder
from fastinstruct.lm.transports.embedded import NUM_SLOTS, EmbeddedServer, find_model
from fastinstruct.pipeline.recipes import RECIPES
from fastinstruct.pipeline.stages.generate_instances import GenerateInstances
from fastinstruct.records import Api, FinishReason, ReplyForm, SeedTask
from fastinstruct.text.demonstrations import input_first_demonstrations, output_first_demonstrations
from fastinstruct.text.filters import InstructionFilter
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing import parse_instances, parse_instructions
from fastinstruct.text.prompting import JSON_SUFFIX, PromptSet, asking_for_tasks, load_templates
from fastinstruct.text.seeds import packaged_seeds
from fastinstruct.text.sifting import sift_instances
from fastinstruct.text.structured import examples_format, is_answer, read_examples, read_tasks, tasks_format

NUM_SHOWN = NUM_ITEMS = 8
MAX_INSTANCES = 5
KINDS = ("input_first", "output_first", "instructions")
ARMS = ("text", "json by prompt", "json by schema", "json by grammar")
# As the runtime's own defaults for this route have it.
PENALTIES = {"presence_penalty": 0.5, "frequency_penalty": 0.3}
SAMPLING = {"instructions": {"temperature": 0.9, "top_p": 0.95}, "instances": {"temperature": 0.7, "top_p": 0.95}}
TEXT_STOPS = {"instructions": [f"\n{NUM_SHOWN + NUM_ITEMS + 1}."], "instances": ["\nTask:", "\nExample 6"]}
JSON_STOPS = ["\n\n", "\nTask:"]  # where no grammar ends the reply

STRING = r"""
string ::= "\"" char* "\""
char ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
"""
PAIRS = {
    "input_first": r'"{\"input\":" string ",\"output\":" string "}"',
    "output_first": r'"{\"output\":" string ",\"input\":" string "}"',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One prompt: which kind, about what, and the tasks that it shows."""

    kind: str
    seed: int
    instruction: str = ""
    shown: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        return "instructions" if self.kind == "instructions" else "instances"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply and what became of it; `num_rejected` are rows that the reader or the filters refuse."""

    text: str
    num_tokens: int
    is_cut: bool
    is_valid: bool
    num_kept: int
    num_rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way of asking in one stage."""

    stage: str
    arm: str
    num_replies: int
    num_valid: int
    num_cut: int
    num_empty_handed: int
    num_kept: int
    num_rejected: int
    num_tokens: int

    @property
    def tokens_per_row(self) -> float | None:
        return self.num_tokens / self.num_kept if self.num_kept else None


def grammar(kind: str) -> str:
    """Llama.cpp's GBNF for a reply of a kind, on one line and without white space between its parts."""
    if kind == "instructions":
        return rf'root ::= "{{\"tasks\":[" string ("," string){{0,{NUM_ITEMS - 1}}} "]}}"{STRING}'
    pair = PAIRS[kind]
    return rf'root ::= "{{\"examples\":[" pair ("," pair){{0,{MAX_INSTANCES - 1}}} "]}}"' f"\npair ::= {pair}{STRING}"


def schema(kind: str) -> Mapping[str, object]:
    """What the reply is to be."""
    if kind == "instructions":
        return tasks_format(ReplyForm.JSON_SCHEMA, max_items=NUM_ITEMS).schema
    is_output_first = kind == "output_first"
    return examples_format(ReplyForm.JSON_SCHEMA, max_instances=MAX_INSTANCES, output_first=is_output_first).schema


def drawn_asks(count: int, seeds: Sequence[SeedTask], shown_ids: set[str]) -> list[Ask]:
    """So many prompts of stage 1 and of stage 3, of these two thirds input-first, about tasks that none shows."""
    rng = random.Random(9)
    asks = [
        Ask(kind="instructions", seed=number, shown=tuple(task.instruction for task in rng.sample(seeds, NUM_SHOWN)))
        for number in range(count)
    ]
    hidden = [task for task in seeds if task.id not in shown_ids]
    label = [task for task in hidden if task.is_classification]
    other = [task for task in hidden if not task.is_classification]
    num_label = count // 3
    chosen = [*rng.sample(other, count - num_label), *rng.sample(label, num_label)]
    return asks + [
        Ask(
            kind="output_first" if task.is_classification else "input_first",
            seed=number,
            instruction=task.instruction,
        )
        for number, task in enumerate(chosen)
    ]


def body_of(arm: str, ask: Ask, prompts: PromptSet, max_tokens: int) -> dict[str, Any]:
    """The request's body."""
    name = ask.kind if arm == "text" else ask.kind + JSON_SUFFIX
    is_list = ask.kind == "instructions"
    template = prompts.templates[name]
    prompt = asking_for_tasks(template, ask.shown, NUM_ITEMS) if is_list else prompts.about(name, ask.instruction)
    body: dict[str, Any] = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "seed": ask.seed,
        "cache_prompt": True,
        **SAMPLING[ask.stage],
    }
    if arm == "text":
        return body | PENALTIES | {"stop": TEXT_STOPS[ask.stage]}
    if arm == "json by schema":
        return body | {"json_schema": schema(ask.kind)}
    if arm == "json by grammar":
        return body | {"grammar": grammar(ask.kind)}
    return body | {"stop": JSON_STOPS}


def judged(arm: str, ask: Ask, reply: Mapping[str, Any], phrases: tuple[str, ...]) -> Answer:
    """What reader and filters make of a reply."""
    choice = reply["choices"][0]
    text, is_cut = choice["text"], choice["finish_reason"] == "length"
    read = _kept_tasks if ask.kind == "instructions" else _kept_instances
    num_kept, num_rejected = read(arm, ask, text, phrases, is_cut)
    return Answer(
        text=text,
        num_tokens=reply["usage"]["completion_tokens"],
        is_cut=is_cut,
        is_valid=num_kept > 0 if arm == "text" else is_answer(schema(ask.kind), text),
        num_kept=num_kept,
        num_rejected=num_rejected,
    )


def _kept_tasks(arm: str, ask: Ask, text: str, phrases: tuple[str, ...], is_cut: bool) -> tuple[int, int]:
    if arm == "text":
        parsed: Any = parse_instructions(
            text,
            api=Api.COMPLETIONS,
            first_number=NUM_SHOWN + 1,
            max_items=NUM_ITEMS,
            finish_reason=FinishReason.LENGTH if is_cut else FinishReason.STOP,
        )
    else:
        parsed = read_tasks(text, max_items=NUM_ITEMS, is_torn=is_cut)
    found, num_rejected = _divided(parsed)
    judge = InstructionFilter(prompt_phrases=phrases)
    num_kept = sum(judge.judge(task, ask.shown) is None for task in found)
    return num_kept, num_rejected + len(found) - num_kept


def _kept_instances(arm: str, ask: Ask, text: str, phrases: tuple[str, ...], is_cut: bool) -> tuple[int, int]:
    if arm == "text":
        parsed: Any = parse_instances(
            text,
            is_classification=ask.kind == "output_first",
            finish_reason=FinishReason.LENGTH if is_cut else FinishReason.STOP,
            instruction=ask.instruction,
        )
    else:
        parsed = read_examples(text, is_torn=is_cut, instruction=ask.instruction)
    found, num_rejected = _divided(parsed)
    sifted = sift_instances(found, MAX_INSTANCES)
    return len(sifted.kept), num_rejected + len(sifted.rejected)


def _divided(parsed: list[Any] | Parsed[Any]) -> tuple[list[Any], int]:
    """What a parser keeps, and how many it rejects; one that returns a list rejects nothing by itself."""
    return (parsed, 0) if isinstance(parsed, list) else ([*parsed.kept], len(parsed.rejected))


class OneThread(EmbeddedServer):
    """Only counts are told here, and threads that wait for one another by spinning suffer most on a busy machine."""

    def _parameters(self, parameters: Any) -> Any:  # noqa: ANN401 - the binding publishes no types
        parameters = super()._parameters(parameters)
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        return parameters


def measure(count: int, max_tokens: int, told: Callable[[str, Ask, Answer], None]) -> list[tuple[str, Ask, Answer]]:
    """Ask all prompts in all ways; `told` hears of each answer as it comes."""
    seeds = packaged_seeds()
    recipe = RECIPES["self_instruct"]
    settings = InstancesConfig(num_input_first_demonstrations=6, num_output_first_demonstrations=5)
    shown = [*input_first_demonstrations(seeds, seeds, 6), *output_first_demonstrations(seeds, seeds, 5)]
    prompts = PromptSet(
        load_templates(Api.COMPLETIONS, recipe.placeholders()),
        GenerateInstances.demonstrations(seeds, seeds, settings),
    )
    phrases = prompts.phrases(recipe.placeholders(["instructions"]))
    asks = drawn_asks(count, seeds, {task.id for task in shown})
    answers: list[tuple[str, Ask, Answer]] = []
    with (
        OneThread(find_model(None, cache_folder(os.environ))) as server,
        ThreadPoolExecutor(NUM_SLOTS) as pool,
    ):

        def answer(arm: str, ask: Ask) -> tuple[str, Ask, Answer]:
            reply = post(server, body_of(arm, ask, prompts, max_tokens))
            found = judged(arm, ask, reply, phrases)
            told(arm, ask, found)
            return arm, ask, found

        for kind in KINDS:  # one after another, so that the demonstrations that its prompts share are read once
            for arm in ARMS:
                some = [ask for ask in asks if ask.kind == kind]
                answers += pool.map(answer, [arm] * len(some), some)
    return answers


def post(server: EmbeddedServer, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask the embedded server on its loopback address."""
    request = urllib.request.Request(
        f"{server.base_url}/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {server.api_key}"},
    )
    with urllib.request.urlopen(request, timeout=600) as reply:
        found: Mapping[str, Any] = json.load(reply)
    return found


def summed(stage: str, arm: str, answers: Sequence[Answer]) -> Row:
    return Row(
        stage=stage,
        arm=arm,
        num_replies=len(answers),
        num_valid=sum(one.is_valid for one in answers),
        num_cut=sum(one.is_cut for one in answers),
        num_empty_handed=sum(one.num_kept == 0 for one in answers),
        num_kept=sum(one.num_kept for one in answers),
        num_rejected=sum(one.num_rejected for one in answers),
        num_tokens=sum(one.num_tokens for one in answers),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=24, help="of each stage")
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--show", action="store_true", help="print every reply as it comes")
    arguments = parser.parse_args()

    def told(arm: str, ask: Ask, answer: Answer) -> None:
        if arguments.show:
            print(json.dumps({"arm": arm, "kind": ask.kind, **asdict(answer)}, ensure_ascii=False), flush=True)

    answers = measure(arguments.prompts, arguments.max_tokens, told)
    rows = [
        summed(stage, arm, [answer for way, ask, answer in answers if (way, ask.stage) == (arm, stage)])
        for stage in ("instructions", "instances")
        for arm in ARMS
    ]
    print(
        f"{'stage':<14}{'way':<18}{'replies':>8}{'valid':>7}{'cut':>5}{'none kept':>11}"
        f"{'rows kept':>11}{'rejected':>10}{'tokens':>9}{'tokens/row':>12}"
    )
    for row in rows:
        each = f"{row.tokens_per_row:.0f}" if row.tokens_per_row else "-"
        print(
            f"{row.stage:<14}{row.arm:<18}{row.num_replies:>8}{row.num_valid:>7}{row.num_cut:>5}"
            f"{row.num_empty_handed:>11}{row.num_kept:>11}{row.num_rejected:>10}{row.num_tokens:>9,}{each:>12}"
        )
    document = {"benchmark": "replies_embedded", "fastinstruct": fastinstruct.__version__, **vars(arguments)}
    print(json.dumps({**document, "rows": [asdict(row) | {"tokens_per_row": row.tokens_per_row} for row in rows]}))


if __name__ == "__main__":
    main()
