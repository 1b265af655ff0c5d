"""The engine: builds the rooms bottom-up, runs programs in containers, closes everything top-down.

Takes an image's name, arguments and options; gives a Result or a Process, and the collections of images and containers.
`run` is the one-liner, on an engine that the whole program shares. Raises every PyrtError.
"""

from __future__ import annotations

from pyrt.engine.default import run
from pyrt.engine.engine import Engine

__all__ = ["Engine", "run"]
