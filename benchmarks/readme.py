"""Write the README's tables from benchmark results.

Reads the JSON document that each benchmark prints as its last line (`make bench` keeps them in benchmarks/results/)
and replaces what stands between `<!-- NAME: ... -->` and `<!-- /NAME -->`.

    python benchmarks/readme.py benchmarks/results/*.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"


def slot_use(found: dict[str, Any]) -> str:
    """Lay out the result of slot_use.py as a table."""
    rows = [
        ("requests in flight allowed", f"{found['num_slots']}"),
        ("slots busy while work waits", f"**{found['busy_share']:.1%}**"),
        ("requests", f"{found['num_requests']:,}"),
        ("instructions admitted, examples kept", f"{found['num_admitted']:,}, {found['num_examples']:,}"),
    ]
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"slot_use": slot_use}


def replaced(readme: str, name: str, table: str) -> str:
    """Return the README with one table replaced."""
    pattern = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(readme):
        raise SystemExit(f"README.md: there is no place for the table {name}")
    return pattern.sub(lambda match: f"{match[1]}{table}\n{match[2]}", readme)


def main() -> None:
    readme = README.read_text(encoding="utf-8")
    for path in map(Path, sys.argv[1:]):
        found = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        readme = replaced(readme, found["benchmark"], TABLES[found["benchmark"]](found))
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
