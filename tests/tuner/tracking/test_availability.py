import os
import threading
import time

import pytest

from tuner.errors import ServiceError, UsageError
from tuner.tracking.availability import call_with_timeout, short_timeouts, tracking_error

URI = "http://user:c4n4ry@host:5000"


def test_a_result_is_returned():
    assert call_with_timeout(lambda: None, uri=URI) is None
    assert call_with_timeout(lambda: 3, uri=URI) == 3


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
        call_with_timeout(call, uri=URI)
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
        call_with_timeout(call, uri=URI)


def test_a_long_reason_is_cut():
    assert len(str(tracking_error("http://host", RuntimeError("x" * 10_000)))) < 700


def test_environment_variables_are_restored(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with short_timeouts():
        assert int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) < 10
        assert int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) < 3
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
