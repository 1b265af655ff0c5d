"""Instructions of commit and import: what they make of a configuration, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidOption
from pyrt.image.changes import Changed, change
from pyrt.oci.config import ImageConfig

OLD = ImageConfig(
    env=("PATH=/bin", "A=1"),
    entrypoint=("/old",),
    cmd=("old",),
    working_dir="/srv/app",
    volumes=("/v",),
    exposed_ports=("80/tcp",),
    labels={"l": "1"},
)


def after(*lines: str) -> ImageConfig:
    return change(OLD, lines).config


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('CMD ["sh", "-c", "x y"]', "cmd", ("sh", "-c", "x y")),
        ("CMD echo $A > /x", "cmd", ("/bin/sh", "-c", "echo $A > /x")),
        ("cmd []", "cmd", ()),
        ('CMD ["sh", 1]', "cmd", ("/bin/sh", "-c", '["sh", 1]')),
        ("CMD [sh]", "cmd", ("/bin/sh", "-c", "[sh]")),
        ('  ENTRYPOINT   ["/e"] ', "entrypoint", ("/e",)),
        ("ENV B=2", "env", ("PATH=/bin", "A=1", "B=2")),
        ("ENV A=2 B=", "env", ("PATH=/bin", "A=2", "B=")),
        ("ENV B='x y' C=\"z=1\"", "env", ("PATH=/bin", "A=1", "B=x y", "C=z=1")),
        ("ENV B the rest", "env", ("PATH=/bin", "A=1", "B=the rest")),
        ("LABEL l=2 m=x", "labels", {"l": "2", "m": "x"}),
        ("EXPOSE 80 53/UDP", "exposed_ports", ("80/tcp", "53/udp")),
        ("EXPOSE 8000-8002/sctp", "exposed_ports", ("80/tcp", "8000/sctp", "8001/sctp", "8002/sctp")),
        ("VOLUME /v /w", "volumes", ("/v", "/w")),
        ('VOLUME ["/a b"]', "volumes", ("/v", "/a b")),
        ("VOLUME [/w]", "volumes", ("/v", "[/w]")),
        ("USER app:staff", "user", "app:staff"),
        ("STOPSIGNAL SIGQUIT", "stop_signal", "SIGQUIT"),
        ("WORKDIR /x//y/.", "working_dir", "/x/y"),
        ("WORKDIR sub", "working_dir", "/srv/app/sub"),
        ("WORKDIR ../../..", "working_dir", "/"),
    ],
)
def test_an_instruction_changes_its_field(line: str, field: str, value: Any) -> None:
    assert getattr(after(line), field) == value


def test_an_entrypoint_takes_the_old_command_with_it_but_not_a_new_one() -> None:
    assert after('ENTRYPOINT ["/e"]').cmd == ()
    assert after('ENTRYPOINT ["/e"]', 'CMD ["c"]').cmd == ("c",)
    assert after('CMD ["c"]', 'ENTRYPOINT ["/e"]').cmd == ("c",)
    assert after('CMD ["c"]').entrypoint == ("/old",)


def test_instructions_follow_each_other() -> None:
    assert after("WORKDIR a", "WORKDIR b", "ENV X=1", "ENV X=2") == after("WORKDIR a/b", "ENV X=2")


def test_what_has_no_field_here_is_kept_for_the_document() -> None:
    changed = change(OLD, ["ONBUILD RUN a", "ONBUILD RUN b", "HEALTHCHECK CMD curl -f x"])

    assert changed.more == {
        "OnBuild": ["RUN a", "RUN b"],
        "Healthcheck": {"Test": ["CMD-SHELL", "curl -f x"]},
    }
    assert change(OLD, ['HEALTHCHECK CMD ["a", "b"]']).more == {"Healthcheck": {"Test": ["CMD", "a", "b"]}}
    assert change(OLD, ["healthcheck none"]).more == {"Healthcheck": {"Test": ["NONE"]}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RUN x", "RUN is none of CMD, ENTRYPOINT"),
        ("", "nothing is none of"),
        ("CMD", "CMD asks for a value"),
        ("ENV A", "write NAME=value"),
        ("ENV =x", "write NAME=value"),
        ("ENV A=1 B", "write NAME=value"),
        ("ENV A='x", "No closing quotation"),
        ("LABEL 'x", "No closing quotation"),
        ("EXPOSE http", "'http' is no port"),
        ("EXPOSE 0", "is no port"),
        ("EXPOSE 70000", "is no port"),
        ("EXPOSE 90-80", "is no port"),
        ("EXPOSE 80/ftp", "is no port"),
        ("EXPOSE \u00b280", "is no port"),
        ("HEALTHCHECK", "asks for a value"),
        ("HEALTHCHECK curl", "write HEALTHCHECK CMD"),
    ],
)
def test_what_is_no_instruction_is_refused(line: str, message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as caught:
        after("ENV FIRST=1", line)

    assert caught.value.argument == "changes"


WORDS = st.sampled_from(["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "VOLUME", "WORKDIR", "HEALTHCHECK", "x"])


@given(st.lists(st.builds("{} {}".format, WORDS, st.text()), max_size=4))
def test_any_text_is_an_instruction_or_is_refused(lines: list[str]) -> None:
    try:
        changed = change(OLD, lines)
    except InvalidOption:
        return

    assert isinstance(changed, Changed)
