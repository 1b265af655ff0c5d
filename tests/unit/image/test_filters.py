"""Docker's filters of images, and what they refuse."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pyrt.errors import ImageNotFound, InvalidOption
from pyrt.image.filters import chooser
from pyrt.image.store import ImageStore
from tests.images import tar
from tests.stores import bring, configured, image_of, names, store

__all__ = ["store"]

ALL = ("before", "dangling", "label", "reference", "since", "until")


def chosen(store: ImageStore, **filters: Any) -> set[str]:
    passes = chooser(store, filters, known=ALL)
    return {image.record.id.hex for image in store.all() if passes(image)}


def add(store: ImageStore, number: int, *texts: str, created: str = "", labels: dict[str, str] | None = None) -> str:
    medium = image_of(tar({str(number): b""}))
    fields = {"created": created} if created else {}
    return bring(store, configured(medium, {"Labels": labels or {}}, **fields), *texts).id.hex


def test_no_filters_let_all_pass(store: ImageStore) -> None:
    image = add(store, 1)

    assert chosen(store) == {image}
    assert chooser(store, None, known=())(store.all()[0])


@pytest.mark.parametrize("true", [True, "true", "1", ["true"]])
@pytest.mark.parametrize("false", [False, "false", "0", ["false"]])
def test_dangling_is_what_has_no_tag(store: ImageStore, true: Any, false: Any) -> None:
    tagged, bare = add(store, 1, "one"), add(store, 2)

    assert chosen(store, dangling=true) == {bare}
    assert chosen(store, dangling=false) == {tagged}
    assert chosen(store, dangling=["true", "false"]) == {tagged, bare}


def test_what_only_a_digest_means_is_dangling(store: ImageStore) -> None:
    image = bring(store, image_of(tar({"a": b""})), "one", digest=True)
    store.forget(image, names("one"))

    assert chosen(store, dangling=True) == {image.id.hex}
    assert chosen(store, reference="one") == {image.id.hex}


def test_labels_are_all_to_be_there(store: ImageStore) -> None:
    both = add(store, 1, labels={"a": "1", "b": ""})
    one = add(store, 2, labels={"a": "2"})

    assert chosen(store, label="a") == {both, one}
    assert chosen(store, label="a=1") == {both}
    assert chosen(store, label=["a", "b"]) == {both}
    assert chosen(store, label="b=") == {both}
    assert chosen(store, label="c") == set()
    assert chosen(store, label=["a=1", "a=2"]) == set()


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("one", "1"),
        ("one:1", "1"),
        ("one:2", ""),
        ("o*", "1"),
        ("*", "1"),
        ("*/*", "2"),
        ("*/*/*", "123"),
        ("me/*", "2"),
        ("me/two:*", "2"),
        ("host.io/me/thr[a-f]e", "3"),
        ("docker.io/library/one:1", "1"),
        ("one:?", "1"),
        ("ONE", ""),
        (["one", "me/two"], "12"),
    ],
)
def test_references_match_as_paths_do(store: ImageStore, pattern: Any, found: str) -> None:
    images = {"1": add(store, 1, "one:1"), "2": add(store, 2, "me/two:2"), "3": add(store, 3, "host.io/me/three:3")}

    assert chosen(store, reference=pattern) == {images[name] for name in found}


def test_before_and_since_leave_the_image_itself_out(store: ImageStore) -> None:
    old, middle, new = (
        add(store, number, f"n{number}", created=f"202{number}-01-01T00:00:00.123456789Z") for number in (1, 2, 3)
    )

    assert chosen(store, before="n2") == {old}
    assert chosen(store, since="n2") == {new}
    assert chosen(store, since=old[:12], before="n3") == {middle}
    with pytest.raises(ImageNotFound):
        chosen(store, before="nothing")


def test_until_takes_times_and_durations(store: ImageStore) -> None:
    now = datetime.now(UTC)
    old = add(store, 1, created=(now - timedelta(hours=3)).isoformat())
    new = add(store, 2, created=now.isoformat())
    moment = now - timedelta(hours=1)

    for text in ("1h", "60m", "3600s", "1h30m", "1.5h", "0h90m0s", moment.isoformat(), str(int(moment.timestamp()))):
        assert chosen(store, until=text) == {old}, text
    assert chosen(store, until="4h") == set()
    assert chosen(store, until=str(time.time() + 10)) == {old, new}


@pytest.mark.parametrize(
    "filters",
    [
        {"colour": "red"},
        {"dangling": "maybe"},
        {"dangling": 1},
        {"dangling": []},
        {"label": {"a": "b"}},
        {"label": [1]},
        {"reference": b"x"},
        {"until": "soon"},
        {"until": ""},
        {"until": "h"},
        {"until": "\u00b2h"},
        {"until": "-1h"},
        {"until": "1h garbage"},
    ],
)
def test_filters_that_mean_nothing_are_refused(store: ImageStore, filters: Any) -> None:
    with pytest.raises(InvalidOption) as caught:
        chooser(store, filters, known=ALL)

    assert caught.value.argument == "filters"


def test_a_verb_has_its_own_filters(store: ImageStore) -> None:
    with pytest.raises(InvalidOption, match="no filter 'before' here, but label, until"):
        chooser(store, {"before": "x"}, known=("label", "until"))
