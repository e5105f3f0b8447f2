"""kill -9 under traffic: the short form of `python -m tests.node.kills`.

Planted bugs must be caught, or the judges are blind.
"""

import sys
from pathlib import Path

import pytest

from tests.node import kills

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_killed_node_loses_no_acknowledged_reply_and_debits_nothing_twice(
    tmp_path: Path,
) -> None:
    verdict = kills.run(tmp_path, kills=10, seed=1, lasting=False)
    print(verdict)
    assert verdict.broken == []
    # A run in which nothing was at stake proves nothing.
    assert verdict.acknowledged >= 20
    assert verdict.statuses["succeeded "] >= verdict.acknowledged / 2
    assert verdict.refunds >= 4
    assert verdict.given_up <= verdict.acknowledged / 10


def test_the_judges_see_an_acknowledgement_that_came_too_early(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.node.mutants", "acknowledge-before-commit"]
    verdict = kills.run(tmp_path, kills=10, seed=1, lasting=False, node_program=program)
    assert any("its yes was acknowledged" in line for line in verdict.broken), verdict
