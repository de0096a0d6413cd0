"""HPU Graphs: capture and replay."""

from __future__ import annotations

import sys
import threading

import torch

from torch_hpu import _C

Pool = tuple[int, int]

_MODES = {"global": _C.CaptureMode.GLOBAL, "thread_local": _C.CaptureMode.THREAD_LOCAL, "relaxed": _C.CaptureMode.RELAXED}


class HPUGraph(_C._HPUGraph):
    """A captured series of ops; semantics of ``torch.cuda.CUDAGraph``.

    Capture records and does not run (``execute=True``: runs once at ``capture_end``). ``replay`` reads the current bytes of the tensors that
    existed before the capture and writes the tensors made in it at the same addresses each time. Python numbers are frozen: what changes
    from replay to replay, such as a learning rate under a schedule, belongs into a tensor on the device.
    """

    def capture_begin(self, pool: Pool | None = None, capture_error_mode: str = "global", execute: bool = False) -> None:
        """``capture_error_mode``: ``global`` and ``thread_local`` forbid whatever needs the host; ``relaxed`` lets the host read and write
        tensors that existed before."""
        if capture_error_mode not in _MODES:
            raise ValueError(f"capture_error_mode: got {capture_error_mode!r}, expected one of {', '.join(_MODES)}")
        _tell_transformers()
        super().capture_begin(tuple(pool) if pool is not None else (0, 0), _MODES[capture_error_mode], execute)


def graph_pool_handle() -> Pool:
    """A pool that several graphs may share."""
    return _C.graph_pool_handle()


def is_current_stream_capturing() -> bool:
    return _C.is_current_stream_capturing()


def _tell_transformers() -> None:
    """Has transformers, where it is loaded, ask for our captures where it asks for CUDA's: it then builds attention masks without looking at
    their values on the host, which no capture allows."""
    utils = sys.modules.get("transformers.utils.import_utils")
    asks_cuda = getattr(utils, "is_cuda_stream_capturing", None)
    if asks_cuda is None or hasattr(asks_cuda, "asks_hpu"):
        return

    def is_stream_capturing() -> bool:
        return asks_cuda() or is_current_stream_capturing()

    is_stream_capturing.asks_hpu = True
    utils.is_cuda_stream_capturing = is_stream_capturing


_local = threading.local()


def _capture_stream() -> torch.Stream:
    """The side stream of this thread's captures, one per device: autograd runs a backward on its forward's stream, so both must be captured on
    the same one; and captures of other threads must not meet here."""
    from torch_hpu import hpu

    streams: dict[int, torch.Stream] = _local.__dict__.setdefault("streams", {})
    device = _C.current_device()
    if device not in streams:
        streams[device] = hpu.Stream(device)
    return streams[device]


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
        self.arguments = {"pool": pool, "capture_error_mode": capture_error_mode, "execute": execute}
        self.stream = stream

    def __enter__(self) -> HPUGraph:
        from torch_hpu import hpu

        hpu.synchronize()
        self.context = hpu.stream(self.stream if self.stream is not None else _capture_stream())
        self.context.__enter__()
        try:
            self.hpu_graph.capture_begin(**self.arguments)
        except BaseException:
            self.context.__exit__(None, None, None)
            raise
        torch.clear_autocast_cache()  # a cast made before is no part of the graph: it would hold yesterday's weights
        return self.hpu_graph

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: object) -> None:
        torch.clear_autocast_cache()  # nor may anybody use one of the graph
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
