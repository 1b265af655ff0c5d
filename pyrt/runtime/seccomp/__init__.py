"""Seccomp filters: from Docker's and OCI profiles to the bytes that the kernel takes.

Takes a profile (None for Docker's default, JSON in Docker's or OCI form, UNCONFINED) and a container's capabilities;
gives a Program, or None for no filter. Raises InvalidOption (a profile that cannot be read), InvalidSpec (one that is
wrong, with the place) and Unsupported (what pyrt or the machine does not have).

    profile → profile.oci_document → document.read → compiler.compile_policy → Program
"""

from __future__ import annotations

from pyrt.runtime.seccomp.filters import UNCONFINED, Filters, Program, read_profile

__all__ = ["UNCONFINED", "Filters", "Program", "read_profile"]
