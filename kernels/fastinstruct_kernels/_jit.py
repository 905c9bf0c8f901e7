"""How every kernel is compiled: the only file that names Numba's options.

Knows nothing of what the kernels compute. Guarantees that a kernel keeps its annotations for the type checker, that
it runs without the interpreter lock, and that its floating point is plain IEEE double arithmetic in the order
written: `fastmath` must stay off, because decisions are compared bit for bit with a reference written in Python.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

# error_model="numpy": a division compiles to a division, without a test that would raise ZeroDivisionError.
# _nrt=False: no reference counting. The caller holds every array while a kernel runs; with it, each call of an inlined
# function counted each array of its named tuples up and down, 800 atomic steps in the probe's loops (5 times slower).
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def kernel(function: Function) -> Function:
    """Compile `function` at its first call, and keep the machine code on disk where that is possible.

    A kernel can't make arrays; see `making_kernel`.

    Returns:
        The compiled function under the type of the plain one.
    """
    return _compiled(function, _OPTIONS)


def inlined_kernel(function: Function) -> Function:
    """The same for a small function of inner loops: its code becomes part of each kernel that calls it."""
    return _compiled(function, {**_OPTIONS, "forceinline": True})


def kernel_part(function: Function) -> Function:
    """The same for a function that only kernels call; Python is refused.

    Without the code that takes a call's arguments from Python: dozens of arrays in named tuples, a fifth of the time to
    compile everything.
    """
    return _for_kernels(_compiled(function, {**_OPTIONS, **_NO_WRAPPERS}))


def inlined_part(function: Function) -> Function:
    """The same for a part whose code becomes part of each kernel that calls it."""
    return _for_kernels(_compiled(function, {**_OPTIONS, **_NO_WRAPPERS, "forceinline": True}))


def making_kernel(function: Function) -> Function:
    """The same for a function that makes arrays."""
    return _compiled(function, {**_OPTIONS, "_nrt": True})


@intrinsic
def _prefetch(_typing_context: Any, array: Any, index: Any) -> Any:  # noqa: ANN401 - Numba's, untyped
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        data = context.make_array(array)(context, builder, arguments[0]).data
        byte_pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte_pointer], function_type)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte_pointer)
        builder.call(function, [address, word(0), word(3), word(1)])  # to read, into every level, data
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


# prefetch(array, index): have the memory fetch the line of an element, counted through all dimensions, and go on.
prefetch = cast(Callable[[NDArray[Any], int], None], _prefetch)


@intrinsic
def _read_anew(_typing_context: Any, array: Any, index: Any) -> Any:  # noqa: ANN401 - Numba's, untyped
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        data = context.make_array(array)(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "monotonic", 8)

    return types.int64(array, types.int64), generate


# read_anew(array, index): an int64 that another thread may write meanwhile, from memory, never from a register.
read_anew = cast(Callable[[NDArray[np.int64], int], int], _read_anew)


def _arrays_at(dtype: Any, num_columns: int | None = None, *, readonly: bool = False) -> Any:  # noqa: ANN401 - Numba's
    """An intrinsic that makes an array of an address and a number of rows; `num_columns` 0: it is square."""

    @intrinsic
    def at(_typing_context: Any, _address: Any, _num_rows: Any) -> Any:  # noqa: ANN401
        array = types.Array(dtype, 1 if num_columns is None else 2, "C", readonly=readonly)

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            address, num_rows = arguments
            made = context.make_array(array)(context, builder)
            item = context.get_abi_sizeof(context.get_data_type(dtype))
            size = context.get_constant(types.intp, item)
            columns = [] if num_columns is None else [num_rows if num_columns == 0 else _constant(context, num_columns)]
            strides = [size] if not columns else [builder.mul(columns[0], size), size]
            data = builder.inttoptr(address, context.get_data_type(dtype).as_pointer())
            populate_array(made, data, [num_rows, *columns], strides, size, None)  # type: ignore[no-untyped-call]
            return made._getvalue()  # noqa: SLF001 - as in Numba's own documentation

        return array(types.int64, types.int64), generate

    return at


def _constant(context: Any, number: int) -> Any:  # noqa: ANN401
    return context.get_constant(types.intp, number)


# x_at(address, num_rows): the array that lies there, which somebody else holds.
ArrayAt = Callable[[int, int], NDArray[Any]]
bool_at = cast(ArrayAt, _arrays_at(types.boolean))
bytes_at = cast(ArrayAt, _arrays_at(types.uint8, readonly=True))
uint8_at = cast(ArrayAt, _arrays_at(types.uint8))
int32_at = cast(ArrayAt, _arrays_at(types.int32))
int64_at = cast(ArrayAt, _arrays_at(types.int64))
uint64_at = cast(ArrayAt, _arrays_at(types.uint64))
float64_at = cast(ArrayAt, _arrays_at(types.float64))
int32_square_at = cast(ArrayAt, _arrays_at(types.int32, 0))
int64_pairs_at = cast(ArrayAt, _arrays_at(types.int64, 2))
uint64_pairs_at = cast(ArrayAt, _arrays_at(types.uint64, 2))
int64_fours_at = cast(ArrayAt, _arrays_at(types.int64, 4))


class _Part(Dispatcher):
    """What calls of a part from Python come to: without its wrapper, Numba would jump to address 0."""

    def __call__(self, *_arguments: object, **_named: object) -> None:
        raise TypeError(f"{self.py_func.__name__} is a part of kernels: only these can call it")


def _for_kernels(function: Function) -> Function:
    if isinstance(function, Dispatcher):  # not where Numba compiles nothing, as for a debugger
        cast(Any, function).__class__ = _Part
    return function


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    try:
        compiled = numba.njit(**options, cache=True)(function)
    except RuntimeError:  # Numba found no folder that it may write to: compile in every process instead.
        return cast(Function, numba.njit(**options)(function))
    if isinstance(compiled, Dispatcher):
        _forget_outdated_machine_code(Path(str(compiled.stats.cache_path)))
    return cast(Function, compiled)


@cache
def _forget_outdated_machine_code(folder: Path) -> None:
    """Remove cache indexes in the folder that are older than any source here.

    Numba checks only the file a kernel is defined in, but a kernel also holds inlined code from its neighbours: after
    an edit of lcs.py alone, the cached kernels of probe.py would go on computing the old thing.
    """
    with suppress(OSError):  # A folder that can't be read or written, or another process that was faster.
        newest_source = max(source.stat().st_mtime_ns for source in Path(__file__).parent.glob("*.py"))
        for index in folder.glob("*.nbi"):
            if index.stat().st_mtime_ns < newest_source:
                index.unlink()
