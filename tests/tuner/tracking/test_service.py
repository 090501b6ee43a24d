import logging
import os
import threading
import time

import pytest

from tuner.errors import ServiceError, UsageError
from tuner.tracking.service import answer_of, environment, impatience, no_service, quiet

URI = "http://user:c4n4ry@host:5000"


def test_an_answer_is_returned():
    assert answer_of(lambda: None, uri=URI) is None
    assert answer_of(lambda: 3, uri=URI) == 3


def test_silence_ends_in_a_sentence():
    began, release = time.monotonic(), threading.Event()
    with pytest.raises(ServiceError, match=r"no answer within.*MLFLOW_TRACKING_URI"):
        answer_of(release.wait, uri=URI, seconds=0.1)
    assert time.monotonic() - began < 5
    release.set()


def test_an_error_becomes_a_sentence_without_secrets():
    def ask():
        raise RuntimeError(f"no route to {URI}/api\nand a second line")

    with pytest.raises(ServiceError) as caught:
        answer_of(ask, uri=URI)
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
        answer_of(ask, uri=URI)


def test_a_long_reason_is_cut():
    assert len(str(no_service("http://host", RuntimeError("x" * 10_000)))) < 700


def test_variables_come_back(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with impatience():
        assert int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) < 10
        assert int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) < 3
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_variables_come_back_after_an_error():
    with pytest.raises(ZeroDivisionError), environment(TUNER_TEST_VARIABLE="1"):
        raise ZeroDivisionError
    assert "TUNER_TEST_VARIABLE" not in os.environ


def test_a_quiet_logger_speaks_again(caplog):
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("some.library")
    with quiet("some.library"):
        logger.info("chatter")
        logger.warning("trouble")
    logger.info("after")
    assert [record.message for record in caplog.records] == ["trouble", "after"]
