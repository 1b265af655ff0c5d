"""The documents of the Open Container Initiative as frozen values: no I/O, no clock, nothing of the host.

Gives Spec (runtime-spec, `pyrt.oci.spec`) and ImageConfig (image-spec). Raises nothing.
"""

from __future__ import annotations

from pyrt.oci.config import ImageConfig
from pyrt.oci.spec import Spec

__all__ = ["ImageConfig", "Spec"]
