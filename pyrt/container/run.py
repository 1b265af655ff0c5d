"""Follows a started container to its end: input, output with its limits, timeout.

Takes a Process and what becomes of its streams, gives a Result. However the call is left (a timeout, a limit, Ctrl-C,
any exception), the container has ended by then.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pyrt.container.result import Result
from pyrt.container.sizes import size
from pyrt.errors import InvalidOption
from pyrt.runtime.capture import Capture, Lines, Sink
from pyrt.runtime.exit import OutputLimit, TimedOut
from pyrt.runtime.process import Process
from pyrt.runtime.stdio import TextMode

__all__ = ["Output", "check_input", "check_timeout", "follow", "text_mode"]

OnLine = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of the streams: callbacks for each line, or kept, up to `limit_bytes` each; text or bytes."""

    on_stdout: OnLine | None = None
    on_stderr: OnLine | None = None
    limit_bytes: int | None = None
    action: Literal["truncate", "kill"] = "truncate"
    text: TextMode | None = None

    @classmethod
    def read(
        cls,
        on_stdout: OnLine | None,
        on_stderr: OnLine | None,
        output_limit: int | str | None,
        output_action: str,
        text: TextMode | None,
    ) -> Output:
        """Check the caller's arguments. Raises InvalidOption."""
        for name, callback in (("on_stdout", on_stdout), ("on_stderr", on_stderr)):
            if callback is not None and not callable(callback):
                raise InvalidOption(f"{callback!r} cannot be called", argument=name)
        if output_action not in ("truncate", "kill"):
            raise InvalidOption(f"{output_action!r} is neither 'truncate' nor 'kill'", argument="output_action")
        limit = None if output_limit is None else size(output_limit, "output_limit")
        return cls(on_stdout, on_stderr, limit, "kill" if output_action == "kill" else "truncate", text)

    def sink(self, callback: OnLine | None) -> Sink:
        """Make what takes one stream."""
        if callback is None:
            return Capture(self.limit_bytes)
        if self.text is None:
            return Lines(callback)
        encoding, errors = self.text.encoding or "utf-8", self.text.errors or "strict"
        return Lines(lambda line: callback(line.decode(encoding, errors)))


def follow(process: Process, output: Output, *, input: bytes | str | None, timeout: float | None) -> Result:
    """Feed and read a container until it ends or `timeout` seconds after now, and give its Result."""
    sinks = {
        name: (stream.fileno(), output.sink(callback))
        for name, stream, callback in (
            ("stdout", process.stdout, output.on_stdout),
            ("stderr", process.stderr, output.on_stderr),
        )
        if stream is not None
    }
    names = {fd: name for name, (fd, _) in sinks.items()}

    def watch(fd: int) -> None:
        name = names[fd]
        if output.action == "kill" and output.limit_bytes is not None and sinks[name][1].is_over:
            process.end(OutputLimit(name, output.limit_bytes))

    with process:
        raw = encode(input, output.text)
        if not process.pump(dict(sinks.values()), raw, timeout, watch):
            process.end(TimedOut(timeout or 0))
            process.pump(dict(sinks.values()))
        process.wait()
        return result(process, output, {name: sink for name, (_, sink) in sinks.items()})


def result(process: Process, output: Output, sinks: dict[str, Sink]) -> Result:
    """Put together what is known at the end."""
    kept = {name: sink for name, sink in sinks.items() if isinstance(sink, Capture)}
    assert process.returncode is not None and process.exit_cause is not None
    return Result(
        process.args,
        process.returncode,
        *(said(kept[name], output.text) if name in kept else None for name in ("stdout", "stderr")),
        exit_cause=process.exit_cause,
        usage=process.usage(),
        effective=process.effective,
        timings=process.timings,
        stdout_omitted_bytes=kept["stdout"].omitted_bytes if "stdout" in kept else 0,
        stderr_omitted_bytes=kept["stderr"].omitted_bytes if "stderr" in kept else 0,
    )


def encode(input: bytes | str | None, text: TextMode | None) -> bytes | None:
    """Give the bytes of the input."""
    if isinstance(input, str):
        return input.encode((text and text.encoding) or "utf-8", (text and text.errors) or "strict")
    return input


def said(kept: Capture, text: TextMode | None) -> bytes | str:
    """Give the output as bytes, or as text with universal newlines."""
    if text is None:
        return kept.bytes()
    errors = text.errors or ("replace" if kept.omitted_bytes else "strict")  # a limit may have cut a character
    return io.TextIOWrapper(io.BytesIO(kept.bytes()), text.encoding, errors).read()


def check_input(input: Any, stdin: Any, text: TextMode | None) -> None:
    """Raise InvalidOption for an input that the streams cannot take."""
    if input is None:
        return
    if stdin is not None:
        raise InvalidOption("cannot be given together with stdin", argument="input")
    if isinstance(input, str) and text is None:
        raise InvalidOption("is text, but the streams are bytes: give text=True or bytes", argument="input")
    if not isinstance(input, (str, bytes, bytearray, memoryview)):
        raise InvalidOption(f"{type(input).__name__} is neither bytes nor str", argument="input")


def text_mode(text: bool | None, encoding: str | None, errors: str | None) -> TextMode | None:
    """Give how to read the streams, or None for bytes. Raises InvalidOption for what Python does not know."""
    for name, value, find in (("encoding", encoding, codecs.lookup), ("errors", errors, codecs.lookup_error)):
        try:
            if value is not None:
                find(value)
        except (LookupError, TypeError, ValueError) as error:
            raise InvalidOption(str(error), argument=name) from error
    return TextMode(encoding, errors) if text or encoding or errors else None


def check_timeout(timeout: float | None) -> None:
    """Raise InvalidOption for what is no duration."""
    given: object = timeout
    if given is None or (isinstance(given, (int, float)) and not isinstance(given, bool) and given >= 0):
        return
    raise InvalidOption(f"{timeout!r} is not a number of seconds", argument="timeout")
