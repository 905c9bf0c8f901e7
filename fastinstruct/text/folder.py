"""Where the packaged prompts are.

Knows nothing of what is in them. Guarantees the same folder in a wheel, an editable install and a checkout.
"""

from importlib.resources import files
from pathlib import Path

__all__ = ["prompt_folder"]


def prompt_folder() -> Path:
    """The folder of the prompt templates and `seed_tasks.jsonl`: inside the installed package, else in the checkout."""
    packaged = Path(str(files("fastinstruct") / "prompts"))
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "prompts"
