"""The error messages of `load`."""

from pathlib import Path
from typing import Any

import pytest

from tuner.data import Preparation, load
from tuner.errors import DataError


def refusal(path: Path | str, *, labels: str | None = None, **given: Any) -> str:
    """Return the message with which `load` fails, after checking its form."""
    with pytest.raises(DataError) as caught:
        load(str(path), labels=labels, preparation=Preparation(**given))
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert ": " in sentence  # before the remedy
    assert caught.value.exit_code == 3
    return sentence
