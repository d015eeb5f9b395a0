"""Work in processes of their own: each one's memory is its own, and one that dies takes nothing along."""

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from mllm_rec.errors import InputError

Name = TypeVar("Name")


def apart(run: Callable[..., Any], work: Mapping[Name, tuple[Any, ...]], jobs: int) -> Iterator[tuple[Name, Any]]:
    """Call ``run`` with each of the arguments, in a new process with one thread each.

    Args:
        run: a function that a new interpreter can import.
        work: arguments by name.
        jobs: processes at a time.

    Yields:
        Name and what was returned, or the ``InputError`` that says why nothing was, as they end. When this is closed, or its process
        killed, what still runs is stopped.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(work.items())
    running: dict[Connection, tuple[Name, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name, arguments = waiting.pop(0)
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_tell, args=(there, run, arguments), daemon=True)
                process.start()
                there.close()
                running[here] = name, process
            for end in wait(running):
                assert isinstance(end, Connection)
                name, process = running.pop(end)
                try:
                    value = end.recv()
                except EOFError:
                    process.join()
                    value = InputError(f"its process ended with status {process.exitcode} (-9: killed, often for want of memory)")
                process.join()
                end.close()
                yield name, value
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _tell(there: Connection, run: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        value = run(*arguments)
    except InputError as error:
        value = error
    except Exception as error:
        traceback.print_exc()
        value = InputError(f"{type(error).__name__}: {error}")
    there.send(value)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
