import time

STARTED = time.monotonic()
"""When the benchmark began, before any large import; deadlines count from here."""
