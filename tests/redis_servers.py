"""Redis as operators run it: with TLS, as a cluster, behind sentinels."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.real_redis import RealRedis

NAME = "localhost"
"""The name in the certificate, which has no address."""


@dataclass(frozen=True)
class Certificates:
    """A certificate for `NAME`, signed by an authority of the tests' own."""

    directory: Path

    @property
    def authority(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def certificate(self) -> Path:
        return self.directory / "server.crt"

    @property
    def key(self) -> Path:
        return self.directory / "server.key"

    def settings(self, port: int, *, asks_clients: bool = False) -> list[str]:
        """The settings of a Redis that listens with TLS on this port; also for a sentinel."""
        values = {
            "tls-port": port,
            "tls-cert-file": self.certificate,
            "tls-key-file": self.key,
            "tls-ca-cert-file": self.authority,
            "tls-auth-clients": "yes" if asks_clients else "no",
            "tls-replication": "yes",
            "tls-cluster": "yes",
        }
        return [part for key, value in values.items() for part in (f"--{key}", str(value))]


def make_certificates(directory: Path) -> Certificates:
    openssl = require_program("openssl")
    made = Certificates(directory)
    new_key = [openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority_key = directory / "ca.key"
    # Python 3.13 and later demand the usage (ssl.VERIFY_X509_STRICT).
    as_authority = ["-x509", "-subj", "/CN=tests", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _run([*new_key, *as_authority, "-keyout", str(authority_key), "-out", str(made.authority)])
    request, names = directory / "server.csr", directory / "names"
    names.write_text(f"subjectAltName=DNS:{NAME}\nauthorityKeyIdentifier=keyid\n")
    _run([*new_key, "-subj", f"/CN={NAME}", "-keyout", str(made.key), "-out", str(request)])
    signing = ["-CA", str(made.authority), "-CAkey", str(authority_key), "-CAcreateserial"]
    signed = ["-extfile", str(names), "-in", str(request), "-out", str(made.certificate)]
    _run([openssl, "x509", "-req", *signing, *signed])
    return made


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS)


@contextmanager
def redis_with(directory: Path, *arguments: str) -> Iterator[RealRedis]:
    """A Redis with these arguments, in a new directory."""
    directory.mkdir()
    server = RealRedis(directory, *arguments)
    try:
        yield server.start()
    finally:
        server.stop()


@dataclass(frozen=True)
class Node:
    """A master of a cluster."""

    server: RealRedis
    tls_port: int
    bus_port: int


@contextmanager
def cluster(directory: Path, certificates: Certificates) -> Iterator[tuple[Node, Node]]:
    """Two masters, each with half of the slots, with and without TLS."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_node(directory / name, certificates)) for name in ("one", "two")]
        one, two = nodes
        with one.server.client() as first, two.server.client() as second:
            first.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8191)
            second.execute_command("CLUSTER ADDSLOTSRANGE", 8192, 16383)
            first.execute_command("CLUSTER MEET", "127.0.0.1", two.tls_port, two.bus_port)
            wait_for(lambda: all("cluster_state:ok" in _cluster_info(node.server) for node in nodes))
        yield one, two


@contextmanager
def _node(directory: Path, certificates: Certificates) -> Iterator[Node]:
    tls_port, bus_port = free_port(), free_port()
    settings = certificates.settings(tls_port)
    cluster_settings = ("--cluster-enabled", "yes", "--cluster-port", str(bus_port))
    with redis_with(directory, *settings, *cluster_settings) as server:
        yield Node(server, tls_port, bus_port)


def _cluster_info(server: RealRedis) -> str:
    """Redis's own text: redis-py's parsing of it differs between versions."""
    return answer_of(server.port, "CLUSTER INFO")


def answer_of(port: int, command: str) -> str:
    """The bytes that the server sends in answer, as text; redis-py parses none of them."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(65536).decode()


@contextmanager
def sentinel(directory: Path, settings: Sequence[str], *arguments: str) -> Iterator[int]:
    """A sentinel with these lines in its file, and these arguments; its port without TLS."""
    port = free_port()
    path = directory / f"sentinel-{port}.conf"
    path.write_text("\n".join([f"port {port}", "bind 127.0.0.1", *settings, ""]))
    command = [require_program("redis-server"), str(path), "--sentinel", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port), message="the sentinel does not answer")
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
