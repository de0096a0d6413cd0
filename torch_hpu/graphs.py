"""HPU Graphs: capture, replay, and wrappers that do both by input signature."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch

from torch_hpu import _C

Pool = tuple[int, int]


class HPUGraph(_C._HPUGraph):
    """A captured series of ops; semantics of ``torch.cuda.CUDAGraph``.

    Capture records and does not run (``execute=True``: runs once at ``capture_end``). ``replay`` reads the current bytes of the tensors that
    existed before the capture and writes the tensors made in it at the same addresses each time.
    """

    def capture_begin(
        self, pool: Pool | None = None, capture_error_mode: str = "global", execute: bool = False, dry_run: bool | None = None
    ) -> None:
        """``dry_run`` is Gaudi's argument: ``False`` means ``execute=True``."""
        if capture_error_mode not in ("global", "thread_local", "relaxed"):
            raise ValueError(f"capture_error_mode: got {capture_error_mode!r}, expected global, thread_local or relaxed")
        super().capture_begin(tuple(pool) if pool is not None else (0, 0), execute or dry_run is False)

    def replay(self, asynchronous: bool = False) -> None:
        super().replay()


def graph_pool_handle() -> Pool:
    """A pool that several graphs may share."""
    return _C.graph_pool_handle()


def is_current_stream_capturing() -> bool:
    return _C.is_current_stream_capturing()


@functools.cache
def _capture_stream_of(device: int) -> torch.Stream:
    from torch_hpu import hpu

    return hpu.Stream(device)


def _capture_stream() -> torch.Stream:
    # One for all captures of a device: autograd runs a backward on its forward's stream, so both must be captured on the same one.
    return _capture_stream_of(_C.current_device())


class graph:
    """Context manager that captures what is done inside into ``hpu_graph``, on a side stream unless ``stream`` is given.

    An exception in the body aborts the capture and leaves device and memory as before.
    """

    def __init__(
        self,
        hpu_graph: HPUGraph,
        pool: Pool | None = None,
        stream: torch.Stream | None = None,
        capture_error_mode: str = "global",
        execute: bool = False,
    ) -> None:
        self.hpu_graph = hpu_graph
        self.arguments = (pool, capture_error_mode, execute)
        self.stream = stream

    def __enter__(self) -> HPUGraph:
        from torch_hpu import hpu

        hpu.synchronize()
        self.context = hpu.stream(self.stream if self.stream is not None else _capture_stream())
        self.context.__enter__()
        try:
            self.hpu_graph.capture_begin(*self.arguments)
        except BaseException:
            self.context.__exit__(None, None, None)
            raise
        return self.hpu_graph

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: object) -> None:
        try:
            if kind is not None:
                self.hpu_graph.capture_abort()
            else:
                try:
                    self.hpu_graph.capture_end()
                except BaseException:
                    self.hpu_graph.capture_abort()
                    raise
        finally:
            self.context.__exit__(kind, value, traceback)


# Signatures: what decides whether a captured graph fits a call.


def _flatten(value: Any, tensors: list[torch.Tensor]) -> Any:
    """A hashable description of ``value``; its tensors are appended to ``tensors`` and stand in the description by shape, dtype, strides."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return ("tensor", tuple(value.shape), value.stride(), value.dtype, str(value.device), value.requires_grad)
    if isinstance(value, collections.abc.Mapping):
        return (type(value).__qualname__, tuple((k, _flatten(v, tensors)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return (type(value).__qualname__, tuple(_flatten(v, tensors) for v in value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (type(value).__qualname__, tuple((f.name, _flatten(getattr(value, f.name), tensors)) for f in dataclasses.fields(value)))
    try:
        hash(value)
    except TypeError:
        return ("object", id(value))
    return (type(value).__qualname__, value)


def _rebuild(value: Any, tensors: collections.deque[torch.Tensor]) -> Any:
    """``value`` with its tensors replaced, in the order of ``_flatten``."""
    if isinstance(value, torch.Tensor):
        return tensors.popleft()
    if isinstance(value, collections.abc.Mapping):
        items = {k: _rebuild(v, tensors) for k, v in value.items()}
        return items if type(value) is dict else type(value)(**items) if hasattr(value, "to_tuple") else type(value)(items)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_rebuild(v, tensors) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_rebuild(v, tensors) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: _rebuild(getattr(value, f.name), tensors) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **changed)
    return value


def input_hash(value: Any) -> int:
    """A hash of the signature of (nested) inputs: shapes, strides, dtypes, devices, and the values of everything else."""
    return hash(_flatten(value, []))


def copy_to(dst: Any, src: Any) -> None:
    """Copies the tensors of ``src`` into those of ``dst``, which must be nested the same way."""
    to: list[torch.Tensor] = []
    given: list[torch.Tensor] = []
    _flatten(dst, to)
    _flatten(src, given)
    if len(to) != len(given):
        raise ValueError(f"copy_to: got {len(given)} tensors, expected {len(to)}")
    for d, s in zip(to, given):
        d.copy_(s, non_blocking=True)


@dataclasses.dataclass
class CachedParams:
    """What belongs to one captured graph."""

    graph_inputs: Any
    graph_outputs: Any
    graph: HPUGraph
    asynchronous: bool = False


class _GraphCache:
    """The graphs of one wrapped callable, least recently used first."""

    def __init__(self, function: Callable[..., Any], max_graphs: int | None) -> None:
        self.function = function
        self.max_graphs = max_graphs
        self.graphs: collections.OrderedDict[Any, tuple[list[torch.Tensor], Any, HPUGraph]] = collections.OrderedDict()

    def __call__(self, *args: Any, bypass_hpu_graphs: bool = False, **kwargs: Any) -> Any:
        if bypass_hpu_graphs:
            return self.function(*args, **kwargs)
        tensors: list[torch.Tensor] = []
        key = (_flatten((args, kwargs), tensors), torch.is_autocast_enabled("hpu"), torch.is_inference_mode_enabled())
        entry = self.graphs.get(key)
        if entry is None:
            entry = self._capture(args, kwargs, tensors)
            self.graphs[key] = entry
            if self.max_graphs is not None and len(self.graphs) > max(1, self.max_graphs):
                self.graphs.popitem(last=False)
        else:
            self.graphs.move_to_end(key)
            with torch.no_grad():
                for static, given in zip(entry[0], tensors):
                    static.copy_(given)
        _static_inputs, outputs, captured = entry
        captured.replay()
        results: list[torch.Tensor] = []
        _flatten(outputs, results)
        with torch.no_grad():
            return _rebuild(outputs, collections.deque(r.clone() for r in results))

    def _capture(self, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> tuple[list[torch.Tensor], Any, HPUGraph]:
        with torch.no_grad():
            static = [t.detach().to("hpu", copy=True) for t in tensors]
            call_args, call_kwargs = _rebuild((args, kwargs), collections.deque(static))
            captured = HPUGraph()
            with graph(captured):
                outputs = self.function(*call_args, **call_kwargs)
        return static, outputs, captured

    def clear(self) -> None:
        self.graphs.clear()


def wrap_in_hpu_graph(
    module: Any,
    asynchronous: bool = False,
    disable_tensor_cache: bool = False,
    hash_with_views: bool = True,
    max_graphs: int | None = None,
    dry_run: bool = False,
) -> Any:
    """Wraps a module (its ``forward``, in place) or a function: one graph per input signature, replayed from the second call on.

    Inference only: no autograd graph is built. Inputs are copied, results are fresh tensors. ``bypass_hpu_graphs=True`` at a call runs the original.
    ``clear_cache()`` drops all graphs. ``max_graphs`` bounds them (least recently used goes first). The other arguments are Gaudi's and change
    nothing here: memory is always planned over the whole graph, and views are always part of the signature.
    """
    if isinstance(module, torch.nn.Module):
        cache = _GraphCache(module.forward, max_graphs)
        module.forward = functools.wraps(module.forward)(lambda *args, **kwargs: cache(*args, **kwargs))
        module.clear_cache = cache.clear
        module.clear_inputs = lambda: None
        return module
    cache = _GraphCache(module, max_graphs)

    @functools.wraps(module)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return cache(*args, **kwargs)

    wrapped.clear_cache = cache.clear  # type: ignore[attr-defined]
    wrapped.clear_inputs = lambda: None  # type: ignore[attr-defined]
    return wrapped


def make_graphed_callables(
    callables: Callable[..., Any] | tuple[Callable[..., Any], ...],
    sample_args: tuple[torch.Tensor, ...] | tuple[tuple[torch.Tensor, ...], ...],
    num_warmup_iters: int = 0,
    allow_unused_input: bool = False,
    pool: Pool | None = None,
) -> Any:
    """Training: forward and backward of each callable become a graph each, joined by an autograd function (as torch.cuda's).

    ``sample_args``: a tuple of tensors (a tuple of such tuples for several callables), with the ``requires_grad`` of the real ones.
    """
    single = not isinstance(callables, tuple)
    functions = (callables,) if single else callables
    samples = (sample_args,) if single else sample_args
    graphed = [_graph_one(f, s, num_warmup_iters, allow_unused_input, pool) for f, s in zip(functions, samples)]
    return graphed[0] if single else tuple(graphed)


def _graph_one(function: Callable[..., Any], sample: tuple[torch.Tensor, ...], warmups: int, allow_unused: bool, pool: Pool | None) -> Any:
    parameters = tuple(function.parameters()) if isinstance(function, torch.nn.Module) else ()
    static_inputs = tuple(t.detach().clone().requires_grad_(t.requires_grad) for t in sample)
    forward_graph, backward_graph = HPUGraph(), HPUGraph()
    for _ in range(warmups):
        function(*static_inputs)
    with graph(forward_graph, pool=pool):
        outputs = function(*static_inputs)
    flat: list[torch.Tensor] = []
    _flatten(outputs, flat)
    differentiable = [t for t in static_inputs + parameters if t.requires_grad]
    static_grads = [torch.zeros_like(o) for o in flat if o.requires_grad]
    with graph(backward_graph, pool=pool):
        grads = torch.autograd.grad([o for o in flat if o.requires_grad], differentiable, static_grads, allow_unused=allow_unused)
    by_input = iter(grads)
    static_grad_inputs = [next(by_input) if t.requires_grad else None for t in static_inputs + parameters]

    class Graphed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            for static, given in zip(static_inputs, inputs):
                static.data.copy_(given)
            forward_graph.replay()
            return tuple(o.detach().clone() for o in flat)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            for static, given in zip(static_grads, (g for o, g in zip(flat, grad_outputs) if o.requires_grad)):
                static.copy_(given)
            backward_graph.replay()
            return tuple(None if g is None else g.detach().clone() for g in static_grad_inputs)

    def replayed(*inputs: torch.Tensor) -> Any:
        return _rebuild(outputs, collections.deque(Graphed.apply(*inputs, *parameters)))

    if not isinstance(function, torch.nn.Module):
        return replayed
    original, training = function.forward, function.training
    function.forward = lambda *inputs: replayed(*inputs) if function.training == training else original(*inputs)
    return function
