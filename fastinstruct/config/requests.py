"""What a model's settings may say of its requests: the address, what is added to it, and to the body.

Knows nothing of files, flags or the environment. Guarantees that no message holds a value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from fastinstruct.config.secret_words import secret_in, secret_in_url

__all__ = ["as_text", "checked_body", "checked_url"]

_Body = TypeVar("_Body", bound=Mapping[str, object])


def checked_url(value: str, known: Collection[str] = ()) -> str:
    """Return a base URL without what is around it.

    Args:
        value: as it was given.
        known: keys that must not stand in it.

    Raises:
        ValueError: what is wrong with it, and what to do.
    """
    parts = urlsplit(value.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _has_usable_port(parts):
        msg = "must be an http(s) URL that includes the version, such as http://127.0.0.1:8000/v1"
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = "must not hold a user name or password; put the key into an environment variable"
        raise ValueError(msg)
    if (what := secret_in_url(value, known)) is not None:
        msg = (
            f"must not hold a secret ({what}), which is stored with the run; "
            "give it in query beside it (model.query), from the environment as ${VARIABLE}"
        )
        raise ValueError(msg)
    if parts.path.rstrip("/").endswith("/completions"):
        msg = "must end before /chat/completions or /completions: give the part up to the version, such as .../v1"
        raise ValueError(msg)
    return value.strip().rstrip("/")


def checked_body(body: _Body, known: Collection[str] = ()) -> _Body:
    """Return what is to be merged into every request's body, which is stored as part of what a run is.

    Args:
        body: as it was given.
        known: keys that must not stand in it.

    Raises:
        ValueError: where it holds what looks like a secret, and what to do.
    """
    if (at := secret_in(body, known)) is not None:
        msg = (
            f"{at} looks like a secret, and extra_body is stored with the run; "
            "give it in headers or query of the same model, from the environment as ${VARIABLE}"
        )
        raise ValueError(msg)
    return body


def as_text(query: object) -> object:
    """Take dates and whole numbers among a query's values for the texts that they are; YAML takes them for others."""
    if not isinstance(query, Mapping):
        return query
    return {name: _text(value) for name, value in query.items()}


def _text(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _has_usable_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:  # its text would repeat what stands there, which may be a password
        return False
