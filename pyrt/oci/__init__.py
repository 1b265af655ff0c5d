"""The documents of the Open Container Initiative as frozen values: no I/O, no clock, nothing of the host.

Takes names and bytes; gives `reference` and `digest` (names), `descriptor`, `manifest` and `image` (what registries
hold, its bytes kept as they came), `platform` and `mediatype`, `config` (what an image says of how to run it), `spec`
(config.json of the runtime-spec) and `fields` (foreign JSON, read with care). Raises InvalidReference, InvalidDigest,
InvalidSpec and ImageNotFound (an index without a fitting platform).
"""

from __future__ import annotations

__all__ = [
    "config",
    "descriptor",
    "digest",
    "fields",
    "image",
    "manifest",
    "mediatype",
    "platform",
    "reference",
    "spec",
]
