"""The powers of the superuser over files, given up for a while: permissions count then."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VERSION = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2
_Sets = ctypes.c_uint32 * 6  # effective, permitted and inheritable, of bits 0 to 31 and 32 to 63


@contextmanager
def without_powers() -> Iterator[None]:
    """Let permissions of files count for this thread, even if it belongs to the superuser."""
    if os.geteuid() != 0:
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), _Sets()
    if library.capget(header, sets) != 0:
        pytest.skip("the superuser cannot give up its powers here")
    before = sets[0]
    sets[0] = before & ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    assert library.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = before
        assert library.capset(header, sets) == 0
