import threading
import time

import pytest

from tuner.tracking.outbox import Outbox


class Post:
    """A post office that notes what it delivers, and can be closed."""

    def __init__(self):
        self.delivered = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.fail = []
        self.refused = set()

    def send(self, message):
        assert self.is_open.wait(10)
        if message in self.refused:
            raise OSError("refused")
        if self.fail:
            raise self.fail.pop(0)
        self.delivered.append(message)


@pytest.fixture
def post():
    return Post()


def outbox(post):
    return Outbox(post.send, is_lasting=lambda error: isinstance(error, ValueError))


def test_everything_arrives_in_order(post):
    box = outbox(post)
    for n in range(20):
        box.put(f"key {n}", n)
    assert box.close(10)
    assert post.delivered == list(range(20))
    assert len(box) == 0


def test_only_the_newest_of_a_key_is_delivered(post):
    post.is_open.clear()
    box = outbox(post)
    box.put("first", "first")
    for n in range(5):
        box.put("key", n)
    post.is_open.set()
    assert box.close(10)
    assert post.delivered == ["first", 4]


def test_a_message_may_wait_for_the_next_one(post):
    box = outbox(post)
    box.put("key", "early", delay=60)
    box.put("key", "late", delay=0)
    deadline = time.monotonic() + 10
    while not post.delivered and time.monotonic() < deadline:
        time.sleep(0.01)
    assert post.delivered == ["late"]
    assert box.close(1)


def test_a_later_message_does_not_put_off_the_one_before(post):
    box = outbox(post)
    box.put("key", "early", delay=0.2)
    box.put("key", "late", delay=60)
    time.sleep(1)
    assert post.delivered == ["late"]
    assert box.close(1)


def test_closing_delivers_what_was_to_wait(post):
    box = outbox(post)
    box.put("key", 1, delay=60)
    assert box.close(10)
    assert post.delivered == [1]


def test_putting_never_waits(post):
    post.is_open.clear()
    box = outbox(post)
    began = time.monotonic()
    for n in range(100):
        box.put(f"key {n}", n)
    assert time.monotonic() - began < 0.5
    assert len(box) == 100
    assert not box.close(0.1)
    post.is_open.set()


def test_a_failure_is_tried_again(post):
    post.fail = [OSError("down")]
    box = outbox(post)
    box.put("key", 1)
    assert box.close(10)
    assert post.delivered == [1]
    assert box.problems == []


def test_a_newer_message_replaces_one_that_failed(post):
    post.fail = [OSError("down")]
    post.is_open.clear()
    box = outbox(post)
    box.put("key", "old")
    time.sleep(0.1)
    box.put("key", "new")
    post.is_open.set()
    assert box.close(10)
    assert post.delivered == ["new"]


def test_one_that_always_fails_does_not_hold_up_the_others(post):
    post.refused = {"bad"}
    box = outbox(post)
    box.put("bad", "bad")
    time.sleep(0.1)
    for n in range(3):
        box.put(f"good {n}", n)
    assert not box.close(1.9)
    assert post.delivered == [0, 1, 2]


def test_a_lasting_failure_is_given_up_and_told_without_secrets(post, caplog):
    post.fail = [ValueError("http://u:c4n4ry@host said no")]
    box = outbox(post)
    box.put("bad", "bad")
    box.put("good", "good")
    assert not box.close(10)
    assert post.delivered == ["good"]
    assert box.problems == ["bad: ValueError: http://u:***@host said no"]
    assert "c4n4ry" not in caplog.text


def test_an_outage_is_told_once_and_its_end(post, caplog):
    post.fail = [OSError("down"), OSError("down")]
    box = outbox(post)
    box.put("key", 1)
    assert box.close(20)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "is back" in caplog.messages[1]


def test_a_service_that_stays_down_is_not_waited_for(post):
    post.fail = [OSError("down")] * 100
    box = outbox(post)
    box.put("key", 1)
    began = time.monotonic()
    assert not box.close(0.5)
    assert time.monotonic() - began < 3
    assert len(box) == 1
