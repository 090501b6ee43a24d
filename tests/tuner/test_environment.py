import logging
import os

import pytest

from tuner.environment import environment, quiet_logger


def test_variables_are_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), environment(TUNER_TEST_VARIABLE="1"):
        raise ZeroDivisionError
    assert "TUNER_TEST_VARIABLE" not in os.environ


def test_the_level_of_a_quiet_logger_is_restored(caplog):
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("some.library")
    with quiet_logger("some.library"):
        logger.info("chatter")
        logger.warning("trouble")
    logger.info("after")
    assert [record.message for record in caplog.records] == ["trouble", "after"]
