"""The backend ``hccl`` of ``torch.distributed`` for hpu tensors, on Gloo.

``import torch`` registers it, so ``torch.distributed.init_process_group("hccl")`` works by itself, and ``"cpu:gloo,hpu:hccl"`` serves tensors of
both kinds. Collectives are recorded in the order of the stream: none of them waits on the host, but ``barrier`` and ``wait(timeout)``.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

__all__ = ["initialize_distributed_hpu", "register_backend"]


def _create(options: Any, backend_options: Any) -> Any:  # c10d.DistributedBackendOptions -> c10d.Backend
    from torch_hpu import _C

    timeout = options.timeout if isinstance(options.timeout, timedelta) else timedelta(seconds=float(options.timeout))
    return _C._make_hccl_backend(options.store, options.group_rank, options.group_size, timeout, list(options.global_ranks_in_group))


def register_backend() -> None:
    """Makes ``hccl`` known to torch.distributed; harmless when repeated, and where torch was built without it."""
    import torch.distributed as dist

    if dist.is_available() and "hccl" not in dist.Backend.backend_list:
        dist.Backend.register_backend("hccl", _create, extended_api=True, devices=["hpu"])


def initialize_distributed_hpu(
    world_size: int | None = None, rank: int | None = None, local_rank: int | None = None
) -> tuple[int, int, int]:
    """World size, rank and local rank: the given ones, or as the launcher has left them in the environment (of torchrun, or Open MPI).

    It sets the variables that ``init_process_group`` reads, as the function of this name in Gaudi's bridge does.
    """

    def value(given: int | None, names: tuple[str, ...], default: int) -> int:
        if given is not None:
            return given
        found = (os.environ[name] for name in names if name in os.environ)
        return int(next(found, default))

    world = value(world_size, ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"), 1)
    this = value(rank, ("RANK", "OMPI_COMM_WORLD_RANK"), 0)
    local = value(local_rank, ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"), this)
    if not 0 <= this < world:
        raise ValueError(f"[initialize_distributed_hpu] got rank {this}, expected 0 to {world - 1}")
    os.environ.update({"WORLD_SIZE": str(world), "RANK": str(this), "LOCAL_RANK": str(local)})
    return world, this, local
