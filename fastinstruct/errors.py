"""Every exception FastInstruct raises; nothing outside this module defines one.

    FastInstructError               any failure of ours; `exit_code` is what the command line exits with
    ├── InputError                  a value, file or folder that the caller has to change (also a ValueError)
    │   ├── ConfigError             a configuration key: names its path, the bound and what it got
    │   ├── SeedError               a seed file: names file and line
    │   └── RunFolderError          a run folder: not writable, another identity, damaged, or in use
    ├── EndpointError               the model's server cannot be used for this run
    │   ├── EndpointUnreachable     no connection, or none of several attempts was answered
    │   ├── AuthenticationFailed    401 or 403: the key is missing, wrong or lacks the right
    │   ├── ModelUnknown            the server does not know the model
    │   ├── QuotaExhausted          the account has no credit left; the run can be resumed
    │   └── ProtocolMismatch        it answers, but not as an OpenAI-compatible endpoint
    │       └── ReplyFormRefused    it does not write replies in the form that was asked for
    ├── EmbeddedModelError          the embedded model or a local .gguf cannot be loaded
    ├── ParserFailed                too many replies could not be parsed: an error of ours, or nonsense
    ├── FilterFailed                a filter of the caller's own raised, or returned what is no reason
    ├── ConcurrentUse               an object that one thread at a time may use was called by two (also a RuntimeError)
    ├── Mismatch                    an implementation under test is not what it should be (also an AssertionError)
    ├── StoreError                  the run's database cannot be written (disk full, I/O error) or read
    └── Aborted                     the user interrupted twice; what was in flight is not in the store
        └── Terminated              the same, and SIGTERM came first

Messages are one line: they name the file, line or key and what to do, and never hold a prompt, a reply or a key. A
`Mismatch` alone has more lines and shows texts: those that a test made up.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastinstruct.escaping import on_one_line, printable

__all__ = [
    "Aborted",
    "AuthenticationFailed",
    "ConcurrentUse",
    "ConfigError",
    "EmbeddedModelError",
    "EndpointError",
    "EndpointUnreachable",
    "FastInstructError",
    "FilterFailed",
    "InputError",
    "Mismatch",
    "ModelUnknown",
    "ParserFailed",
    "ProtocolMismatch",
    "QuotaExhausted",
    "ReplyFormRefused",
    "RunFolderError",
    "SeedError",
    "StoreError",
    "Terminated",
]


class FastInstructError(Exception):
    """Any failure that FastInstruct reports on purpose."""

    exit_code: ClassVar[int] = 1
    """What the command line exits with: 1 failure, 2 bad input, 3 stopped early and resumable, 130 interrupted."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without anything being changed."""

    def __str__(self) -> str:
        """Return the message on one line; servers' and files' words in it steer no terminal."""
        return on_one_line(super().__str__())


class InputError(FastInstructError, ValueError):
    """A value, file or folder that the caller has to change."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration key that is unknown, has the wrong type or is out of range."""


class SeedError(InputError):
    """A seed file that is missing, malformed or empty."""


class RunFolderError(InputError):
    """A run folder that cannot be written, belongs to another run, is damaged or is in use."""


class EndpointError(FastInstructError):
    """The model's server cannot be used for this run."""


class EndpointUnreachable(EndpointError):
    """No connection could be made, or no attempt was answered."""

    retryable = True


class AuthenticationFailed(EndpointError):
    """The server refused the key (401 or 403)."""


class ModelUnknown(EndpointError):
    """The server does not know the model that was asked for."""


class QuotaExhausted(EndpointError):
    """The account's quota or credit is used up; the run can be resumed when it is not."""

    exit_code = 3
    retryable = True


class ProtocolMismatch(EndpointError):
    """The server answers, but not as an OpenAI-compatible endpoint does."""


class ReplyFormRefused(ProtocolMismatch):
    """The server does not write replies in the form that was asked for: JSON, by a schema or any."""


class EmbeddedModelError(FastInstructError):
    """The embedded model, or the local .gguf file named instead, cannot be loaded."""


class ParserFailed(FastInstructError):
    """Too many replies could not be parsed: an error of ours, or a server that answers nonsense; they are stored."""


class FilterFailed(FastInstructError):
    """A filter of the caller's own raised, or returned what is no reason; what was answered before is stored."""


class ConcurrentUse(FastInstructError, RuntimeError):
    """An object that one thread at a time may use was called while another call ran, or was half changed by a fork."""


class Mismatch(FastInstructError, AssertionError):
    """An implementation under test gave another answer than it should: `fastinstruct.testing` shows the smallest case.

    `case` is what it was asked, `expected` and `said` are the answers; `said` is the exception where it raised one.
    """

    case: Any
    expected: Any
    said: Any

    def __init__(self, message: str, *, case: object = None, expected: object = None, said: object = None) -> None:
        super().__init__(message)
        self.case = case
        self.expected = expected
        self.said = said

    def __str__(self) -> str:
        """Return the message with its lines as they are; what could steer a terminal is written out."""
        return printable(str(self.args[0]))


class StoreError(FastInstructError):
    """The run's database cannot be read or written."""

    retryable = True


class Aborted(FastInstructError):
    """The user interrupted a second time; requests in flight were dropped."""

    exit_code = 130
    retryable = True


class Terminated(Aborted):
    """The same, and what came first was SIGTERM."""

    exit_code = 143
