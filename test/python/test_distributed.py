"""The c10d backend hccl, in processes of their own: every collective on hpu tensors against Gloo on CPU tensors, order, errors, DDP, lost ranks.

The file is its own worker: `tools/launch.py test_distributed.py FOLDER PART` runs the functions named PART_... and leaves what went wrong in FOLDER.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

ROOT = Path(__file__).parents[2]
CHECK_DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool,
    torch.complex64, torch.float8_e4m3fn,
]  # fmt: skip
FEW_DTYPES = [torch.float32, torch.bfloat16, torch.int16, torch.bool]  # where all would take long


def launch(folder: Path, part: str, ranks: int, *more: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, OMP_NUM_THREADS="1", TORCH_HPU_TIER="compiled", PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    command = [sys.executable, str(ROOT / "tools/launch.py"), "-n", str(ranks), *more, __file__, str(folder), part]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=120)


# ---- what a worker does


def values(rank: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Small whole numbers that differ from rank to rank."""
    n = torch.Size(shape).numel()
    numbers = (torch.arange(n) * 7 + rank * 3) % 5
    if dtype == torch.bool:
        return (numbers > 2).reshape(shape)
    if dtype.is_complex:
        return torch.complex(numbers.float(), numbers.float() + rank).to(dtype).reshape(shape)
    return numbers.to(dtype).reshape(shape)


Move = Callable[[Callable[..., torch.Tensor], int, int, bool], list[torch.Tensor]]


def done(work: dist.Work | None, asynchronous: bool) -> None:
    assert (work is not None) == asynchronous
    if work is not None:
        work.wait()


def broadcast(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    t = new(rank, (3, 4))
    done(dist.broadcast(t, size - 1, async_op=a), a)
    return [t]


def all_gather(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    out = [new(9, (3, 4)) for _ in range(size)]
    done(dist.all_gather(out, new(rank, (3, 4)), async_op=a), a)
    return out


def all_gather_into_tensor(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    out = new(9, (3 * size, 4))
    done(dist.all_gather_into_tensor(out, new(rank, (3, 4)), async_op=a), a)
    return [out]


def gather(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    out = [new(9, (5, 2)) for _ in range(size)] if rank == 1 else []
    done(dist.gather(new(rank, (5, 2)), out or None, dst=1, async_op=a), a)
    return out


def scatter(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    out = new(9, (2, 3))
    done(dist.scatter(out, [new(r, (2, 3)) for r in range(size)] if rank == 0 else None, src=0, async_op=a), a)
    return [out]


def all_to_all(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    out = [new(9, (2, 3)) for _ in range(size)]
    done(dist.all_to_all(out, [new(rank + r, (2, 3)) for r in range(size)], async_op=a), a)
    return out


def all_to_all_single(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    out = new(9, (size * 2, 3))
    done(dist.all_to_all_single(out, new(rank, (size * 2, 3)), async_op=a), a)
    return [out]


def all_to_all_uneven(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    sent = [(rank + r) % 3 for r in range(size)]  # symmetric: what r sends to me, I send to r
    out = new(9, (sum(sent), 3))
    done(dist.all_to_all_single(out, new(rank, (sum(sent), 3)), sent, sent, async_op=a), a)
    return [out]


def send_recv(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    out = new(9, (4, 2))
    mine = new(rank, (4, 2))
    after, before = (rank + 1) % size, (rank - 1) % size
    if a:
        works = [dist.irecv(out, before), dist.isend(mine, after)]
        for work in works:
            work.wait()
    elif rank % 2 == 0:
        dist.send(mine, after)
        dist.recv(out, before)
    else:
        dist.recv(out, before)
        dist.send(mine, after)
    return [out]


def batch_send_recv(new: Callable[..., torch.Tensor], rank: int, size: int, a: bool) -> list[torch.Tensor]:
    out = [new(9, (4, 2)), new(9, (3,))]
    ops = [
        dist.P2POp(dist.irecv, out[0], (rank - 1) % size), dist.P2POp(dist.isend, new(rank, (4, 2)), (rank + 1) % size),
        dist.P2POp(dist.irecv, out[1], (rank + 1) % size, tag=5), dist.P2POp(dist.isend, new(rank, (3,)), (rank - 1) % size, tag=5),
    ]  # fmt: skip
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    return out


MOVES: list[Move] = [
    broadcast, all_gather, all_gather_into_tensor, gather, scatter, all_to_all, all_to_all_single, all_to_all_uneven, send_recv, batch_send_recv,
]  # fmt: skip


def check_move(move: Move, rank: int, size: int) -> None:
    """Moving collectives: the same bytes as Gloo moves on the CPU, where they travel as bytes, for it does not have all dtypes."""
    for dtype in CHECK_DTYPES if size == 2 else FEW_DTYPES:
        for asynchronous in (False, True):
            got = move(lambda r, s, d=dtype: values(r, s, d).to("hpu"), rank, size, asynchronous)
            expected = move(lambda r, s, d=dtype: values(r, s, d).view(torch.uint8).clone(), rank, size, asynchronous)
            assert len(got) == len(expected)
            for g, e in zip(got, expected, strict=True):
                assert g.device.type == "hpu" and g.dtype == dtype
                assert torch.equal(g.cpu().view(torch.uint8), e), f"{dtype} async={asynchronous}: {g.cpu()} is not {e.view(dtype)}"


def all_reduce(t: torch.Tensor, op: dist.ReduceOp, size: int, a: bool) -> torch.Tensor:
    done(dist.all_reduce(t, op, async_op=a), a)
    return t


def reduce(t: torch.Tensor, op: dist.ReduceOp, size: int, a: bool) -> torch.Tensor:
    done(dist.reduce(t, size - 1, op, async_op=a), a)
    return t if dist.get_rank() == size - 1 else t[:0]


def reduce_scatter_tensor(t: torch.Tensor, op: dist.ReduceOp, size: int, a: bool) -> torch.Tensor:
    out = torch.empty(t.numel() // size, dtype=t.dtype, device=t.device)
    done(dist.reduce_scatter_tensor(out, t, op, async_op=a), a)
    return out


def reduce_scatter(t: torch.Tensor, op: dist.ReduceOp, size: int, a: bool) -> torch.Tensor:
    out = torch.empty(t.numel() // size, dtype=t.dtype, device=t.device)
    done(dist.reduce_scatter(out, list(t.chunk(size)), op, async_op=a), a)
    return out


REDUCTIONS = [all_reduce, reduce, reduce_scatter_tensor, reduce_scatter]
OPS = ["SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR"]


def check_reduction(reduction: Callable[..., torch.Tensor], rank: int, size: int) -> None:
    for dtype in CHECK_DTYPES if size == 2 and reduction is all_reduce else FEW_DTYPES:
        whole = not dtype.is_floating_point and not dtype.is_complex
        for name in OPS:
            if (
                (name.startswith("B") and not whole)
                or (dtype.is_complex and name not in ("SUM", "AVG"))
                or (dtype == torch.bool and name == "AVG")
            ):
                continue
            # Gloo on the CPU has not all dtypes: the wider one is exact for these numbers.
            wide = torch.int64 if whole else dtype if dtype.is_complex else torch.float32
            op = getattr(dist.ReduceOp, name)
            for asynchronous in (False, True):
                mine = values(rank, (4 * size,), dtype)
                average = name == "AVG"
                expected = reduction(mine.to(wide, copy=True), dist.ReduceOp.SUM if average else op, size, False)
                expected = (expected.div(size, rounding_mode="trunc") if whole else expected / size) if average else expected
                got = reduction(mine.to("hpu"), op, size, asynchronous)
                assert got.dtype == dtype
                assert torch.equal(got.cpu(), expected.to(dtype)), f"{dtype} {name} async={asynchronous}: {got.cpu()} is not {expected}"


def collectives_premultiplied_sum(rank: int, size: int) -> None:
    t = torch.full((3,), rank + 1.0, device="hpu")
    dist.all_reduce(t, dist._make_nccl_premul_sum(0.5))
    assert torch.equal(t.cpu(), torch.full((3,), 0.5 * size * (size + 1) / 2))


def collectives_layouts(rank: int, size: int) -> None:
    """Views, transposed tensors, conjugates, empty tensors and parts of a storage."""
    base = torch.arange(24.0, device="hpu").reshape(4, 6) + rank
    part = base.t()[1:3]
    dist.all_reduce(part)
    expected = torch.arange(24.0).reshape(4, 6) + rank
    expected[:, 1:3] = sum((torch.arange(24.0).reshape(4, 6) + r)[:, 1:3] for r in range(size))
    assert torch.equal(base.cpu(), expected)
    wide = torch.full((2, 3, 4, 5), float(rank), device="hpu").to(memory_format=torch.channels_last)
    dist.broadcast(wide, 1)
    assert wide.is_contiguous(memory_format=torch.channels_last) and torch.equal(wide.cpu(), torch.ones(2, 3, 4, 5))
    z = torch.complex(torch.ones(3), torch.full((3,), float(rank))).to("hpu").conj().imag
    assert z.is_neg()
    gathered = [torch.empty(3, device="hpu") for _ in range(size)]
    dist.all_gather(gathered, z)
    assert [g[0].item() for g in gathered] == [-float(r) for r in range(size)]
    out = torch.zeros(size, 3, device="hpu")
    dist.all_gather(list(out.unbind()), torch.full((3,), float(rank), device="hpu"))
    assert torch.equal(out.cpu(), torch.arange(float(size))[:, None].expand(size, 3))
    empty = torch.empty(0, 4, device="hpu")
    dist.all_reduce(empty)
    dist.broadcast(empty, 0)
    assert empty.cpu().shape == (0, 4)
    leaf = nn.Parameter(torch.full((2,), float(rank), device="hpu"))
    dist.broadcast(leaf, 0)
    assert leaf.requires_grad and torch.equal(leaf.detach().cpu(), torch.zeros(2))


def collectives_order(rank: int, size: int) -> None:
    """Recorded work, collectives and more recorded work on the same bytes, without a wait in between."""
    x, c = torch.arange(64.0), torch.arange(64.0)
    h = x.to("hpu")
    for step in range(20):
        h = h * 0.5 + rank
        c = c * 0.5 + rank
        dist.all_reduce(h, async_op=True)
        dist.all_reduce(c)
        snapshot = h.clone()
        h.mul_(0.25).add_(step)
        c_snapshot = c.clone()
        c = c * 0.25 + step
        if step % 7 == 0:
            assert torch.equal(snapshot.cpu(), c_snapshot)
    assert torch.equal(h.cpu(), c)
    many = [torch.full((5,), float(i + rank), device="hpu") for i in range(50)]
    works = [dist.all_reduce(t, async_op=True) for t in many]
    for i in reversed(range(50)):
        assert many[i][0].item() == size * i + size * (size - 1) / 2
    assert all(w.is_completed() and w.is_success() for w in works)
    dist.all_reduce(torch.ones(1000, device="hpu"), async_op=True)  # nobody keeps the tensor or the work
    t = torch.ones(4, device="hpu")
    side = torch.Stream(device="hpu")
    dist.all_reduce(t, async_op=True)
    with side:
        u = t * 2
    assert torch.equal(u.cpu(), torch.full((4,), 2.0 * size))


def collectives_no_host_wait(rank: int, size: int) -> None:
    """A rank whose peer is late goes on recording; a wait with a time does wait."""
    t = torch.ones(4, device="hpu")
    dist.all_reduce(t)
    torch.hpu.synchronize()
    dist.barrier()
    if rank == 1:
        time.sleep(1.0)
    begin = time.monotonic()
    work = dist.all_reduce(t, async_op=True)
    u = t + 1
    dist.all_reduce(t)  # not even this one
    recorded = time.monotonic() - begin
    if rank == 0:
        assert recorded < 0.5 and not work.is_completed()
        with pytest.raises(dist.DistBackendError, match="timed out after 50 ms"):
            work.wait(timedelta(milliseconds=50))
    assert u[0].item() == size * size + 1
    assert t[0].item() == size * size * size


def collectives_future(rank: int, size: int) -> None:
    t = torch.full((2,), float(rank), device="hpu")
    future = dist.all_reduce(t, async_op=True).get_future().then(lambda f: f.value()[0] + 1)
    assert future.wait()[0].item() == size * (size - 1) / 2 + 1


def collectives_objects(rank: int, size: int) -> None:
    gathered: list[object] = [None] * size
    dist.all_gather_object(gathered, {"rank": rank})
    assert gathered == [{"rank": r} for r in range(size)]
    things = [rank, "x" * rank]
    dist.broadcast_object_list(things, src=1)
    assert things == [1, "x"]


def collectives_functional(rank: int, size: int) -> None:
    import torch.distributed._functional_collectives as functional

    t = torch.full((size,), float(rank), device="hpu")
    assert functional.all_reduce(t, "sum", dist.group.WORLD)[0].item() == size * (size - 1) / 2
    assert functional.all_gather_single(t, 0, dist.group.WORLD).cpu().tolist() == [float(r) for r in range(size) for _ in range(size)]
    assert functional.reduce_scatter_single(t, "sum", 0, dist.group.WORLD).cpu().tolist() == [size * (size - 1) / 2]


def collectives_any_source(rank: int, size: int) -> None:
    t = torch.zeros(2, device="hpu")
    if rank == 0:
        seen = {dist.recv(t) for _ in range(size - 1)}
        assert seen == set(range(1, size))
    else:
        dist.send(torch.full((2,), float(rank), device="hpu"), 0)


def collectives_groups(rank: int, size: int) -> None:
    pair = dist.new_group([size - 2, size - 1])
    if rank >= size - 2:
        t = torch.full((2,), float(rank), device="hpu")
        dist.all_reduce(t, group=pair)
        assert t[0].item() == 2 * size - 3
        with pytest.raises(ValueError, match=r"\[hccl\] broadcast: got source rank 7, expected 0 to 1"):
            dist.broadcast(t, group=pair, group_src=7)
    dist.barrier()


def collectives_errors(rank: int, size: int) -> None:
    t = torch.ones(4, device="hpu")
    hccl = dist.new_group(backend="hccl")
    with pytest.raises(RuntimeError, match="No backend type associated with device type cpu"):
        dist.all_reduce(torch.ones(2), group=hccl)
    raises(ValueError, "got 1 output tensors .one for each rank., expected", lambda: dist.all_gather([t], t) if size > 1 else None)
    raises(ValueError, r"all_gather: an output has shape \[3\], that is 3 elements, expected 4",
           lambda: dist.all_gather([torch.ones(3, device="hpu")] * size, t))  # fmt: skip
    raises(TypeError, "all_gather: an output has dtype Int, expected Float", lambda: hccl._get_backend(torch.device("hpu")).allgather(
        [[torch.ones(4, device="hpu", dtype=torch.int32)] * size], [t]).wait())  # fmt: skip
    raises(RuntimeError, r"all_gather: got a tensor on cpu, expected one on hpu", lambda: dist.all_gather([torch.ones(4)] * size, t))
    raises(TypeError, "BAND needs integers, got Float", lambda: dist.all_reduce(t, dist.ReduceOp.BAND))
    raises(TypeError, "AVG is not defined for bool", lambda: dist.all_reduce(t > 0, dist.ReduceOp.AVG))
    raises(ValueError, r"reduce_scatter: the input has shape \[5\], that is 5 elements, expected",
           lambda: dist.reduce_scatter_tensor(torch.ones(2, device="hpu"), torch.ones(5, device="hpu")))  # fmt: skip
    raises(ValueError, "the input has 5 rows, expected a multiple of the group's size",
           lambda: dist.all_to_all_single(torch.ones(4, device="hpu"), torch.ones(5, device="hpu")))  # fmt: skip
    graph = torch.hpu.HPUGraph()
    with pytest.raises(RuntimeError, match=r"all_reduce.* needs the host"), torch.hpu.graph(graph):
        dist.all_reduce(t)
    dist.all_reduce(t)  # nothing of this has harmed the group
    assert t[0].item() == size


def raises(kind: type[Exception], pattern: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=pattern):
        call()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 16)
        self.first, self.second = nn.Linear(16, 64), nn.Linear(64, 16)
        self.norm = nn.LayerNorm(16)
        self.last = nn.Linear(16, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        x = self.norm(x + self.second(nn.functional.gelu(self.first(x))))
        return self.last(x.mean(1))


def trained(module: nn.Module, tokens: torch.Tensor, labels: torch.Tensor, steps: int, accumulate: bool) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        if accumulate:
            with module.no_sync():
                (nn.functional.cross_entropy(module(tokens[:3]), labels[:3]) * 0.5).backward()
            (nn.functional.cross_entropy(module(tokens[3:]), labels[3:]) * 0.5).backward()
        else:
            nn.functional.cross_entropy(module(tokens), labels).backward()
        optimizer.step()


def check_ddp(rank: int, size: int, accumulate: bool = False, **options: object) -> None:
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(1)
    alone, many = Net().to("hpu"), Net().to("hpu")
    if rank == 0:
        many.load_state_dict(alone.state_dict())  # DDP hands rank 0's to all
    alone.unused, many.unused = (nn.Identity(), nn.Identity()) if not options.get("find_unused_parameters") else (alone.unused, many.unused)
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, 11, (6 * size, 5), generator=generator).to("hpu")
    labels = torch.randint(0, 3, (6 * size,), generator=generator).to("hpu")
    parallel = DistributedDataParallel(many, **options)
    trained(parallel, tokens[6 * rank : 6 * rank + 6], labels[6 * rank : 6 * rank + 6], 6, accumulate)
    trained(alone, tokens, labels, 6, False)
    for (name, p), q in zip(many.named_parameters(), alone.parameters(), strict=True):
        assert torch.allclose(p.cpu(), q.cpu(), atol=1e-5, rtol=0), f"{name}: {(p - q).abs().max().item()}"


def collectives_ddp(rank: int, size: int) -> None:
    check_ddp(rank, size)


def collectives_ddp_buckets(rank: int, size: int) -> None:
    check_ddp(rank, size, bucket_cap_mb=0.002, gradient_as_bucket_view=True)


def collectives_ddp_accumulates(rank: int, size: int) -> None:
    check_ddp(rank, size, accumulate=True)


def collectives_ddp_unused(rank: int, size: int) -> None:
    check_ddp(rank, size, find_unused_parameters=True)


COLLECTIVES: dict[str, Callable[[int, int], None]] = {m.__name__: (lambda r, s, m=m: check_move(m, r, s)) for m in MOVES}
COLLECTIVES |= {f.__name__: (lambda r, s, f=f: check_reduction(f, r, s)) for f in REDUCTIONS}
COLLECTIVES |= {name[12:]: f for name, f in list(globals().items()) if name.startswith("collectives_")}


def run_collectives(folder: Path) -> None:
    dist.init_process_group("cpu:gloo,hpu:hccl", timeout=timedelta(seconds=20))
    rank, size = dist.get_rank(), dist.get_world_size()
    failures = {}
    for name, case in COLLECTIVES.items():
        begin = time.monotonic()
        try:
            case(rank, size)
            failures[name] = ""
        except Exception:  # noqa: BLE001 - whatever it is, the test reports it
            failures[name] = traceback.format_exc()
        if rank == 0:
            print(f"{name}: {time.monotonic() - begin:.2f} s {'FAILED' if failures[name] else ''}", flush=True)
        (folder / f"{rank}.json").write_text(json.dumps(failures))
        dist.barrier()
    dist.destroy_process_group()


def run_killed(folder: Path, pause: float = 0.1) -> None:
    """Rank 1 dies between two collectives; rank 2 comes to the second one after so many seconds."""
    dist.init_process_group("hccl", timeout=timedelta(seconds=20))
    t = torch.ones(1000, device="hpu")
    dist.all_reduce(t)
    t.cpu()
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(pause if dist.get_rank() == 2 else 0.1)
    dist.all_reduce(t)
    (folder / f"{dist.get_rank()}.txt").write_text("recorded")
    t.cpu()


def run_killed_behind(folder: Path) -> None:
    """Rank 2 fails when rank 0, which holds the store, has long found out who is lost and is gone."""
    run_killed(folder, 5)


def run_late(folder: Path) -> None:
    """Rank 1 is alive and does something else."""
    dist.init_process_group("hccl", timeout=timedelta(seconds=2))
    t = torch.ones(10, device="hpu")
    dist.all_reduce(t)
    t.cpu()
    if dist.get_rank() == 1:
        for _ in range(100):
            time.sleep(0.1)
            if (folder / "0.txt").exists():
                return
    try:
        dist.broadcast(t, 1)
        torch.hpu.synchronize()
    except dist.DistBackendError as error:
        (folder / f"{dist.get_rank()}.txt").write_text(str(error))


def run_left(folder: Path) -> None:
    """A process that ends with a receive that nobody answers, and without destroying its group, ends at once."""
    dist.init_process_group("hccl")
    t = torch.ones(10, device="hpu")
    dist.all_reduce(t)
    t.cpu()
    if dist.get_rank() == 0:
        dist.irecv(t, 1)
        dist.all_reduce(torch.ones(3, device="hpu"), async_op=True)
        time.sleep(0.2)


# ---- the tests


@pytest.fixture(scope="module", params=[2, 4])
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    result = launch(folder, "collectives", request.param)
    assert result.returncode == 0, result.stdout + result.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(request.param)]


@pytest.mark.parametrize("name", COLLECTIVES)
def test_collective(name: str, reports: list[dict[str, str]]) -> None:
    for rank, report in enumerate(reports):
        assert report[name] == "", f"on rank {rank} of {len(reports)}: {report[name]}"


@pytest.mark.parametrize("part", ["killed", "killed_behind"])
def test_killed_rank_is_named(tmp_path: Path, part: str) -> None:
    begin = time.monotonic()
    result = launch(tmp_path, part, 3)
    assert time.monotonic() - begin < 60  # of which most is the start of Python
    assert result.returncode == 128 + signal.SIGKILL, result.stdout + result.stderr
    assert re.search(r"launch: rank 1 \(pid \d+\) was ended by signal 9 \(SIGKILL\)", result.stderr)
    for rank in (0, 2):
        if part == "killed" or rank == 0:  # the others may hear of it in the call
            assert (tmp_path / f"{rank}.txt").read_text() == "recorded"  # the failure comes with the read, seconds later
        assert re.search(
            rf"\[{rank}\] .*DistBackendError.*\[hccl\] all_reduce has failed on rank {rank} of 3: rank 1 is lost", result.stderr
        )


def test_killed_holder_of_the_store(tmp_path: Path) -> None:
    code = Path(__file__).read_text().replace("if dist.get_rank() == 1:\n        os.kill", "if dist.get_rank() == 0:\n        os.kill")
    (tmp_path / "worker.py").write_text(code)
    command = [sys.executable, str(ROOT / "tools/launch.py"), "-n", "2", str(tmp_path / "worker.py"), str(tmp_path), "killed"]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert result.returncode == 128 + signal.SIGKILL
    assert re.search(r"all_reduce has failed on rank 1 of 2: .*rank 0.* is lost", result.stderr), result.stderr


def test_late_rank_is_named(tmp_path: Path) -> None:
    result = launch(tmp_path, "late", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "rank 1 is alive but has come only to its collective 1 (all_reduce), this rank is at 2" in (tmp_path / "0.txt").read_text()


def test_exit_does_not_wait_for_peers(tmp_path: Path) -> None:
    begin = time.monotonic()
    result = launch(tmp_path, "left", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - begin < 40  # a peer that is waited for would take half an hour


def test_backend_is_registered() -> None:
    assert dist.Backend.default_device_backend_map["hpu"] == "hccl"
    assert dist.is_backend_available("hccl")


def test_launcher_reports(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import os, pathlib, sys, time\n"
        "r, here = int(os.environ['RANK']), pathlib.Path(__file__).parent\n"
        "print('hello', os.environ['WORLD_SIZE'], flush=True)\n"
        "(here / f'started{r}').touch()\n"
        "while r == 2 and len(list(here.glob('started*'))) < 3: time.sleep(0.01)\n"
        "if r == 2: sys.exit(7)\n"
        "time.sleep(30)\n"
    )
    command = [sys.executable, str(ROOT / "tools/launch.py"), "-n", "3", "--grace", "0.5", str(script)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert result.returncode == 7
    assert sorted(result.stdout.splitlines()) == [f"[{r}] hello 3" for r in range(3)]
    assert re.search(r"rank 2 \(pid \d+\) exited with status 7; the others have 0.5 s", result.stderr)
    assert re.search(r"rank 0 \(pid \d+\) was ended by signal 15 \(SIGTERM\) after it", result.stderr)
    missing = subprocess.run([*command[:2], "no/such/program"], check=False, capture_output=True, text=True)
    assert missing.returncode == 127 and "cannot start no/such/program: No such file" in missing.stderr


def test_initialize_distributed_hpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_hpu.distributed import initialize_distributed_hpu

    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "3")
    assert initialize_distributed_hpu(world_size=8) == (8, 3, 3)
    with pytest.raises(ValueError, match="got rank 3, expected 0 to 2"):
        initialize_distributed_hpu(world_size=3)


if __name__ == "__main__":
    globals()[f"run_{sys.argv[2]}"](Path(sys.argv[1]))
