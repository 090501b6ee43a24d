import os
import threading
import time

import pytest

from tuner.errors import ServiceError, UsageError
from tuner.tracking.availability import (
    call_with_timeout,
    long_timeouts,
    short_timeouts,
    timeout_seconds,
    tracking_error,
)

TIMEOUT, RETRIES = "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
URI = "http://user:c4n4ry@host:5000"


def test_a_result_is_returned():
    assert call_with_timeout(lambda: None, uri=URI, seconds=5) is None
    assert call_with_timeout(lambda: 3, uri=URI, seconds=5) == 3


def test_a_timeout_is_a_service_error():
    began, release = time.monotonic(), threading.Event()
    with pytest.raises(ServiceError, match=r"no response within.*MLFLOW_TRACKING_URI"):
        call_with_timeout(release.wait, uri=URI, seconds=0.1)
    assert time.monotonic() - began < 5
    release.set()


def test_an_error_becomes_a_service_error_without_secrets():
    def call():
        raise RuntimeError(f"no route to {URI}/api\nand a second line")

    with pytest.raises(ServiceError) as caught:
        call_with_timeout(call, uri=URI, seconds=5)
    sentence = str(caught.value)
    assert caught.value.exit_code == 4
    assert "no route to http://user:***@host:5000/api" in sentence
    assert "c4n4ry" not in sentence
    assert "second line" not in sentence
    assert caught.value.__cause__ is None


def test_a_tuner_error_is_raised_unchanged():
    def call():
        raise UsageError("own sentence")

    with pytest.raises(UsageError, match="own sentence"):
        call_with_timeout(call, uri=URI, seconds=5)


def test_a_long_reason_is_cut():
    assert len(str(tracking_error("http://host", RuntimeError("x" * 10_000)))) < 700


@pytest.mark.parametrize(("timeouts", "seconds"), [(short_timeouts, 4), (long_timeouts, 30)])
def test_environment_variables_are_set_and_removed_again(monkeypatch, timeouts, seconds):
    for name in (TIMEOUT, RETRIES):
        monkeypatch.delenv(name, raising=False)
    with timeouts():
        assert int(os.environ[TIMEOUT]) == seconds
        assert int(os.environ[RETRIES]) == 1
    assert TIMEOUT not in os.environ
    assert RETRIES not in os.environ


@pytest.mark.parametrize("timeouts", [short_timeouts, long_timeouts])
def test_what_the_user_has_set_is_kept(monkeypatch, timeouts):
    monkeypatch.setenv(TIMEOUT, "77")
    monkeypatch.delenv(RETRIES, raising=False)
    with timeouts():
        assert os.environ[TIMEOUT] == "77"
        assert os.environ[RETRIES] == "1"
    assert os.environ[TIMEOUT] == "77"


@pytest.mark.parametrize(("own", "seconds"), [("77", 78.0), ("2", 9.0), ("", 9.0), ("x", 9.0)])
def test_a_user_may_give_a_server_more_time_to_answer(monkeypatch, own, seconds):
    monkeypatch.setenv(TIMEOUT, own)
    assert timeout_seconds() == seconds
