"""Options, flush causes and traces of execution."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch_hpu import _C


def options() -> str:
    """The table of all ``TORCH_HPU_*`` variables with defaults and meanings."""
    return _C.options_help()


def get_option(name: str) -> str:
    """The value of an option, by its name without the prefix in lower case ("tier")."""
    return _C.get_option(name)


@contextlib.contextmanager
def option(name: str, value: object) -> Iterator[None]:
    """Sets an option within a scope. Raises ValueError for an unknown name or a bad value."""
    previous = _C.get_option(name)
    _C.set_option(name, str(int(value)) if isinstance(value, bool) else str(value))
    try:
        yield
    finally:
        _C.set_option(name, previous)


def set_option(name: str, value: object) -> None:
    _C.set_option(name, str(int(value)) if isinstance(value, bool) else str(value))


def flush_causes() -> dict[str, int]:
    """How often the trace was flushed, by cause."""
    return _C.metrics_details("flushes")


def op_classes() -> dict[str, str]:
    """What becomes of each op of namespace aten: lowered, library, extern, breaking, composite, own or unavailable (see docs/coverage.md)."""
    return _C.op_classes()


def compilations() -> list[str]:
    """Why the last graphs were compiled, oldest first: a sentence each, with the cause, the difference to the nearest graph that was
    compiled before, and the line that recorded it. ``metrics.details("compilations")`` counts the causes."""
    return _C.compilation_reasons()


@contextlib.contextmanager
def trace(path: str) -> Iterator[None]:
    """Writes what ran within the scope as a Chrome trace."""
    _C.start_trace()
    try:
        yield
    finally:
        _C.synchronize()
        _C.stop_trace(path)


def kernel_table() -> str:
    """What ran in the last ``trace`` scope by kernel, library call and op: milliseconds, calls, name; the costliest first."""
    return _C.kernel_table()


def graph_table() -> str:
    """The live HPU Graphs, one a line: id, pool, bytes of arena (shared within a pool), outputs and inputs, steps."""
    return _C.graph_table()
