import os
import threading
import time

import pytest

from tuner.errors import ServiceError, UsageError
from tuner.tracking.availability import answer_within, short_timeouts, tracking_error

URI = "http://user:c4n4ry@host:5000"


def test_an_answer_is_returned():
    assert answer_within(lambda: None, uri=URI) is None
    assert answer_within(lambda: 3, uri=URI) == 3


def test_silence_ends_in_a_sentence():
    began, release = time.monotonic(), threading.Event()
    with pytest.raises(ServiceError, match=r"no answer within.*MLFLOW_TRACKING_URI"):
        answer_within(release.wait, uri=URI, seconds=0.1)
    assert time.monotonic() - began < 5
    release.set()


def test_an_error_becomes_a_sentence_without_secrets():
    def ask():
        raise RuntimeError(f"no route to {URI}/api\nand a second line")

    with pytest.raises(ServiceError) as caught:
        answer_within(ask, uri=URI)
    sentence = str(caught.value)
    assert caught.value.exit_code == 4
    assert "no route to http://user:***@host:5000/api" in sentence
    assert "c4n4ry" not in sentence
    assert "second line" not in sentence
    assert caught.value.__cause__ is None


def test_an_error_that_has_its_own_sentence_keeps_it():
    def ask():
        raise UsageError("own sentence")

    with pytest.raises(UsageError, match="own sentence"):
        answer_within(ask, uri=URI)


def test_a_long_reason_is_cut():
    assert len(str(tracking_error("http://host", RuntimeError("x" * 10_000)))) < 700


def test_variables_come_back(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with short_timeouts():
        assert int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) < 10
        assert int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) < 3
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
