"""Ports that tell jobs apart."""

import itertools
import socket
import subprocess
import sys

import pytest

from wwdc.cluster.ports import BLOCKS, PORTS, ports


def test_jobs_at_a_time_have_ports_of_their_own():
    jobs, users = range(5000, 5030), range(1000, 1030)
    for mine, theirs in itertools.combinations(jobs, 2):
        assert not {*ports(mine, 1000, bool).values()} & {*ports(theirs, 1000, bool).values()}
    for mine, theirs in itertools.combinations(users, 2):
        assert not {*ports(5000, mine, bool).values()} & {*ports(5000, theirs, bool).values()}


def test_all_lie_where_linux_gives_none_away():
    for job in range(BLOCKS):
        found = ports(job, 0, bool).values()
        assert len({*found}) == len(PORTS)
        assert all(1024 < port < 32768 for port in found)


def test_a_block_with_a_port_in_use_is_passed_over():
    own = ports(7, 0, bool)
    used = own["agent"]
    others = ports(7, 0, lambda port: port != used)
    assert not {*own.values()} & {*others.values()}
    with pytest.raises(OSError, match="is used"):
        ports(7, 0, lambda port: False)


def test_the_command_looks_at_the_machine():
    def ask() -> dict[str, int]:
        command = [sys.executable, "-m", "wwdc.cluster.ports", "7", "0"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {name: int(port) for name, port in (line.split("=") for line in told.splitlines())}

    first = ask()
    assert set(first) == set(PORTS)
    with socket.socket() as other:
        other.bind(("", first["gcs"]))
        other.listen()
        assert not {*first.values()} & {*ask().values()}
