"""Who we are: challenges, token servers, basic, identity tokens; told as seldom as can be, and to nobody else."""

from __future__ import annotations

import base64
import json
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from pyrt.errors import Forbidden, InvalidArgument, PyrtError, RegistryError, Unauthorized, Unavailable
from pyrt.registry import Credentials, RegistryClient
from pyrt.registry.credentials import find
from tests.registries import QUICK, Fault, ScriptedRegistry

SECRET = "open-sesame"
ME = Credentials("me", SECRET)


@pytest.fixture
def closed(scripted: ScriptedRegistry) -> ScriptedRegistry:
    """A registry that lets in nobody but me."""
    scripted.user = ("me", SECRET)
    scripted.add_image("some/image", "latest", b"layer")
    return scripted


@pytest.fixture
def me(closed: ScriptedRegistry) -> Iterator[RegistryClient]:
    with RegistryClient(replace(QUICK, credentials={closed.host: ME})) as client:
        yield client


def kinds(registry: ScriptedRegistry) -> list[str]:
    return [f"{each.method} {urlsplit(each.path).path.rpartition('/')[2]}" for each in registry.seen]


def test_a_token_is_fetched_once_and_sent_from_then_on(me: RegistryClient, closed: ScriptedRegistry) -> None:
    repository = me.repository(closed.reference())

    repository.head("latest")
    repository.manifest("latest")

    assert kinds(closed) == ["HEAD latest", "GET token", "HEAD latest", "GET latest"]
    asked = parse_qs(urlsplit(closed.seen[1].path).query)
    assert asked == {"service": ["scripted"], "scope": ["repository:some/image:pull"], "account": ["me"]}


def test_a_second_scope_costs_no_second_refusal(me: RegistryClient, closed: ScriptedRegistry) -> None:
    repository = me.repository(closed.reference())
    repository.head("latest")
    closed.seen.clear()

    repository.put_manifest(repository.manifest("latest").raw, "application/vnd.oci.image.manifest.v1+json", "other")

    assert kinds(closed) == ["GET latest", "GET token", "PUT other"]


def test_a_token_that_is_no_longer_good_is_fetched_anew(me: RegistryClient, closed: ScriptedRegistry) -> None:
    repository = me.repository(closed.reference())
    repository.head("latest")
    closed.seen.clear()
    challenge = f'Bearer realm="http://{closed.host}/token",service="scripted",error="invalid_token"'
    closed.faults.append(Fault(path="manifests", status=401, headers={"WWW-Authenticate": challenge}))
    closed.faults.append(Fault(path="/token", status=200, body=b'{"access_token":"good"}'))

    with pytest.raises(Unauthorized):  # the same token again: the registry is asked no third time
        repository.head("latest")

    assert kinds(closed) == ["HEAD latest", "GET token"]


def test_a_token_is_used_until_it_ends(
    me: RegistryClient, closed: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, now = me.repository(closed.reference()), time.monotonic()
    repository.head("latest")

    for seconds, requests in ((closed.token_seconds - 20, ["HEAD latest"]), (300, ["GET token", "HEAD latest"])):
        monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: now + seconds)
        closed.seen.clear()
        repository.head("latest")
        assert kinds(closed) == requests


def test_many_threads_fetch_one_token(me: RegistryClient, closed: ScriptedRegistry) -> None:
    repository = me.repository(closed.reference())
    threads = [threading.Thread(target=repository.head, args=["latest"]) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert kinds(closed).count("GET token") == 1


def test_who_has_no_name_may_have_a_token_too(client: RegistryClient, closed: ScriptedRegistry) -> None:
    closed.gives_tokens_to_all = True

    client.repository(closed.reference()).head("latest")

    assert kinds(closed) == ["HEAD latest", "GET token", "HEAD latest"]
    assert "Authorization" not in closed.seen[1].headers and "account" not in closed.seen[1].path


def test_basic(me: RegistryClient, closed: ScriptedRegistry) -> None:
    closed.scheme = "basic"

    me.repository(closed.reference()).manifest("latest")
    me.repository(closed.reference()).manifest("latest")

    assert kinds(closed) == ["GET latest"] * 3


def test_an_identity_token_is_posted(closed: ScriptedRegistry) -> None:
    closed.identity_token = SECRET
    credentials = {closed.host: Credentials(identity_token=SECRET)}

    with RegistryClient(replace(QUICK, credentials=credentials)) as client:
        client.repository(closed.reference()).head("latest")

    asked = closed.asked("POST", "/token")[0]
    assert parse_qs(asked.body.decode())["grant_type"] == ["refresh_token"]
    assert SECRET not in asked.path and "Authorization" not in asked.headers


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
@pytest.mark.parametrize("credentials", [None, Credentials("me", "wrong-" + SECRET)])
def test_who_is_not_known_is_unauthorized(
    closed: ScriptedRegistry, scheme: str, credentials: Credentials | None
) -> None:
    closed.scheme = scheme

    with (
        RegistryClient(replace(QUICK, credentials={closed.host: credentials} if credentials else {})) as client,
        pytest.raises(Unauthorized, match="log in to the registry") as caught,
    ):
        client.repository(closed.reference()).manifest("latest")
    assert SECRET not in str(caught.value) and SECRET not in repr(credentials)


def test_what_is_not_allowed_is_forbidden(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    body = b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
    scripted.faults.append(Fault(status=403, body=body))

    with pytest.raises(Forbidden, match="requested access"):
        client.repository(scripted.reference()).manifest("latest")


@pytest.mark.parametrize("offered", ["Negotiate", 'NTLM abc=, Digest realm="x"'])
def test_a_way_to_authenticate_that_is_not_known(
    client: RegistryClient, scripted: ScriptedRegistry, offered: str
) -> None:
    scripted.faults.append(Fault(status=401, headers={"WWW-Authenticate": offered}))

    with pytest.raises(Unauthorized, match="offers only"):
        client.repository(scripted.reference()).manifest("latest")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token":7}', b'{"token":""}', b'{"token":"a\\nb"}', b"[" * 99999]
)
def test_a_token_server_that_talks_nonsense(me: RegistryClient, closed: ScriptedRegistry, body: bytes) -> None:
    closed.faults.append(Fault(path="/token", status=200, body=body))

    with pytest.raises(RegistryError, match="get a token"):
        me.repository(closed.reference()).head("latest")


def test_a_redirect_takes_no_authorization_along(me: RegistryClient, closed: ScriptedRegistry) -> None:
    elsewhere = ScriptedRegistry("127.0.0.2")
    try:
        descriptor = elsewhere.add(b"content")
        location = f"http://{elsewhere.host}/elsewhere/x/blobs/{descriptor.digest}?signature=private"
        me.repository(closed.reference()).head("latest")
        closed.faults.append(Fault(path="/blobs/", status=307, headers={"Location": location}))

        with me.repository(closed.reference()).blob(descriptor) as chunks:
            assert b"".join(chunks) == b"content"

        assert closed.seen[-1].headers["Authorization"] == "Bearer good"
        assert "Authorization" not in elsewhere.seen[0].headers
    finally:
        elsewhere.close()


def test_what_a_registry_echoes_does_not_reach_the_message(me: RegistryClient, closed: ScriptedRegistry) -> None:
    me.repository(closed.reference()).head("latest")
    body = b'{"errors":[{"code":"UNKNOWN","message":"you sent Bearer good, \\u001b[31m\\nyou \\u202e"}]}'
    closed.faults.append(Fault(path="manifests", status=400, body=body))

    with pytest.raises(RegistryError, match="you sent Bearer …, ") as caught:
        me.repository(closed.reference()).manifest("latest")
    assert str(caught.value).isprintable()


def config(directory: Path, **document: object) -> dict[str, str]:
    (directory / "config.json").write_text(json.dumps(document))
    return {"DOCKER_CONFIG": str(directory)}


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_the_files_of_docker(tmp_path: Path) -> None:
    environ = config(
        tmp_path,
        auths={
            "https://index.docker.io/v1/": auth("hub:a:b"),
            "plain.example": {"username": "u", "password": "p"},
            "https://old.example/v1/": auth("old:p"),
            "token.example:5000": {**auth("x:"), "identitytoken": "t"},
            "ns.example/team": auth("team:p"),
            "ns.example": auth("all:p"),
            "empty.example": {},
        },
    )

    assert find("docker.io", "library/alpine", environ=environ) == Credentials("hub", "a:b")
    assert find("plain.example", environ=environ) == Credentials("u", "p")
    assert find("old.example", environ=environ) == Credentials("old", "p")
    assert find("token.example:5000", environ=environ) == Credentials("x", "", "t")
    assert find("ns.example", "team/image", environ=environ) == Credentials("team", "p")
    assert find("ns.example", "other/image", environ=environ) == Credentials("all", "p")
    assert find("empty.example", environ=environ) is None
    assert find("other.example", environ=environ) is None
    assert find("plain.example", environ={}) is None


def test_explicit_credentials_come_first_then_the_auth_file(tmp_path: Path) -> None:
    environ = config(tmp_path, auths={"r.example": auth("docker:p")})
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"r.example": auth("containers:p")}}))
    both = environ | {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}

    assert find("r.example", environ=both, explicit={"r.example": ME}) is ME
    assert find("r.example", environ=both) == Credentials("containers", "p")
    assert find("r.example", environ=environ) == Credentials("docker", "p")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"auths":[1]}', '{"auths":{"r.example":{"auth":"%%%"}}}', '{"auths":{"r.example":{"auth":7}}}',
     '{"auths":{"r.example":{"auth":"b3Blbi1zZXNhbWU="}}}', '{"credHelpers":{"r.example":"../evil"}}', "[" * 99999],
)  # fmt: skip
def test_a_file_that_is_wrong_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(InvalidArgument, match=str(tmp_path)) as caught:
        find("r.example", environ={"DOCKER_CONFIG": str(tmp_path)})
    assert SECRET not in str(caught.value) and "%%%" not in str(caught.value)


def helper(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = directory / "docker-credential-test"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


@pytest.mark.parametrize("document", [{"credsStore": "test"}, {"credHelpers": {"r.example": "test"}}])
def test_a_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, object]) -> None:
    answer = '{\\"ServerURL\\":\\"%s\\",\\"Username\\":\\"me\\",\\"Secret\\":\\"%s\\"}\\n'
    helper(tmp_path, f'read -r server; [ "$1" = get ] && printf "{answer}" "$server" "of $server"', monkeypatch)

    assert find("r.example", environ=config(tmp_path, **document)) == Credentials("me", "of r.example")


def test_a_helper_may_hold_an_identity_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, """echo '{"Username":"<token>","Secret":"t"}'""", monkeypatch)

    assert find("docker.io", environ=config(tmp_path, credsStore="test")) == Credentials(identity_token="t")


def test_a_helper_that_knows_nothing_leaves_it_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "echo credentials not found in native keychain; exit 1", monkeypatch)
    environ = config(tmp_path, credsStore="test", auths={"r.example": auth("me:p")})

    assert find("r.example", environ=environ) == Credentials("me", "p")
    assert find("other.example", environ=environ) is None


@pytest.mark.parametrize(
    "script", [f"echo {SECRET}; exit 3", f"echo {SECRET}", "echo '{}'", 'echo \'{"Username":1,"Secret":2}\'']
)
def test_a_helper_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    helper(tmp_path, script, monkeypatch)

    with pytest.raises(Unavailable, match="docker-credential-test") as caught:
        find("r.example", environ=config(tmp_path, credsStore="test"))
    assert SECRET not in str(caught.value)


def test_a_helper_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(PyrtError, match=r"docker-credential-no-such.*not on PATH"):
        find("r.example", environ=config(tmp_path, credsStore="no-such"))
