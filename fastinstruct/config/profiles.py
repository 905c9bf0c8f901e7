"""What each profile sets. A profile is a starting point: any key that is set elsewhere outranks it."""

from __future__ import annotations

from typing import Any

from fastinstruct.config.filters import PAPER_FILTERS

__all__ = ["PROFILES"]

PROFILES: dict[str, dict[str, Any]] = {
    "default": {},
    # Source: Self-Instruct (arXiv:2212.10560), appendix A, and the parameters of its released code.
    "paper": {
        "instructions": {
            "sampling": {
                "temperature": 0.7,
                "top_p": 0.5,
                "presence_penalty": 2.0,
                "frequency_penalty": 0.0,
                "max_tokens": 1024,
            }
        },
        "classification": {
            "method": "text",
            "sampling": {
                "temperature": 0.0,
                "top_p": 0.0,
                "presence_penalty": 0.0,
                "frequency_penalty": 0.0,
                "max_tokens": 3,
            },
        },
        "instances": {
            "sampling": {
                "temperature": 0.0,
                "top_p": 0.0,
                "presence_penalty": 1.5,
                "frequency_penalty": 0.0,
                "max_tokens": 300,
            }
        },
        "filters": PAPER_FILTERS.model_dump(),
        "similarity": {"tokenizer": "rouge"},
    },
}  # fmt: skip
