"""Counters: what the backend did. Lazy code is tested by them."""

from __future__ import annotations

from torch_hpu import _C


def snapshot() -> dict[str, int]:
    """Every counter by name: recorded_ops, flushes, compilations, recipe_hits, kernels, library_calls, extern_calls, ..."""
    return _C.metrics_snapshot()


def details(counter: str) -> dict[str, int]:
    """What is known beside a counter: ``flushes`` by cause; ``extern_calls``, ``breaking_calls``, ``infer_calls`` by op."""
    return _C.metrics_details(counter)


def reset() -> None:
    _C.reset_metrics()
