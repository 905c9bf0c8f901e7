"""Who may read a folder, as chmod has it.

Knows nothing of what is in it.
"""

from __future__ import annotations

import re

__all__ = ["checked_mode"]

_MODE = re.compile(r"(?:0o|0)?([0-7]{3})", re.ASCII)
_MOST = 0o777


def checked_mode(value: object) -> str:
    """Return a folder's mode as four octal digits, such as 0750.

    YAML takes 0750 for the number 488, and 750 for itself: as no mode that is allowed is written as a decimal number
    from 448 to 511, nor is one above, both are the same.

    Raises:
        ValueError: it is none, locks its owner out or lets everybody write.
    """
    if isinstance(value, int):
        value = f"{value:o}" if 0 <= value <= _MOST else str(value)
    found = _MODE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        msg = "must be a folder's mode as chmod has it, such as 0750"
        raise ValueError(msg)
    bits = int(found[1], 8)
    if bits & 0o700 != 0o700:
        msg = "must let the owner read, write and enter the folder: it begins with 7, such as 0750"
        raise ValueError(msg)
    if bits & 0o002:
        msg = "must not let everybody write; 0770 lets the group"
        raise ValueError(msg)
    return f"{bits:04o}"
