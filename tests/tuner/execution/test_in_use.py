"""What is in use of a cluster that is closed."""

import ray

from tuner.execution.cluster import Cluster


def test_a_closed_cluster_is_not_asked_since_that_would_start_another():
    assert not ray.is_initialized()
    assert object.__new__(Cluster).in_use() == {}
    assert not ray.is_initialized()
