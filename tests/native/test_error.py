"""csrc/prt_error.h."""

from __future__ import annotations

import errno

import pytest

from tests.native.library import Csrc, Failure


def test_a_failure_says_what_was_said(csrc: Csrc) -> None:
    err = csrc.ffi.new("struct prt_error *", {"step": 7})

    assert csrc.lib.prt_fail(err, errno.ENOENT, b"open", b"/x", b"why") == -1

    assert csrc.failure(err) == Failure(errno.ENOENT, "open", "/x", "why", step=0)


def test_texts_may_lack(csrc: Csrc) -> None:
    null = csrc.ffi.NULL
    err = csrc.ffi.new("struct prt_error *")
    csrc.ffi.memmove(err, b"\xff" * csrc.ffi.sizeof("struct prt_error"), csrc.ffi.sizeof("struct prt_error"))

    assert csrc.lib.prt_fail(err, errno.EIO, null, null, null) == -1

    assert csrc.failure(err) == Failure(errno.EIO, "", "", "")
    assert bytes(csrc.ffi.buffer(err))[8:] == bytes(504)


@pytest.mark.parametrize("size", [23, 24, 255, 256, 5000])
def test_long_texts_are_cut_and_end(csrc: Csrc, size: int) -> None:
    err = csrc.ffi.new("struct prt_error *")

    csrc.lib.prt_fail(err, errno.EIO, b"o" * size, b"p" * size, b"m" * size)

    failure = csrc.failure(err)
    assert (failure.op, failure.path, failure.msg) == ("o" * min(size, 23), "p" * min(size, 255), "m" * min(size, 223))
