"""HPU Graphs as Gaudi's bridge has them: a capture runs once at its end, and inputs can be bound by reference.

The names are those of ``habana_frameworks.torch.hpu`` (``graphs.py`` there). Code for ``torch.cuda``'s semantics uses ``torch.hpu``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from torch_hpu import graphs
from torch_hpu.graph_cache import CachedParams, wrap_in_hpu_graph, wrap_in_hpu_graph_func
from torch_hpu.graph_training import ModuleCacher, make_graphed_callables
from torch_hpu.graphs import is_current_stream_capturing
from torch_hpu.signature import copy_to, input_hash, tensors_of

__all__ = [
    "CachedParams", "HPUGraph", "ModuleCacher", "copy_to", "extract_tensors", "graph", "input_hash", "is_current_stream_capturing",
    "make_graphed_callables", "wrap_in_hpu_graph", "wrap_in_hpu_graph_func",
]  # fmt: skip


class HPUGraph(graphs.HPUGraph):
    """``torch.hpu.HPUGraph`` whose capture runs once, as Gaudi's does unless ``dry_run``, and whose marked inputs can be replaced."""

    def capture_begin(
        self, dry_run: bool = False, pool: graphs.Pool | None = None, capture_error_mode: str = "global", execute: bool | None = None
    ) -> None:
        self._inputs: list[torch.Tensor] = []
        super().capture_begin(pool, capture_error_mode, not dry_run if execute is None else execute)

    def replay(self, asynchronous: bool = False) -> None:
        super().replay()

    def mark_user_inputs(self, inputs: Iterable[torch.Tensor]) -> None:
        """The tensors that ``replayV3`` replaces, in this order."""
        self._inputs = list(inputs)

    def mark_user_outputs(self, outputs: Iterable[torch.Tensor]) -> None:
        """Nothing to do: whatever nobody holds is scratch already."""

    def replayV3(self, inputs: Iterable[torch.Tensor], asynchronous: bool = False) -> None:
        """Replays on other tensors in the place of the marked ones, without copies. A marked input that the graph never reads is skipped."""
        given = list(inputs)
        if len(given) != len(self._inputs):
            raise ValueError(f"[HPUGraph] replayV3: got {len(given)} inputs, expected the {len(self._inputs)} that were marked")
        for i in self.get_user_input_match_indices():
            self.rebind(self._inputs[i], given[i])
            self._inputs[i] = given[i]
        super().replay()

    def replayV2(self, static: Iterable[torch.Tensor], inputs: Iterable[torch.Tensor], asynchronous: bool = False) -> None:
        """Replays on ``inputs`` in the place of ``static``."""
        for old, new in zip(static, inputs, strict=True):
            self.rebind(old, new)
        super().replay()

    def get_user_input_match_indices(self) -> set[int]:
        """Which of the marked inputs the graph uses."""
        return {i for i, t in enumerate(self._inputs) if self.uses(t)}

    def clear_inputs(self) -> None:
        """Drops the marked inputs. The graph does not keep its inputs alive by itself."""
        self._inputs = []


class graph(graphs.graph):
    """Context manager: captures into ``hpu_graph`` and, unless ``dry_run``, runs it once at the end."""

    def __init__(self, hpu_graph: graphs.HPUGraph, stream: torch.Stream | None = None, dry_run: bool = False) -> None:
        super().__init__(hpu_graph, stream=stream, execute=not dry_run)


def extract_tensors(value: Any) -> list[torch.Tensor]:
    """The tensors of nested arguments, in order."""
    return tensors_of(value)
