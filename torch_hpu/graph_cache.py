"""Inference by HPU Graphs: functions and modules that capture one graph per signature of their arguments and replay it."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch

from torch_hpu import _C
from torch_hpu.graphs import HPUGraph, graph, is_current_stream_capturing
from torch_hpu.signature import context, flatten, rebuild, signature, tensors_of


@dataclasses.dataclass
class CachedParams:
    """What belongs to one captured graph."""

    graph_inputs: Any
    graph_outputs: Any
    graph: HPUGraph
    asynchronous: bool = False


class _Numbers:
    """Ints and floats of a call as 0-dim tensors of the device with the type rules of Python numbers, so that their values are arguments."""

    def __init__(self, values: list[int | float]) -> None:
        self.values = list(values)
        self.tensors = [_C.wrapped_number(torch.full((), v, device="hpu", dtype=_dtype(v))) for v in values]

    def load(self, values: list[int | float]) -> None:
        for i, tensor in enumerate(self.tensors):  # none when the values are part of the signature
            if values[i] != self.values[i] or values[i] == 0:  # 0.0 equals -0.0
                tensor.fill_(values[i])
                self.values[i] = values[i]


def _dtype(value: float) -> torch.dtype:
    return torch.int64 if type(value) is int else torch.float64


def _detached(outputs: Any) -> Any:
    """The same with tensors of its own: whoever else keeps one of the given ones shows by that."""
    return rebuild(outputs, map(torch.Tensor.detach, tensors_of(outputs)).__next__)


class _NotReplayable(Exception):
    pass


@dataclasses.dataclass
class _Entry:
    call: _C.GraphCall
    numbers: _Numbers
    outputs: Any
    key: Any = None  # in its cache

    def __call__(self, tensors: list[torch.Tensor], numbers: list[int | float]) -> Any:
        self.numbers.load(numbers)
        return rebuild(self.outputs, iter(self.call(tensors)).__next__)


class GraphCache:
    """The graphs of one function, least recently used first.

    Numbers among the arguments are first taken as run-time arguments: the function is captured with tensors in their place. A function that
    looks at their values (a branch, a shape, a loop) fails to be captured so; then this signature keeps them by value, one graph each.
    """

    def __init__(self, function: Callable[..., Any], max_graphs: int | None, module: torch.nn.Module | None = None) -> None:
        self.function = function
        self.max_graphs = max_graphs
        self.module = module  # whose forward the function is
        self.graphs: collections.OrderedDict[Any, _Entry] = collections.OrderedDict()
        self.by_value: set[Any] = set()
        # What takes the function's place: it finds the graph of the last call again without Python's help, and asks the cache for all others.
        self.wrapped = functools.update_wrapper(_C.WrappedFunction(self, module), function)

    def __call__(
        self,
        *args: Any,
        bypass_hpu_graphs: bool = False,
        warmup_mode: bool = False,  # Gaudi's, which returns stale outputs then; here a warm-up call is a call
        cache_tensors_list: list[torch.Tensor] | None = None,  # Gaudi's: tensors to keep alive; the graph needs nobody to
        **kwargs: Any,
    ) -> Any:
        if bypass_hpu_graphs or is_current_stream_capturing():  # within another capture it is part of that one
            return self.function(*args, **kwargs)
        tensors: list[torch.Tensor] = []
        numbers: list[int | float] = []
        key = (flatten((args, kwargs), tensors, numbers), signature(tensors), context(), self.module is not None and self.module.training)
        with torch.no_grad():
            if key in self.by_value:
                entry = self.graphs.get((key, repr(numbers)))
            else:
                entry = self.graphs.get(key)
            if entry is None:
                entry = self._make(key, args, kwargs, tensors, numbers)
            else:
                self.graphs.move_to_end(entry.key)
            self.wrapped.remember(entry.call, args, kwargs, entry.outputs)
            return entry(tensors, numbers)

    def _make(self, key: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor], numbers: list[int | float]) -> _Entry:
        entry = None
        if numbers and key not in self.by_value:
            entry = self._capture(args, kwargs, tensors, numbers)
            if entry is None:
                self.by_value.add(key)
        if entry is None:
            entry = self._capture_by_value(args, kwargs, tensors)
        entry.key = (key, repr(numbers)) if key in self.by_value else key
        self.graphs[entry.key] = entry
        if self.max_graphs is not None and len(self.graphs) > max(1, self.max_graphs):
            self.graphs.popitem(last=False)
        return entry

    def _capture_by_value(self, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> _Entry:
        inputs = _C.StaticInputs(tensors)
        captured = HPUGraph()
        call_args, call_kwargs = rebuild((args, kwargs), iter(inputs.tensors()).__next__)
        with graph(captured):
            outputs = _detached(self.function(*call_args, **call_kwargs))
        return _Entry(_C.GraphCall(captured, inputs, tensors_of(outputs)), _Numbers([]), outputs)

    def _capture(self, args: Any, kwargs: Any, tensors: list[torch.Tensor], values: list[int | float]) -> _Entry | None:
        """None when the function does more with its numbers than arithmetic on tensors of the device."""
        inputs, numbers = _C.StaticInputs(tensors), _Numbers(values)
        captured = HPUGraph()
        call_args, call_kwargs = rebuild((args, kwargs), iter(inputs.tensors()).__next__, iter(numbers.tensors).__next__)
        # Any error: it shows again, if it is the function's own, when the function is captured with the plain numbers.
        with contextlib.suppress(Exception):
            with graph(captured):
                outputs = _detached(self.function(*call_args, **call_kwargs))
                if any(o.dim() == 0 for o in tensors_of(outputs)):
                    raise _NotReplayable  # perhaps a number that would have been returned as a number
            return _Entry(_C.GraphCall(captured, inputs, tensors_of(outputs)), numbers, outputs)
        return None

    def clear(self) -> None:
        self.wrapped.forget()
        self.graphs.clear()
        self.by_value.clear()


def wrap_in_hpu_graph(
    module: Any,
    asynchronous: bool = False,
    disable_tensor_cache: bool = False,
    hash_with_views: bool = True,
    max_graphs: int | None = None,
    dry_run: bool = False,
) -> Any:
    """Wraps a module (its ``forward``, in place) or a function: one graph per input signature, replayed from the second call on.

    Inference only: no autograd graph is built. Inputs are copied (and back, where the function writes them), results are fresh tensors.
    Numbers that only feed arithmetic are arguments, all others part of the signature. ``bypass_hpu_graphs=True`` at a call runs the original;
    Gaudi's ``warmup_mode`` and ``cache_tensors_list`` at a call are accepted and change nothing.
    ``clear_cache()`` drops all graphs; ``clear_inputs()`` has nothing to drop, since callers' tensors are never kept. ``max_graphs`` bounds
    the graphs (least recently used goes first). The other arguments are Gaudi's and change nothing here: replays are asynchronous, memory is
    planned over the whole graph, and views are part of the signature.
    """
    if isinstance(module, torch.nn.Module):
        return _wrap_module(module, max_graphs)
    cache = GraphCache(module, max_graphs)
    cache.wrapped.clear_cache = cache.clear
    cache.wrapped.clear_inputs = lambda: None
    return cache.wrapped


def _wrap_module(module: Any, max_graphs: int | None) -> Any:
    cache = GraphCache(module.forward, max_graphs, module)
    own_call = type(module)._call_impl is not torch.nn.Module._call_impl or "_call_impl" in vars(module)
    members: dict[str, Any] = {"forward": cache.wrapped, "clear_cache": cache.clear, "clear_inputs": lambda: None}
    if not own_call and isinstance(module._compiled_call_impl, _C.WrappedFunction | None):
        # torch's place for what stands for a module's whole call
        members["_compiled_call_impl"] = _C.WrappedFunction(module._call_impl, module, cache.wrapped)

    def deepcopy(memo: dict[int, Any]) -> Any:
        """A module of its own, with graphs of its own."""
        mine = {name: vars(module).pop(name) for name in members}
        try:
            return _wrap_module(copy.deepcopy(module, memo), max_graphs)
        finally:
            vars(module).update(mine)

    members["__deepcopy__"] = deepcopy
    vars(module).update(members)
    return module


wrap_in_hpu_graph_func = wrap_in_hpu_graph
