"""The life of containers, by chance: two engines on one root, against a model of what each container is like."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from pyrt import Container, Engine, Image, NameInUse, NotFound, WrongState
from tests.containers import public_directory, public_rootfs
from tests.kept_engine import IMAGE, kept_engine

__all__ = ["public_directory", "public_rootfs"]

pytestmark = [pytest.mark.needs("overlay"), pytest.mark.timeout(600)]
NAMES = st.sampled_from(["one", "two", "three"])
POLICIES = st.sampled_from(["no", "on-failure:1", "unless-stopped"])
STAYS = ["sh", "-c", "while :; do sleep 1; done"]
ENDS = ["sh", "-c", "exit 5"]


@dataclass
class Model:
    """What is expected of one container."""

    id: str
    name: str
    stays: bool
    state: str = "created"
    code: int | None = None
    policy: str = "no"


class Life(RuleBasedStateMachine):
    """Each rule takes either of the engines: what one does the other must see at once."""

    containers = Bundle("containers")
    engines: tuple[Engine, Engine]

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}

    def real(self, model: Model, engine: int) -> Container[Image]:
        return self.engines[engine].containers.get(model.id)

    def refused(self, model: Model, verb: Callable[[], object], *, unless: bool) -> bool:
        """Do a verb: it is to be refused, and to change nothing, unless the model allows it; say whether it was."""
        if unless:
            verb()
            return False
        with pytest.raises(WrongState):
            verb()
        return True

    @rule(target=containers, name=NAMES, stays=st.booleans(), policy=POLICIES, engine=st.integers(0, 1))
    def create(self, name: str, stays: bool, policy: str, engine: int) -> object:
        policy = policy if stays else "no"
        create = self.engines[engine].containers.create
        if any(each.name == name for each in self.models.values()):
            with pytest.raises(NameInUse):
                create(IMAGE, STAYS if stays else ENDS, name=name)
            return multiple()
        made = create(IMAGE, STAYS if stays else ENDS, name=name, restart_policy=policy)
        self.models[made.id] = Model(made.id, name, stays, policy=policy)
        return self.models[made.id]

    @rule(model=containers, engine=st.integers(0, 1))
    def start(self, model: Model, engine: int) -> None:
        real = self.real(model, engine)
        if self.refused(model, real.start, unless=model.state != "paused") or model.state == "running":
            return
        model.state, model.code = "running", None
        if not model.stays:
            assert real.wait(30) == {"StatusCode": 5}
            model.state, model.code = "exited", 5

    def end(self, model: Model) -> None:
        if model.state in ("running", "paused"):
            model.state, model.code = "exited", 137

    @rule(model=containers, engine=st.integers(0, 1))
    def stop(self, model: Model, engine: int) -> None:
        self.real(model, engine).stop(0)
        self.end(model)

    @rule(model=containers, engine=st.integers(0, 1))
    def kill(self, model: Model, engine: int) -> None:
        real = self.real(model, engine)
        if not self.refused(model, real.kill, unless=model.state in ("running", "paused")):
            real.wait(30)
            self.end(model)

    @rule(model=containers, engine=st.integers(0, 1))
    def restart(self, model: Model, engine: int) -> None:
        self.real(model, engine).restart(0)
        self.end(model)
        self.start(model, engine)

    @rule(model=containers, engine=st.integers(0, 1))
    def pause(self, model: Model, engine: int) -> None:
        if not self.refused(model, self.real(model, engine).pause, unless=model.state == "running"):
            model.state = "paused"

    @rule(model=containers, engine=st.integers(0, 1))
    def unpause(self, model: Model, engine: int) -> None:
        if not self.refused(model, self.real(model, engine).unpause, unless=model.state == "paused"):
            model.state = "running"

    @rule(model=containers, name=NAMES, engine=st.integers(0, 1))
    def rename(self, model: Model, name: str, engine: int) -> None:
        real = self.real(model, engine)
        if any(each.name == name and each is not model for each in self.models.values()):
            with pytest.raises(NameInUse):
                real.rename(name)
        else:
            real.rename(name)
            model.name = name

    @rule(model=containers, policy=POLICIES, engine=st.integers(0, 1))
    def update(self, model: Model, policy: str, engine: int) -> None:
        if model.stays:
            self.real(model, engine).update(restart_policy=policy)
            model.policy = policy

    @rule(model=containers, engine=st.integers(0, 1))
    def wait(self, model: Model, engine: int) -> None:
        real = self.real(model, engine)
        if model.state in ("running", "paused"):
            with pytest.raises(TimeoutError):
                real.wait(0.01)
        elif model.state == "exited":
            assert real.wait(30) == {"StatusCode": model.code}

    @rule(model=containers, engine=st.integers(0, 1))
    def remove_that_is_refused(self, model: Model, engine: int) -> None:
        if model.state in ("running", "paused"):
            with pytest.raises(WrongState):
                self.real(model, engine).remove()

    @rule(model=consumes(containers), engine=st.integers(0, 1))
    def remove(self, model: Model, engine: int) -> None:
        real = self.real(model, engine)
        real.remove(force=model.state in ("running", "paused"))
        del self.models[model.id]
        for verb in (real.start, real.remove, real.reload):
            with pytest.raises(NotFound):
                verb()

    @invariant()
    def both_see_the_model(self) -> None:
        for engine in self.engines:
            found = {each.id: each for each in engine.containers.list(all=True)}
            assert found.keys() == self.models.keys()
            for id, model in self.models.items():
                real = found[id]
                document = real.attrs["HostConfig"]["RestartPolicy"]["Name"]
                assert (real.name, real.status) == (model.name, model.state)
                assert real.exit_code == model.code
                assert document == model.policy.partition(":")[0]
            names = {os.path.basename(path).removesuffix(".lock") for path in (engine.root / "containers").glob("*")}
            assert names == self.models.keys()

    def teardown(self) -> None:
        for model in self.models.values():
            self.real(model, 0).remove(force=True)


@pytest.fixture
def engines(public_directory: Path, public_rootfs: Path) -> Iterator[tuple[Engine, Engine]]:
    with kept_engine(public_directory, public_rootfs) as first, Engine(first.root) as second:
        yield first, second


def test_the_life_of_containers(engines: tuple[Engine, Engine]) -> None:
    machine = type("LifeHere", (Life,), {"engines": engines})
    examples, steps = (25, 30) if os.environ.get("CI") else (10, 30)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck), deadline=None
        ),
    )
