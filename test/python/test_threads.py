"""Threads: own and shared tensors, and the interpreter lock."""

from __future__ import annotations

import collections
import contextlib
import faulthandler
import gc
import os
import threading

import pytest
import torch


def run(threads: list[threading.Thread], seconds: float) -> None:
    for t in threads:
        t.daemon = True
        t.start()
    for t in threads:
        t.join(seconds)
        assert not t.is_alive(), "a thread hangs"


def test_eight_threads_with_own_and_shared_tensors():
    shared = torch.full((64,), 2.0, device="hpu")
    torch.hpu.synchronize()
    errors: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for i in range(40):
                own = torch.full((64,), float(n), device="hpu")
                value = (own * shared + i).sum()
                assert value.item() == 64 * (2.0 * n + i)
                if i % 5 == 0:
                    with torch.hpu.stream(torch.hpu.Stream()):
                        assert (shared + n).cpu()[0].item() == 2.0 + n
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    run([threading.Thread(target=work, args=(n,)) for n in range(8)], 60)
    assert not errors, errors


SECONDS = float(os.environ.get("TORCH_HPU_GIL_SECONDS", "8"))


@pytest.fixture(scope="module")
def custom_ops():
    """One op with a Python Meta and a native kernel of its own (records), one whose kernel is Python (runs inline)."""
    library = torch.library.Library("hpu_threads_test", "FRAGMENT")
    library.define("inline(Tensor x) -> Tensor")
    library.impl("inline", lambda x: x + 1, "CPU")
    library.impl("inline", lambda x: torch.empty_like(x), "Meta")
    yield torch.ops.hpu_threads_test
    library._destroy()


def test_threads_that_hold_the_interpreter_against_threads_that_run_python_kernels(custom_ops):
    """Whoever materialises, resizes, hands out or deletes a storage may hold the GIL; whoever runs a Python kernel, Meta function or autograd
    function wants it. None may wait for the other."""
    stop = threading.Event()
    errors: list[BaseException] = []
    rounds = collections.Counter()

    def data_ptr() -> None:
        x = torch.ones(100, device="hpu") * 2
        assert x.data_ptr() != 0
        assert x.sum().item() == 200

    def dlpack() -> None:
        x = torch.full((10,), 3.0, device="hpu") + 1
        with contextlib.suppress(BufferError, RuntimeError):  # torch does not know the device's number in dlpack
            torch.utils.dlpack.to_dlpack(x)
        assert x.cpu().numpy().sum() == 40

    def resize() -> None:
        x = torch.ones(10, device="hpu") + 1
        x.untyped_storage().resize_(80)
        assert x.sum().item() == 20

    def delete() -> None:
        kept = [torch.ones(50, device="hpu") + i for i in range(20)]
        torch.hpu.mark_step()
        kept.clear()
        gc.collect(0)

    def python_kernel() -> None:
        x = torch.zeros(16, device="hpu")
        for _ in range(5):
            x = custom_ops.inline(x) * 1
        assert x.sum().item() == 80

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    def python_backward() -> None:
        x = torch.full((8,), 3.0, device="hpu", requires_grad=True)
        Square.apply(x).sum().backward()
        assert x.grad.sum().item() == 48

    def record() -> None:
        x = torch.randn(32, 32, device="hpu")
        for _ in range(20):
            x = torch.tanh(x) + 1
        torch.hpu.mark_step()

    def guarded(body):
        def loop() -> None:
            try:
                while not stop.is_set():
                    body()
                    rounds[body.__name__] += 1
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

        return loop

    bodies = (data_ptr, dlpack, resize, delete, python_kernel, python_backward, record, record)
    threads = [threading.Thread(target=guarded(b), daemon=True) for b in bodies]
    for t in threads:
        t.start()
    stop.wait(SECONDS)
    stop.set()
    for t in threads:
        t.join(60)
        if t.is_alive():
            faulthandler.dump_traceback(all_threads=True)
        assert not t.is_alive(), "a thread hangs"
    assert not errors, errors
    assert len(rounds) == 7, rounds  # nobody starved
