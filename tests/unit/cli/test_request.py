"""From the words of `pyrt run` to options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from pyrt.cli.flags import BY_NAME, REFUSED
from pyrt.cli.format import in_flags
from pyrt.cli.request import ALL_STREAMS, read_request
from pyrt.container import Mount, RunOptions
from pyrt.errors import InvalidOption, PyrtError
from tests.unit.container.asking import draft


def options(*words: str) -> dict[str, Any]:
    return dict(read_request([*words, "host:"]).options)


# Of what `docker run --help` lists; each is either read or refused with a reason.
DOCKER = """
    --add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop --cgroup-parent
    --cgroupns --cidfile --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus
    --cpuset-cpus --cpuset-mems -d --detach --detach-keys --device --device-cgroup-rule --device-read-bps
    --device-read-iops --device-write-bps --device-write-iops --disable-content-trust --dns --dns-option
    --dns-search --domainname --entrypoint -e --env --env-file --expose --gpus --group-add --health-cmd
    --health-interval --health-retries --health-start-interval --health-start-period --health-timeout --help -h
    --hostname --init -i --interactive --ip --ip6 --ipc --isolation --kernel-memory -l --label --label-file --link
    --link-local-ip --log-driver --log-opt --mac-address -m --memory --memory-reservation --memory-swap
    --memory-swappiness --mount --name --network --network-alias --no-healthcheck --oom-kill-disable
    --oom-score-adj --pid --pids-limit --platform --privileged -p --publish -P --publish-all --pull -q --quiet
    --read-only --restart --rm --runtime --security-opt --shm-size --sig-proxy --stop-signal --stop-timeout
    --storage-opt --sysctl --tmpfs -t --tty --ulimit -u --user --userns --uts -v --volume --volume-driver
    --volumes-from -w --workdir
""".split()
NOT_DOCKERS = {"on_progress", "console_size", "masked_paths", "nano_cpus", "readonly_paths"}


def test_every_flag_of_docker_is_read_or_refused() -> None:
    assert set(DOCKER) <= BY_NAME.keys() | REFUSED.keys()
    assert not BY_NAME.keys() & REFUSED.keys()


def test_every_option_has_a_flag() -> None:
    reached = {flag.option for flag in BY_NAME.values()} | {"volumes", "landlock"}  # -v makes mounts, two make landlock

    assert reached >= RunOptions.__optional_keys__ - NOT_DOCKERS


def test_what_follows_the_image_is_the_command() -> None:
    request = read_request(["--rm", "host:", "ls", "-l", "--", "--rm"])

    assert (request.image, request.args) == ("host:", ("ls", "-l", "--", "--rm"))


def test_two_dashes_behind_the_image_are_dropped() -> None:
    assert read_request(["host:", "--", "python3", "-c", ""]).args == ("python3", "-c", "")
    assert read_request(["host:", "--"]).args is None
    assert read_request(["host:"]).args is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-m", "64m", "--memory-swap", "-1"], {"mem_limit": 64 << 20, "memswap_limit": -1}),
        (["--cpus", "1.5", "-c", "512"], {"cpus": 1.5, "cpu_shares": 512}),
        (["--pids-limit", "-1"], {"pids_limit": -1}),
        (["-h", "box", "--net", "host", "--network=none"], {"hostname": "box", "network_mode": "none"}),
        (["--cap-add", "SYS_TIME", "--cap-add=NET_ADMIN"], {"cap_add": ["SYS_TIME", "NET_ADMIN"]}),
        (["--sysctl", "net.a=1", "--sysctl", "net.b=x=y"], {"sysctls": {"net.a": "1", "net.b": "x=y"}}),
        (["--storage-opt", "size=1g"], {"storage_opt": {"size": "1g"}}),
        (["--stop-signal", "INT"], {"stop_signal": 2}),
        (["--entrypoint", "/bin/a b"], {"entrypoint": ["/bin/a b"]}),
        (["--entrypoint", ""], {"entrypoint": []}),
        (["--user", ""], {"user": None}),
        (["-v", "/srv:/data:ro"], {"mounts": [Mount("/data", "/srv", "bind", True, create_source=True)]}),
        (["--mount", "type=bind,src=/srv,dst=/d"], {"mounts": [Mount("/d", "/srv", "bind")]}),
        (["--landlock-ro", "/usr"], {"landlock": {"read_only": ["/usr"], "read_write": ()}}),
        (["--init", "--read-only=false", "--rm", "-q"], {"init": True, "read_only": False, "remove": True}),
    ],
)
def test_flags_give_options(words: list[str], expected: dict[str, Any]) -> None:
    assert options(*words) == expected


def test_a_source_that_begins_with_a_dot_is_found_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    mounts = options("-v", ".:/a", "-v", "./x:/b", "-v", "..:/c", "--mount", "type=bind,src=./x,dst=/d")["mounts"]

    assert [mount.source for mount in mounts] == [str(tmp_path), f"{tmp_path}/x", str(tmp_path.parent), f"{tmp_path}/x"]


def test_variables_come_from_files_then_words_then_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=file\nB=file\nHERE\n# no\n")
    monkeypatch.setenv("HERE", "value")
    monkeypatch.delenv("GONE", raising=False)

    found = options("-e", "B=word", "--env-file", str(tmp_path / "env"), "-e", "HERE", "-e", "GONE", "-e", "C=a=b")

    expected = {"A": "file", "B": "word", "HERE": "value", "GONE": None, "C": "a=b"}
    assert found == {"environment": expected}


def test_labels_of_words_win_over_those_of_files(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("a=file\n\n# no\nb=file\n")

    assert options("-l", "a=word", "--label-file", str(tmp_path / "labels"))["labels"] == ["a=file", "b=file", "a=word"]


def test_streams_are_all_attached_unless_some_are_named() -> None:
    assert read_request(["host:"]).attached == ALL_STREAMS
    assert read_request(["-a", "stdout", "-a", "STDERR", "host:"]).attached == {"stdout", "stderr"}


def test_what_is_pyrts_own() -> None:
    request = read_request(["--timeout", "1.5", "--output-limit", "1k", "--sig-proxy=false", "-it", "host:"])

    assert (request.timeout, request.output_limit_bytes, request.sig_proxy) == (1.5, 1024, False)
    assert request.interactive and request.tty


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        ([], "IMAGE"),
        (["-m", "much", "host:"], "-m"),
        (["--memory", "much", "host:"], "--memory"),
        (["--cpus", "-1", "host:"], "--cpus"),
        (["--cpus", "nan", "host:"], "--cpus"),
        (["--cpu-shares", "1.5", "host:"], "--cpu-shares"),
        (["--timeout", "soon", "host:"], "--timeout"),
        (["-v", "a/b:/c", "host:"], "-v"),
        (["--mount", "type=bind", "host:"], "--mount"),
        (["-e", "=b", "host:"], "-e"),
        (["--env-file", "/nonexistent", "host:"], "--env-file"),
        (["--label-file", "/", "host:"], "--label-file"),
        (["--sysctl", "net.a", "host:"], "--sysctl"),
        (["--stop-signal", "NOPE", "host:"], "--stop-signal"),
        (["-a", "all", "host:"], "-a"),
        (["-p", "80:80", "host:"], "-p"),
    ],
)
def test_a_wrong_value_names_its_flag(words: list[str], argument: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_request(words)

    assert caught.value.argument == argument


def test_a_file_of_variables_says_which_line_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=1\nB C=2\n")

    with pytest.raises(InvalidOption, match=r"--env-file .*env: line 2"):
        read_request(["--env-file", str(tmp_path / "env"), "host:"])


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["-m", "1m"], "--memory"),
        (["--pids-limit", "-2"], "--pids-limit"),
        (["--cap-add", "FLY"], "--cap-add"),
        (["--tmpfs", "x"], "--tmpfs"),
        (["--device", "/nonexistent"], "--device"),
        (["--mount", "type=bind,src=/nonexistent,dst=/x"], "--volume/--mount"),
        (["--network", "bridge"], "--network"),
        (["--landlock-ro", "x"], "--landlock-ro/--landlock-rw"),
    ],
)
def test_what_is_found_wrong_later_names_the_flag_too(words: list[str], flag: str) -> None:
    with pytest.raises(PyrtError) as caught:
        draft(options(*words))

    assert in_flags(str(caught.value)).startswith(flag)


def test_a_message_in_which_the_option_is_a_word_names_the_flag_too() -> None:
    assert in_flags("working_dir /x cannot be entered: no") == "--workdir /x cannot be entered: no"
    assert in_flags("network_mode='bridge': no") == "--network='bridge': no"


@pytest.mark.parametrize(
    "message",
    [
        "user namespaces: no",
        "init ended",
        "mem_limits: x",
        "nothing",
        "",
        "mem_limit",
        "ümem_limit: x",
        "/etc/mem_limit: x",
    ],
)
def test_other_messages_stay_as_they_are(message: str) -> None:
    assert in_flags(message) == message


def test_a_kept_container_has_options_of_its_own() -> None:
    words = [
        "-d",
        "--restart",
        "on-failure:3",
        "--stop-timeout",
        "5",
        "--log-opt",
        "max-size=1m",
        "-i",
        "--rm",
        "host:",
    ]

    options = read_request(words).create_options

    assert options == {
        "restart_policy": "on-failure:3",
        "stop_timeout": 5,
        "log_config": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "stdin_open": True,
        "stdin_once": False,
        "auto_remove": True,
    }


@pytest.mark.parametrize(("words", "once"), [(["-i"], True), (["-i", "-a", "stdout"], False)])
def test_the_input_of_what_is_created_ends_with_its_first_client(words: list[str], once: bool) -> None:
    assert read_request([*words, "host:"], "create").create_options == {"stdin_open": True, "stdin_once": once}


@pytest.mark.parametrize(
    ("verb", "words", "flag"),
    [
        ("run", ["--restart", "always"], "--restart"),
        ("run", ["--cidfile", "x"], "--cidfile"),
        ("run", ["--log-driver", "none"], "--log-driver"),
        ("run", ["-d", "--timeout", "5"], "--timeout"),
        ("run", ["-d", "-a", "stdout"], "--attach"),
        ("create", ["-d"], "--detach"),
        ("create", ["--output-limit", "5"], "--output-limit"),
        ("create", ["--sig-proxy=false"], "--sig-proxy"),
    ],
)
def test_flags_that_make_no_sense_together(verb: Literal["run", "create"], words: list[str], flag: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_request([*words, "host:"], verb)

    assert caught.value.argument == flag
