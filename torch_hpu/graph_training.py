"""Training by HPU Graphs: callables whose forward and backward are a graph each, joined by an autograd function (as torch.cuda's)."""

from __future__ import annotations

import collections
import copy
import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch

from torch_hpu.graphs import HPUGraph, Pool, graph, graph_pool_handle
from torch_hpu.signature import context, flatten, rebuild, signature, tensors_of

_log = logging.getLogger("torch_hpu")


class _GraphedPair:
    """Forward and backward graphs of one callable for one signature of its arguments."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, dict[str, Any]], pool: Pool | None, allow_unused: bool) -> None:
        self.function = function
        self.pool = pool if pool is not None else graph_pool_handle()
        self.allow_unused = allow_unused
        self.inputs = [t.detach().clone().requires_grad_(t.requires_grad) for t in tensors_of(arguments)]
        self.arguments = rebuild(arguments, iter(self.inputs).__next__)
        owner = function if isinstance(function, torch.nn.Module) else getattr(function, "__self__", None)
        parameters = owner.parameters() if isinstance(owner, torch.nn.Module) else ()
        self.parameters = [p for p in parameters if p.requires_grad]
        self.forwards = 0  # replays so far: a backward belongs to the last of them

    def call(self) -> Any:
        args, kwargs = self.arguments
        return self.function(*args, **kwargs)

    def capture_forward(self) -> None:
        self.forward_graph = HPUGraph()
        with graph(self.forward_graph, pool=self.pool), torch.enable_grad():
            self.outputs = self.call()
        self.flat_outputs = tensors_of(self.outputs)

    def capture_backward(self) -> None:
        self.backward_graph = HPUGraph()
        differentiable = [t for t in self.inputs + self.parameters if t.requires_grad]
        roots = [o for o in self.flat_outputs if o.requires_grad]
        self.grad_outputs = [torch.empty_like(o) for o in roots]
        with graph(self.backward_graph, pool=self.pool):
            found = iter(torch.autograd.grad(roots, differentiable, self.grad_outputs, allow_unused=self.allow_unused))
        self.grad_inputs = [next(found) if t.requires_grad else None for t in self.inputs + self.parameters]
        # What the forward hands over lives in the graphs' pool; the autograd graph itself is not needed any more.
        self.differentiable = [o.requires_grad for o in self.flat_outputs]
        self.outputs = rebuild(self.outputs, map(torch.Tensor.detach, self.flat_outputs).__next__)
        self.flat_outputs = tensors_of(self.outputs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        results = _Graphed.apply(self, *tensors_of((args, kwargs)), *self.parameters)
        return rebuild(self.outputs, iter(results).__next__)


class _Graphed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pair: _GraphedPair, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        for static, given in zip(pair.inputs, inputs):  # the parameters behind them are read where they are
            static.detach().copy_(given)
        pair.forward_graph.replay()
        pair.forwards += 1
        ctx.pair, ctx.number = pair, pair.forwards
        results = tuple(o.clone() for o in pair.flat_outputs)
        ctx.mark_non_differentiable(*(r for r, d in zip(results, pair.differentiable, strict=True) if not d))
        return results

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        pair = ctx.pair
        if ctx.number != pair.forwards:
            raise RuntimeError(
                "[make_graphed_callables] the forward of this graph ran again before the backward of its earlier call: what that call"
                " saved is overwritten. Run each backward before the next forward of the same shapes."
            )
        given = (g for g, d in zip(grad_outputs, pair.differentiable, strict=True) if d)
        for static, grad in zip(pair.grad_outputs, given, strict=True):
            static.zero_() if grad is None else static.copy_(grad)
        pair.backward_graph.replay()
        return (None, *(None if g is None else g.detach().clone() for g in pair.grad_inputs))


def make_graphed_callables(
    callables: Any,
    sample_args: Any,
    warmups: int = 0,
    allow_unused_input: bool = False,
    asynchronous: bool = False,
    disable_tensor_cache: bool = False,
    dry_run: bool = False,
    *,
    num_warmup_iters: int | None = None,
    pool: Pool | None = None,
) -> Any:
    """Graphed versions of callables (modules or functions), for training: forward and backward of each become a graph.

    ``sample_args``: the arguments of a call as a tuple (a tuple of such tuples for several callables, in the order in which they are called),
    with the shapes and ``requires_grad`` of the real ones. A module's ``forward`` is replaced, and runs as before when its ``training`` is
    not what it was here. The graphs run in the autocast mode of this call. ``asynchronous``, ``disable_tensor_cache`` and ``dry_run`` are
    Gaudi's and change nothing; ``warmups`` and ``num_warmup_iters`` are Gaudi's and CUDA's names of one thing.
    """
    single = not isinstance(callables, tuple)
    functions = (callables,) if single else callables
    samples = (sample_args,) if single else sample_args
    for function in functions:
        if isinstance(function, torch.nn.Module):
            if function._backward_hooks or function._forward_hooks or function._forward_pre_hooks:
                raise RuntimeError("[make_graphed_callables] modules must not have hooks when they are graphed; register them afterwards")
            if any(b.requires_grad for b in function.buffers()):
                raise RuntimeError("[make_graphed_callables] buffers must not require grad")
    pool = pool if pool is not None else graph_pool_handle()
    pairs = [_GraphedPair(f, (tuple(s), {}), pool, allow_unused_input) for f, s in zip(functions, samples, strict=True)]
    for pair in pairs:
        for _ in range(num_warmup_iters if num_warmup_iters is not None else warmups):
            outputs = [o for o in tensors_of(pair.call()) if o.requires_grad]
            wanted = [t for t in pair.inputs + pair.parameters if t.requires_grad]
            torch.autograd.grad(outputs, wanted, [torch.zeros_like(o) for o in outputs], allow_unused=allow_unused_input)
    for pair in pairs:
        pair.capture_forward()
    for pair in reversed(pairs):  # in the order of a training step
        pair.capture_backward()
    graphed = tuple(_installed(f, pair) for f, pair in zip(functions, pairs, strict=True))
    return graphed[0] if single else graphed


def _installed(function: Any, pair: _GraphedPair) -> Any:
    if not isinstance(function, torch.nn.Module):
        return pair
    original, training = function.forward, function.training
    pair.function = original
    function.forward = lambda *args, **kwargs: (pair if function.training == training else original)(*args, **kwargs)
    return function


class ModuleCacher:
    """Gaudi's cache of training graphs: ``ModuleCacher(max_graphs)(model)`` gives the model a ``forward`` that graphs forward and backward per
    signature of its arguments, while the model trains and gradients are on. At most ``max_graphs`` are kept, the least recently used goes first.

    ``use_lfu``: signatures are only counted between ``model.capture_start()`` and ``model.capture_end()``; afterwards the ``max_graphs``
    most frequent ones are graphed and all others run as they are. ``model.orig_forward`` is the original. Gradients are returned afresh by
    each backward, so accumulation over micro-steps needs no care (``have_grad_accumulation``, ``set_iteration_count``).
    """

    def __init__(self, max_graphs: int = 10) -> None:
        self.max_graphs = max(1, max_graphs)

    def __call__(
        self,
        model: torch.nn.Module,
        use_lfu: bool = False,
        inplace: bool = True,
        allow_unused_input: bool = False,
        asynchronous: bool = False,
        have_grad_accumulation: bool = False,
        log_frequency: int = 100,
        verbose: bool = False,
        disable_tensor_cache: bool = False,
        dry_run: bool = False,
    ) -> torch.nn.Module:
        model = model if inplace else copy.copy(model)
        original = model.forward
        parameters = inspect.signature(original)
        cache = _TrainingGraphs(original, self.max_graphs, use_lfu, allow_unused_input, log_frequency if verbose else 0)

        def forward(*args: Any, **kwargs: Any) -> Any:
            if not (model.training and torch.is_grad_enabled()):
                return original(*args, **kwargs)
            bound = parameters.bind(*args, **kwargs)
            return cache(bound.args, bound.kwargs)

        model.forward = forward
        model.orig_forward = original
        model.is_hpugraph_tracing = lambda: cache.tracing
        model.capture_start = cache.start_counting
        model.capture_end = cache.end_counting
        model.set_iteration_count = lambda count: None
        model.clear_cache = cache.pairs.clear
        return model


class _TrainingGraphs:
    def __init__(self, function: Callable[..., Any], max_graphs: int, use_lfu: bool, allow_unused: bool, log_frequency: int) -> None:
        self.function = function
        self.max_graphs = max_graphs
        self.allow_unused = allow_unused
        self.log_frequency = log_frequency
        self.pairs: collections.OrderedDict[Any, _GraphedPair] = collections.OrderedDict()
        self.counts: collections.Counter[Any] = collections.Counter()
        self.frequent: set[Any] | None = set() if use_lfu else None  # the signatures that may have graphs; None: all
        self.counting = False
        self.tracing = False
        self.calls = 0

    def start_counting(self) -> None:
        self.counting = True
        self.counts.clear()

    def end_counting(self) -> None:
        self.counting = False
        if self.frequent is not None:
            self.frequent = {key for key, _ in self.counts.most_common(self.max_graphs)}

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors: list[torch.Tensor] = []
        key = (flatten((args, kwargs), tensors), signature(tensors), tuple(t.requires_grad for t in tensors), context())
        self.calls += 1
        if self.log_frequency and self.calls % self.log_frequency == 0:
            _log.info("ModuleCacher: %d calls, %d graphs", self.calls, len(self.pairs))
        if self.counting:
            self.counts[key] += 1
        if self.counting or (self.frequent is not None and key not in self.frequent):
            return self.function(*args, **kwargs)
        pair = self.pairs.get(key)
        if pair is None:
            pair = self._capture(args, kwargs)
            self.pairs[key] = pair
            if len(self.pairs) > self.max_graphs:
                self.pairs.popitem(last=False)
        else:
            self.pairs.move_to_end(key)
        return pair(*args, **kwargs)

    def _capture(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _GraphedPair:
        self.tracing = True
        try:
            pair = _GraphedPair(self.function, (args, kwargs), None, self.allow_unused)
            pair.capture_forward()
            pair.capture_backward()
        finally:
            self.tracing = False
        return pair
