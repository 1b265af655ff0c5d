"""Mount options against a state that each word changes, as mount(8) and the runtime-spec (config.md) tell it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyrt.runtime.mount_options import parse

FLAGS = {"ro": "rw", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "nodiratime": "diratime"} | {
    "nosymfollow": "symfollow"
}
BITS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "nodiratime": 0x80, "nosymfollow": 0x200000}
TIMES = {"relatime": 0, "noatime": 0x10, "strictatime": 0x20}
TIMES_GIVEN_UP = {"atime": "noatime", "nostrictatime": "strictatime", "norelatime": "relatime"}
PROPAGATIONS = {"unbindable": 1 << 17, "private": 1 << 18, "slave": 1 << 19, "shared": 1 << 20}
PLAIN = [*FLAGS, *FLAGS.values(), *TIMES, *TIMES_GIVEN_UP]
DATA = st.tuples(st.sampled_from(["size", "mode", "lowerdir", "userxattr", "sync"]), st.text("a1/:=,", max_size=4))
WORDS = st.lists(
    st.sampled_from([*PLAIN, *(f"r{word}" for word in [*PLAIN, *PROPAGATIONS]), *PROPAGATIONS])
    | st.sampled_from(["bind", "rbind", "defaults", "async", "nomand", ""])
    | DATA.map(lambda pair: f"{pair[0]}={pair[1]}" if pair[1] else pair[0]),
    max_size=12,
)


class State:
    """The attributes of one mount while words are read."""

    def __init__(self) -> None:
        self.flags: set[str] = set()
        self.time = "relatime"

    def take(self, word: str) -> bool:
        """Change by a word; say whether it was one of these."""
        positive = {off: on for on, off in FLAGS.items()}
        if word in FLAGS:
            self.flags.add(word)
        elif word in positive:
            self.flags.discard(positive[word])
        elif word in TIMES:
            self.time = word
        elif word in TIMES_GIVEN_UP:
            self.time = "relatime" if self.time == TIMES_GIVEN_UP[word] else self.time
        else:
            return False
        return True

    def bits(self) -> int:
        return sum(BITS[flag] for flag in self.flags) + TIMES[self.time]


@given(WORDS)
def test_every_word_has_its_effect(words: list[str]) -> None:
    own, all_below = State(), State()
    propagation, recursive, bind, data = 0, False, "", list[tuple[str, str]]()
    for word in words:
        if word in ("bind", "rbind"):
            bind = word
        elif word in PROPAGATIONS or word[1:] in PROPAGATIONS:
            propagation, recursive = PROPAGATIONS[word if word in PROPAGATIONS else word[1:]], word not in PROPAGATIONS
        elif not own.take(word) and not (word.startswith("r") and all_below.take(word[1:])):
            key, _, value = word.partition("=")
            data += [] if word in ("defaults", "async", "nomand", "") else [(key, value)]

    options = parse(words)

    assert (options.attributes, options.recursive_attributes) == (own.bits(), all_below.bits())
    assert (options.propagation, options.is_propagation_recursive) == (propagation, recursive)
    assert (options.is_bind, options.is_recursive) == (bind != "", bind == "rbind")
    assert options.data == tuple(data)


@given(st.lists(DATA, max_size=5))
def test_packed_data_is_pairs_of_texts_and_an_end(pairs: list[tuple[str, str]]) -> None:
    packed = parse([f"{key}={value}" for key, value in pairs]).packed_data()

    *texts, last, rest = packed.decode().split("\0")
    assert list(zip(texts[::2], texts[1::2], strict=True)) == pairs
    assert (last, rest) == ("", "")
