from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cutstream.accounts import account, owner_of, stranger_on
from tests.support.ports import free_ports, has_ipv6

NOBODY = 65534


def test_an_owner_is_that_of_the_file_or_of_the_folder_that_hides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        owner_of(file)
    file.touch()
    assert owner_of(file) == os.geteuid()
    stat = Path.stat

    def hidden(path: Path, **options: bool) -> os.stat_result:
        if path == file:
            raise PermissionError
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", hidden)
    assert owner_of(file) == stat(tmp_path).st_uid


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"])
def test_a_server_of_another_account_is_found_by_its_port(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if family == socket.AF_INET6 and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with socket.create_server((address, 0), family=family, dualstack_ipv6=family == socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert stranger_on(port) == ""
        own = account(os.geteuid())
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
        assert stranger_on(port) == own
        assert stranger_on(free_ports(1)[0]) == ""


def test_an_account_without_a_name_is_its_number() -> None:
    assert account(2**31 - 7) == str(2**31 - 7)
