"""The engine that a whole program shares, behind `pyrt.run`."""

from __future__ import annotations

import atexit
import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from pyrt.engine.engine import Engine

__all__ = ["run"]

P = ParamSpec("P")
T = TypeVar("T")


class _DefaultEngine:
    """The engine of `run`: made at its first call, anew in a forked child, closed when the program ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._owner = 0
        os.register_at_fork(after_in_child=self._forget)

    def get(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = Engine()
                atexit.register(self._engine.close)
            return self._engine

    def _forget(self) -> None:
        self._lock = threading.Lock()
        if self._engine is not None:
            self._engine.close()
            self._engine = None


_default = _DefaultEngine()


def shared(method: Callable[Concatenate[Engine, P], T]) -> Callable[P, T]:
    """Make a function of a method: the same on the engine that the whole program shares."""

    @functools.wraps(method)
    def call(*args: P.args, **arguments: P.kwargs) -> T:
        return method(_default.get(), *args, **arguments)

    signature = inspect.signature(method)
    call.__dict__["__signature__"] = signature.replace(parameters=list(signature.parameters.values())[1:])
    return call


run = shared(Engine.run)
