"""The secret that every guard of the tests starts with."""

import pytest
from tests.guard.guards import SECRET


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", SECRET)
