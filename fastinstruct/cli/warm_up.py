"""`fastinstruct warm-up`: compile the kernels, so that no run and no program has to wait for it."""

from __future__ import annotations

__all__ = ["warm_up"]


def warm_up() -> None:
    """Compile the kernels beforehand.

    That takes about a minute, once for each version and kind of machine; where it is done, it says so.
    """
    import time

    from fastinstruct.cli.terminal import tell
    from fastinstruct.errors import InputError
    from fastinstruct.similarity import compile_all

    has_compiled = False

    def on_compile() -> None:
        nonlocal has_compiled
        has_compiled = True
        tell("compiling the kernels, about a minute ...")

    began = time.monotonic()
    folder = compile_all(on_compile)
    seconds = time.monotonic() - began
    if folder is None:
        raise InputError("the kernels can't be kept: set NUMBA_CACHE_DIR to a folder that can be written")
    found = f"compiled in {seconds:.0f} s" if has_compiled else f"compiled already, and loaded in {seconds:.1f} s"
    tell(f"the kernels are {found}; they are kept in {folder}")
