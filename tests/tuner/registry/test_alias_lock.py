"""Promotions that are killed in the middle, suspended, or made by processes of another machine."""

import json
import subprocess
import sys
import time

import pytest

from tests.tuner.mlflow_store import OLD_LOADER
from tuner.errors import PromotionConflictError
from tuner.processes import new_owner, pid_namespace
from tuner.registry import Registry, alias_lock
from tuner.registry.alias_lock import AliasLock
from tuner.tracking import connect

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

NAME = "clusters"
KILLED = """
import os, signal, sys
from tuner.registry import Registry

registry, left = Registry(sys.argv[1]), [int(sys.argv[2])]
client = registry._client

class Deadly:
    def __getattr__(self, name):
        if name.startswith(("set_registered_model_", "delete_registered_model_")):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return getattr(client, name)

registry._client = Deadly()
registry.promote("clusters", 3, expected=2)
"""
# the calls of a promotion: draw, ticket, what is to be set, three aliases, the end
CALLS = 7


@pytest.fixture
def uri(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = connect(uri)
    client.create_registered_model(NAME)
    for _ in range(4):
        client.create_model_version(NAME, "nowhere")
    registry = Registry(uri)
    registry.promote(NAME, 1, expected=None)
    registry.promote(NAME, 2, expected=1)
    registry.set_challenger(NAME, 3)
    return uri


def aliases(uri):
    return dict(connect(uri).get_registered_model(NAME).aliases)


def tags(uri):
    return dict(connect(uri).get_registered_model(NAME).tags)


def killed_at(uri, call):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, uri, str(call)], capture_output=True, text=True
    )
    assert done.returncode == (-9 if call < CALLS else 0), done.stderr


@pytest.mark.parametrize("call", range(CALLS + 1))
def test_a_promotion_that_is_killed_at_any_call_is_completed_or_never_was(uri, call):
    killed_at(uri, call)
    registry = Registry(uri)
    assert len(registry.unfinished(NAME)) == (0 < call < CALLS)
    registry.complete(NAME)
    written = call > 2
    after = {"champion": 3, "previous": 2}
    before = {"champion": 2, "previous": 1, "challenger": 3}
    assert {k: int(v) for k, v in aliases(uri).items()} == (after if written else before)
    assert registry.unfinished(NAME) == []
    assert tags(uri) == {}
    registry.promote(NAME, 4, expected=after["champion"] if written else before["champion"])
    assert registry.champion(NAME).number == 4


def test_the_next_promotion_does_not_wait_for_a_dead_one(uri, monkeypatch):
    killed_at(uri, 4)

    def never(_):
        raise AssertionError("it waited")

    monkeypatch.setattr(time, "sleep", never)
    with pytest.raises(PromotionConflictError, match="champion is now version 3"):
        Registry(uri).promote(NAME, 4, expected=2)
    assert tags(uri) == {}


def test_an_owner_on_another_machine_is_presumed_dead_after_a_while(uri, monkeypatch):
    entry = {
        "ticket": 1,
        "owner": "elsewhere:1:token",
        "processes": "",
        "since": time.time(),
        "aliases": {"champion": 4},
    }
    connect(uri).set_registered_model_tag(NAME, "tuner.promoting.token", json.dumps(entry))
    registry = Registry(uri)
    assert registry.unfinished(NAME) == []  # for all that is known, it is alive
    monkeypatch.setattr(alias_lock, "_SILENT_SECONDS", 0.3)
    with pytest.raises(PromotionConflictError, match="champion is now version 4"):
        registry.promote(NAME, 3, expected=2)


def test_a_process_that_lost_the_lock_changes_nothing(uri):
    client = connect(uri)
    with AliasLock(client, NAME, call=lambda call: call()) as lock:
        client.delete_registered_model_tag(NAME, lock._key)
        with pytest.raises(PromotionConflictError, match="promote again"):
            lock.set({"champion": 4})
    assert int(aliases(uri)["champion"]) == 2


def test_one_that_draws_a_ticket_is_waited_for(uri):
    client, key = connect(uri), "tuner.promoting.other"
    entry = {"ticket": 0, "owner": new_owner(), "processes": pid_namespace(), "since": time.time()}
    client.set_registered_model_tag(NAME, key, json.dumps(entry))
    lock = AliasLock(client, NAME, call=lambda call: call())
    lock._ticket = 1
    assert not lock._is_first()
    client.set_registered_model_tag(NAME, key, json.dumps({**entry, "ticket": 2}))
    assert lock._is_first()
