"""Threads: own and shared tensors, and the interpreter lock."""

from __future__ import annotations

import os
import threading

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


def test_data_ptr_and_deletion_against_a_python_kernel():
    """Threads that hold the GIL while they materialise, resize or delete storages must not block one that records."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def guarded(body):
        def loop() -> None:
            try:
                while not stop.is_set():
                    body()
            except Exception as error:  # noqa: BLE001
                errors.append(error)

        return loop

    def materialise() -> None:
        x = torch.ones(100, device="hpu") * 2
        assert x.data_ptr() != 0
        torch.utils.dlpack.to_dlpack(torch.ones(3))

    def resize() -> None:
        x = torch.ones(10, device="hpu") + 1
        x.untyped_storage().resize_(80)
        assert x.sum().item() == 20

    def record() -> None:
        x = torch.randn(32, 32, device="hpu")
        for _ in range(20):
            x = torch.tanh(x) + 1
        torch.hpu.mark_step()

    threads = [threading.Thread(target=guarded(b)) for b in (materialise, resize, record, record)]
    for t in threads:
        t.daemon = True
        t.start()
    stop.wait(float(os.environ.get("TORCH_HPU_GIL_SECONDS", "8")))
    stop.set()
    for t in threads:
        t.join(30)
        assert not t.is_alive(), "a thread hangs"
    assert not errors, errors
