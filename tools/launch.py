#!/usr/bin/env python3
"""Starts a program several times, as the ranks of one process group: tools/launch.py -n 4 build/examples/train_gpt --max_steps 100

Any program will do, a C++ one or a Python script. Every worker finds RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT in
its environment, as torchrun would set them, and its share of the cores in OMP_NUM_THREADS unless that is set. When a worker fails, the others get a
few seconds to notice and end by themselves, then they are ended; the exit status is that of the first that failed (128 + signal number for a signal).
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import IO


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="launch.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--nproc", type=int, default=2, help="number of workers on this machine (default 2)")
    parser.add_argument("--nnodes", type=int, default=1, help="number of machines; each runs this launcher (default 1)")
    parser.add_argument("--node-rank", type=int, default=0, help="which of the machines this is (default 0)")
    parser.add_argument("--master-addr", default="127.0.0.1", help="address of the machine of rank 0 (default 127.0.0.1)")
    parser.add_argument("--master-port", type=int, default=0, help="port on that machine (default: a free one)")
    parser.add_argument("--grace", type=float, default=10, help="seconds that the others get to end by themselves (default 10)")
    parser.add_argument("--no-prefix", action="store_true", help="pass the workers' output on as it is, without '[rank] ' before each line")
    parser.add_argument("program", help="an executable, or a script that ends in .py")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    args = parser.parse_args(arguments)
    if args.nproc < 1:
        parser.error(f"--nproc: got {args.nproc}, expected at least 1")
    if not 0 <= args.node_rank < args.nnodes:
        parser.error(f"--node-rank: got {args.node_rank}, expected 0 to {args.nnodes - 1}")
    if args.nnodes > 1 and args.master_port == 0:
        parser.error("--master-port: several machines have to agree on one, so it must be given")
    return args


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def say(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)


def outcome(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    return f"was ended by signal {-status} ({signal.Signals(-status).name})"


class Worker:
    """One rank: a process in a session of its own, and the threads that pass its output on."""

    def __init__(self, args: argparse.Namespace, local_rank: int, port: int) -> None:
        self.rank = args.node_rank * args.nproc + local_rank
        environment = dict(os.environ)
        environment.update(
            RANK=str(self.rank), LOCAL_RANK=str(local_rank), WORLD_SIZE=str(args.nnodes * args.nproc), LOCAL_WORLD_SIZE=str(args.nproc),
            GROUP_RANK=str(args.node_rank), MASTER_ADDR=args.master_addr, MASTER_PORT=str(port),
        )  # fmt: skip
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.nproc)))
        command = [sys.executable] if args.program.endswith(".py") else []
        pipe = None if args.no_prefix else subprocess.PIPE
        self.process = subprocess.Popen(
            [*command, args.program, *args.arguments], env=environment, stdout=pipe, stderr=pipe, start_new_session=True
        )
        self.threads: list[threading.Thread] = []
        if not args.no_prefix:
            assert self.process.stdout is not None and self.process.stderr is not None
            for source, sink in ((self.process.stdout, sys.stdout), (self.process.stderr, sys.stderr)):
                self.threads.append(threading.Thread(target=self._pass_on, args=(source, sink), daemon=True))
                self.threads[-1].start()

    def _pass_on(self, source: IO[bytes], sink: IO[str]) -> None:
        for line in source:
            sink.write(f"[{self.rank}] {line.decode(errors='replace').rstrip()}\n")
            sink.flush()

    def name(self) -> str:
        return f"rank {self.rank} (pid {self.process.pid})"

    def kill(self, number: int) -> None:
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass


def supervise(workers: list[Worker], grace: float) -> int:
    """Waits for all; returns the exit status."""
    failed: Worker | None = None
    deadline = float("inf")
    sent = 0
    running = list(workers)
    while running:
        for worker in list(running):
            status = worker.process.poll()
            if status is None:
                continue
            running.remove(worker)
            if status == 0:
                continue
            if failed is None:
                failed, deadline = worker, time.monotonic() + grace
                say(f"{worker.name()} {outcome(status)}" + (f"; the others have {grace:g} s to end by themselves" if running else ""))
            else:
                say(f"{worker.name()} {outcome(status)} after it")
        if running and time.monotonic() >= deadline:
            number = signal.SIGTERM if sent == 0 else signal.SIGKILL
            say(f"ending {', '.join(w.name() for w in running)} with {number.name}")
            for worker in running:
                worker.kill(number)
            sent, deadline = sent + 1, time.monotonic() + 5
        time.sleep(0.02)
    for worker in workers:
        for thread in worker.threads:
            thread.join(timeout=2)
    if failed is None:
        return 0
    status = failed.process.returncode
    return status if status > 0 else 128 - status


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    port = args.master_port or free_port()
    workers: list[Worker] = []

    def interrupted(number: int, _: FrameType | None) -> None:
        for worker in workers:
            worker.kill(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    try:
        for local_rank in range(args.nproc):
            workers.append(Worker(args, local_rank, port))
    except OSError as error:
        say(f"cannot start {args.program}: {error.strerror}")
        for worker in workers:
            worker.kill(signal.SIGKILL)
        return 127
    return supervise(workers, args.grace)


if __name__ == "__main__":
    sys.exit(main())
