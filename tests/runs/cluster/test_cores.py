"""Cores: every process has its share, and no core is left over or given twice."""

import pytest

from metadescent.runs.cluster.cores import keep_to, kept_to, own_cores, share_of


def test_shares_are_parts_of_the_whole() -> None:
    for count in range(1, 9):
        for processes in range(1, count + 1):
            cores = list(range(10, 10 + count))
            shares = [share_of(cores, processes, index) for index in range(processes)]
            assert [core for share in shares for core in share] == cores
            sizes = [len(share) for share in shares]
            assert max(sizes) - min(sizes) <= 1


def test_where_there_are_too_few_each_process_has_all() -> None:
    assert share_of([0], 2, 1) == [0]
    assert share_of([], 2, 0) == []


def test_a_process_keeps_to_some_cores_until_the_context_ends() -> None:
    before = own_cores()
    if not before:
        pytest.skip("this system does not say which cores a process may use")
    with kept_to(before[:1], afterwards=before):
        assert own_cores() == before[:1]
    assert own_cores() == before
    # Where the system has not said which there are, nothing is asked of it.
    keep_to([])
    assert own_cores() == before
