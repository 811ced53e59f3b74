"""The power goes: of a file only that is left which was synced. A trace of the system calls tells it.

The producer runs under `strace`; what it wrote is written again into copies, in the same order, and
at each acknowledged commit the copies are taken as they stood at the last sync of each file.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text

from runtime.database import Database
from tests.support.children import ROOT
from tests.support.servers import surroundings

COMMITS = 5

PRODUCING = f"""
import os, sys
from producers import emit
from runtime.database import Database
from schema.events import ParticipantDeferred

database = Database(sys.argv[1])
for n in range({COMMITS}):
    with database.transaction() as connection:
        emit(connection, ParticipantDeferred(source_id=f"E-{{n}}", reason="other"))
    os.write(1, b"acknowledged")
os._exit(0)
"""

CALLS = "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,close"
CALL = re.compile(r"(?:\d+\s+)?(\w+)\((.*)\)\s+=\s+(-?\d+)")


@dataclass
class Disk:
    """The files of one folder as they stand, and as they stood when each was synced last."""

    now: dict[str, bytearray] = field(default_factory=dict[str, bytearray])
    synced: dict[str, bytes] = field(default_factory=dict[str, bytes])
    _names: dict[int, str] = field(default_factory=dict[int, str])
    syncs: int = 0

    def replay(self, trace: Path, folder: Path) -> Iterator[dict[str, bytes]]:
        """Do again what a trace tells; gives what is left at each acknowledgement."""
        for line in trace.read_text().splitlines():
            found = CALL.match(line)
            if found is None or found[3].startswith("-"):
                continue
            call, arguments = found[1], found[2]
            if call == "write" and arguments.startswith("1, "):
                yield dict(self.synced)
            else:
                self._do(call, arguments, int(found[3]), folder)

    def _do(self, call: str, arguments: str, result: int, folder: Path) -> None:
        if call == "openat":
            name = re.search(r'"([^"]*)"', arguments)
            path = Path(bytes.fromhex(name[1].replace("\\x", "")).decode()) if name else Path()
            if path.parent == folder:
                self._names[result] = path.name
                self.now.setdefault(path.name, bytearray())
            return
        number = int(arguments.partition(",")[0]) if arguments[0].isdigit() else -1
        name_here = self._names.get(number)
        if name_here is None:
            return
        if call == "close":
            del self._names[number]
        elif call == "pwrite64":
            self._write(name_here, arguments)
        elif call == "ftruncate":
            length = int(arguments.rpartition(", ")[2])
            content = self.now[name_here]
            self.now[name_here] = content[:length].ljust(length, b"\0")
        elif call in {"fsync", "fdatasync"}:
            self.syncs += 1
            self.synced[name_here] = bytes(self.now[name_here])

    def _write(self, name: str, arguments: str) -> None:
        shown = re.search(r'"((?:\\x[0-9a-f]{2})*)"', arguments)
        assert shown is not None
        content = bytes.fromhex(shown[1].replace("\\x", ""))
        offset = int(arguments.rpartition(", ")[2])
        there = self.now[name]
        if len(there) < offset + len(content):
            there.extend(b"\0" * (offset + len(content) - len(there)))
        there[offset : offset + len(content)] = content


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace on the PATH")
def test_what_was_acknowledged_is_there_after_the_power_went(
    tmp_path: Path, sqlite_template: Path
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    file = folder / "pillarbox.db"
    shutil.copy(sqlite_template, file)
    disk = Disk()
    disk.now[file.name] = bytearray(file.read_bytes())
    disk.synced[file.name] = file.read_bytes()
    trace = tmp_path / "trace"
    options = ["-f", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    program = [sys.executable, "-c", PRODUCING, f"sqlite:///{file}"]
    ran = subprocess.run(
        ["strace", *options, *program],
        cwd=ROOT,
        env=surroundings(),
        capture_output=True,
        check=False,
    )
    if ran.returncode != 0 and b"ptrace" in ran.stderr:
        pytest.skip("tracing is not allowed here")
    assert ran.returncode == 0, ran.stderr

    left = list(disk.replay(trace, folder))

    assert len(left) == COMMITS
    assert disk.syncs >= COMMITS
    for acknowledged, files in enumerate(left, start=1):
        after = tmp_path / f"after-{acknowledged}"
        after.mkdir()
        for name, content in files.items():
            if not name.endswith("-shm"):
                (after / name).write_bytes(content)
        with (
            closing(Database(f"sqlite:///{after / file.name}")) as database,
            database.reading() as connection,
        ):
            told = connection.execute(text("SELECT count(*) FROM outbox_entry")).scalar_one()
            assert told == acknowledged
