import threading
import time

import pytest

from tuner.tracking.outbox import Outbox


class Receiver:
    """A receiver that records messages, and can be made to block or fail."""

    def __init__(self):
        self.received = []
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
        self.received.append(message)


@pytest.fixture
def receiver():
    return Receiver()


def outbox(receiver):
    return Outbox(receiver.send, is_permanent=lambda error: isinstance(error, ValueError))


def test_everything_arrives_in_order(receiver):
    box = outbox(receiver)
    for n in range(20):
        box.put(f"key {n}", n)
    assert box.close(10)
    assert receiver.received == list(range(20))
    assert len(box) == 0


def test_only_the_newest_message_of_a_key_is_sent(receiver):
    receiver.is_open.clear()
    box = outbox(receiver)
    box.put("first", "first")
    for n in range(5):
        box.put("key", n)
    receiver.is_open.set()
    assert box.close(10)
    assert receiver.received == ["first", 4]


def test_a_delayed_message_may_be_replaced(receiver):
    box = outbox(receiver)
    box.put("key", "early", delay=60)
    box.put("key", "late", delay=0)
    deadline = time.monotonic() + 10
    while not receiver.received and time.monotonic() < deadline:
        time.sleep(0.01)
    assert receiver.received == ["late"]
    assert box.close(1)


def test_a_replacement_does_not_postpone_the_due_time(receiver):
    box = outbox(receiver)
    box.put("key", "early", delay=0.2)
    box.put("key", "late", delay=60)
    time.sleep(1)
    assert receiver.received == ["late"]
    assert box.close(1)


def test_closing_sends_delayed_messages(receiver):
    box = outbox(receiver)
    box.put("key", 1, delay=60)
    assert box.close(10)
    assert receiver.received == [1]


def test_put_never_blocks(receiver):
    receiver.is_open.clear()
    box = outbox(receiver)
    began = time.monotonic()
    for n in range(100):
        box.put(f"key {n}", n)
    assert time.monotonic() - began < 0.5
    assert len(box) == 100
    assert not box.close(0.1)
    receiver.is_open.set()


def test_a_failed_message_is_retried(receiver):
    receiver.fail = [OSError("down")]
    box = outbox(receiver)
    box.put("key", 1)
    assert box.close(10)
    assert receiver.received == [1]
    assert box.problems == []


def test_a_newer_message_replaces_a_failed_one(receiver):
    receiver.fail = [OSError("down")]
    receiver.is_open.clear()
    box = outbox(receiver)
    box.put("key", "old")
    time.sleep(0.1)
    box.put("key", "new")
    receiver.is_open.set()
    assert box.close(10)
    assert receiver.received == ["new"]


def test_a_message_that_always_fails_does_not_block_others(receiver):
    receiver.refused = {"bad"}
    box = outbox(receiver)
    box.put("bad", "bad")
    time.sleep(0.1)
    for n in range(3):
        box.put(f"good {n}", n)
    assert not box.close(1.9)
    assert receiver.received == [0, 1, 2]


def test_a_permanent_failure_is_dropped_and_reported_without_secrets(receiver, caplog):
    receiver.fail = [ValueError("http://u:c4n4ry@host said no")]
    box = outbox(receiver)
    box.put("bad", "bad")
    box.put("good", "good")
    assert not box.close(10)
    assert receiver.received == ["good"]
    assert box.problems == ["bad: ValueError: http://u:***@host said no"]
    assert "c4n4ry" not in caplog.text


def test_the_start_and_the_end_of_an_outage_are_logged_once(receiver, caplog):
    receiver.fail = [OSError("down"), OSError("down")]
    box = outbox(receiver)
    box.put("key", 1)
    assert box.close(20)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "works again" in caplog.messages[1]


def test_closing_does_not_wait_for_a_service_that_stays_down(receiver):
    receiver.fail = [OSError("down")] * 100
    box = outbox(receiver)
    box.put("key", 1)
    began = time.monotonic()
    assert not box.close(0.5)
    assert time.monotonic() - began < 3
    assert len(box) == 1
