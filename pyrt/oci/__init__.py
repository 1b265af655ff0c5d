"""The documents of the Open Container Initiative as frozen values: no I/O, no clock, nothing of the host.

Takes plain values, gives `spec` (config.json of the runtime-spec) and `config` (what an image says of how to run it).
Raises nothing.
"""

from __future__ import annotations

__all__ = ["config", "spec"]
