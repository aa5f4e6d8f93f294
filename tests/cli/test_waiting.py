"""Threads of a command wait briefly, unless the user says how."""

from __future__ import annotations

import os
import sys

import pytest

from snnc.cli import main
from snnc.cli.waiting import wait_briefly


def test_what_the_user_set_stays() -> None:
    for given in ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}):
        environment = dict(given)
        wait_briefly(environment)
        assert environment == given


def test_a_command_sets_it_before_torch_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"PATH": os.environ["PATH"]}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(sys, "argv", ["snnc", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert environment["GOMP_SPINCOUNT"] == "10000"
