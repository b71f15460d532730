"""The command, ready to be called."""

import pytest
from command import Porl


@pytest.fixture
def porl(monkeypatch, capsys) -> Porl:
    return Porl(monkeypatch, capsys)
