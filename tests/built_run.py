"""A run folder made by hand, row by row, as a finished or a going run would leave it.

Knows nothing of models: what a test says was answered, was answered.
"""

import hashlib
import json
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any

from fastinstruct.records import Instance, Reason, SeedTask
from fastinstruct.store import (
    AnnotationRow,
    CandidateRow,
    Commit,
    InstanceRow,
    InstructionRow,
    RequestRow,
    RunFolder,
    RunStore,
)

TEMPLATE = "Tasks:\n{tasks}\n{next_number}."
CHAT_TEMPLATE = "[system]\nYou write tasks.\n[user]\n{tasks}\nNow {next_number} to {last_number}.\n"
FINISHED_AT = 1_700_000_000.25  # 2023-11-14 22:13:20.250000 UTC

SEEDS = (
    SeedTask(
        id="seed_0",
        name="greeting",
        instruction="Greet the guest politely.",
        instances=(Instance(input="", output="Good evening."), Instance(input="a duke", output="Your Grace.")),
        is_classification=False,
    ),
    SeedTask(
        id="seed_1",
        name="mood",
        instruction="Is the mood of the text happy or sad?",
        instances=(Instance(input="We won!", output="happy"),),
        is_classification=True,
    ),
)


class BuiltRun:
    """An open run to add rows to; a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        seeds: tuple[SeedTask, ...] = SEEDS,
        api: str = "completions",
        model: str = "scripted",
        rng_seed: int = 7,
    ) -> None:
        self.folder = folder
        self._lock = RunFolder(folder)
        self._seeds = seeds
        self._template = CHAT_TEMPLATE if api == "chat" else TEMPLATE
        self._identity: dict[str, Any] = {
            "rng_seed": rng_seed,
            "instructions": {"num_items": 4},
            "similarity": {"threshold": 0.7, "tokenizer": "rouge"},
            "model": {"name": model, "api": api},
        }
        same = {name: value for name, value in self._identity.items() if name != "model"}
        self._config = json.dumps({"target": 10, **same})  # which is YAML, too
        self._num_requests = self._num_candidates = self._num_admitted = 0

    def __enter__(self) -> "BuiltRun":
        self._lock.__enter__()
        self._lock.claim(self._identity, {"fastinstruct": "0.1.0", "format": 1})
        self._lock.write("config.yaml", self._config)
        self.store = RunStore(self._lock.database)
        digest = hashlib.sha256(self._template.encode()).hexdigest()
        self.store.begin(self._seeds, {"instructions": (digest, self._template)})
        self.store.begin_sitting("0.1.0", "scripted at http://127.0.0.1:1/v1 (completions)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.end_sitting("target")
        self.store.close()
        self._lock.__exit__()

    def admit(
        self,
        text: str,
        *cases: tuple[str, str],
        is_classification: bool | None = False,
        in_context: tuple[int, ...] = (0, 1),
        up_to: int = 3,
    ) -> Future[None]:
        """Let an instruction take every stage up to `up_to`, in one write; its number counts from 0."""
        number = self._num_admitted
        self._num_admitted += 1
        candidate = self._candidate(text)
        commits = [
            Commit(
                request=self._request("instructions", number, f" {text}", in_context),
                candidates=(candidate,),
                instructions=(InstructionRow(id=number, candidate_id=candidate.id, text=text),),
            ),
            Commit(
                request=self._request("classification", number, " Yes" if is_classification else " No"),
                annotations=(AnnotationRow(instruction_id=number, name="is_classification", value=is_classification),),
            ),
            Commit(
                request=self._request("instances", number, f"raw instances of {number}"),
                instances=tuple(
                    InstanceRow(instruction_id=number, item=item, input=given, output=output)
                    for item, (given, output) in enumerate(cases)
                ),
            ),
        ]
        return self.store.submit(commits[:up_to])

    def reject(self, text: str, reason: Reason, nearest: int | None = None, score: float | None = None) -> Future[None]:
        """Let a candidate be rejected."""
        candidate = self._candidate(text, reason, nearest, score)
        request = self._request("instructions", 1000 + candidate.id, f" {text}", (0,))
        return self.store.submit([Commit(request=request, candidates=(candidate,))])

    def reject_instance(self, number: int, case: tuple[str, str], reason: Reason) -> Future[None]:
        """Let one more instance of an instruction be rejected."""
        row = InstanceRow(instruction_id=number, item=-1, input=case[0], output=case[1], reason=reason)
        request = self._request("instances", number, f"raw instances of {number}")
        return self.store.submit([Commit(request=request, instances=(row,))])

    def _candidate(
        self,
        text: str,
        reason: Reason | None = None,
        nearest: int | None = None,
        score: float | None = None,
    ) -> CandidateRow:
        self._num_candidates += 1
        return CandidateRow(id=self._num_candidates, text=text, reason=reason, nearest=nearest, score=score)

    def _request(self, stage: str, number: int, text: str, in_context: tuple[int, ...] | None = None) -> RequestRow:
        self._num_requests += 1
        return RequestRow(
            id=self._num_requests,
            stage=stage,
            number=number,
            template="instructions",
            in_context=in_context,
            outcome="ok",
            text=text,
            finish_reason="stop",
            model="scripted",
            prompt_tokens=10,
            completion_tokens=3,
            finished_at=FINISHED_AT,
        )
