"""What a container asks of volumes: which wishes options, images and other containers give, and what they become."""

from __future__ import annotations

import pytest

from pyrt import InvalidOption, Mount
from pyrt.container import Identity, build, inherited, parse_mount, parse_volume, parse_volumes_from
from pyrt.container.volumes import VolumeWish
from pyrt.oci.config import ImageConfig
from pyrt.oci.spec import Mount as SpecMount
from pyrt.oci.spec import User
from tests.unit.container.asking import CONTAINER_ID, HOST, draft

USER = Identity(User(), "/")
IMAGE = ImageConfig(volumes=("/data", "/tmp/", "/deep/in"))
FOUND = SpecMount("/a", "bind", "/v/name/_data", ("rbind", "rprivate"))


def targets(wishes: tuple[VolumeWish, ...]) -> list[tuple[str, str | None]]:
    return [(wish.target, wish.name) for wish in wishes]


def test_what_an_image_names_is_anonymous_unless_something_is_there() -> None:
    made = draft({"volumes": ["mine:/data"], "tmpfs": ["/tmp"]}, config=IMAGE)

    assert targets(made.volumes) == [("/data", "mine"), ("/deep/in", None)]


def test_inherited_mounts_come_before_the_image_s_and_after_the_caller_s() -> None:
    mounts = [Mount("/data", "theirs"), Mount("/b", "/usr", "bind"), Mount("/c", "third", read_only=True)]

    made = build(IMAGE, ["x"], {"volumes": ["mine:/c"]}, HOST, USER, container_id=CONTAINER_ID, inherited=mounts)

    assert targets(made.volumes) == [("/c", "mine"), ("/data", "theirs"), ("/tmp", None), ("/deep/in", None)]
    assert [mount.source for mount in made.spec.mounts if mount.destination == "/b"] == ["/usr"]
    assert [wish.target for wish in made.volumes if wish.is_inherited] == ["/data"]


def test_found_volumes_stand_where_their_wishes_did() -> None:
    made = draft({"volumes": ["name:/a", "/b/c", "/usr:/b"]})
    names = {"/a": "name", "/b/c": "f" * 64}
    found = {target: SpecMount(target, "bind", f"/v/{name}", ("rbind",)) for target, name in names.items()}

    done = made.with_volumes(found, names)

    assert [mount.destination for mount in done.spec.mounts][-3:] == ["/a", "/b", "/b/c"]
    assert not [mount for mount in done.spec.mounts if mount.type == "volume"]
    assert {(m.target, m.source) for m in done.passed_on} == {("/a", "name"), ("/b/c", "f" * 64), ("/b", "/usr")}


def test_a_wish_adds_what_the_container_wants() -> None:
    [wish] = draft({"mounts": [Mount("/a", "name", read_only=True, subpath="x/./y")]}).volumes

    assert wish.found(FOUND).options == ("rbind", "rprivate", "rro", "X-mount.subdir=x/y")


def test_a_snapshot_is_read_only_for_who_wants_to_write() -> None:
    [wish] = draft({"volumes": ["name:/a"]}).volumes

    assert wish.found(FOUND, is_read_only=True).options == ("rbind", "rprivate", "ro")
    assert wish.found(SpecMount("/a", "tmpfs", "tmpfs"), is_read_only=True).options == ("ro",)


def test_a_file_system_of_its_own_has_no_subpath() -> None:
    [wish] = draft({"mounts": [Mount("/a", "name", subpath="x")]}).volumes

    with pytest.raises(InvalidOption, match="no subpath"):
        wish.found(SpecMount("/a", "nfs", ":/export"))


def test_the_long_form_has_docker_s_fields() -> None:
    text = (
        "type=volume,src=name,dst=/a,volume-nocopy,volume-subpath=b/c,volume-driver=local,volume-label=a=1,"
        'volume-label=b=,volume-opt=type=tmpfs,"volume-opt=o=size=1m,mode=700",readonly,bind-recursive=disabled'
    )

    assert parse_mount(text) == Mount(
        "/a",
        "name",
        read_only=True,
        recursive="disabled",
        no_copy=True,
        subpath="b/c",
        driver="local",
        labels={"a": "1", "b": ""},
        driver_opts={"type": "tmpfs", "o": "size=1m,mode=700"},
    )
    assert parse_volume("name:/a:nocopy,ro") == Mount("/a", "name", read_only=True, no_copy=True)


def test_what_others_pass_on_may_be_made_read_only() -> None:
    mounts = [Mount("/a", "x"), Mount("/b", "y", read_only=True)]

    assert parse_volumes_from(["box", "two:ro", "three:rw"]) == [("box", None), ("two", True), ("three", None)]
    assert [mount.read_only for mount in inherited(mounts, True)] == [True, True]
    assert inherited(mounts, None) == mounts
