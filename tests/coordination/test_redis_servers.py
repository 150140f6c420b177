"""Coordination through every make of server that a URL can name: socket, TLS, Sentinel, Cluster."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from supervisor_memkill.coordination.contract import Cause, CoordinationUnknown, SlotClaim
from supervisor_memkill.coordination.redis import RedisCoordinator
from tests.builders import report
from tests.coordination.refusals import NEEDED, SECRET
from tests.coordination.servers import (
    POOL,
    PREFIX,
    admin,
    allow,
    ask,
    at,
    key,
    over,
    redis_server,
    rules,
    works,
)
from tests.harness import PATIENCE_SECONDS, free_port, require_program, short_directory, wait_for
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


# --- one server ---------------------------------------------------------------------------------


def test_unix_socket() -> None:
    with redis_server() as server, at(f"unix://{server.socket}?db=2") as coordinator:
        assert works(coordinator)
        with admin(server) as other:
            other.select(2)
            assert other.exists(key())


@pytest.mark.parametrize("user", ["default", "memkill"])
def test_user_and_password(user: str) -> None:
    password = "p@ss:/w%rd"
    with redis_server() as server:
        with admin(server) as other:
            other.execute_command("ACL SETUSER", user, "on", "resetpass", f">{password}", "~*", "+@all")
        name = "" if user == "default" else user
        with at(f"redis://{name}:p%40ss%3A%2Fw%25rd@127.0.0.1:{server.port}/0") as coordinator:
            assert works(coordinator)


@dataclass(frozen=True)
class Certificate:
    """One that is its own authority, for the server and for its clients."""

    text: Path
    private_key: Path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    directory = tmp_path_factory.mktemp("tls")
    made = Certificate(directory / "cert.pem", directory / "key.pem")
    command = [require_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=memkill-test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(made.text), "-keyout", str(made.private_key)]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    return made


@contextlib.contextmanager
def tls_server(certificate: Certificate, auth_clients: str) -> Iterator[str]:
    """The URL of a server that speaks TLS, without options."""
    port = free_port()
    arguments = ["--tls-port", str(port), "--tls-auth-clients", auth_clients]
    arguments += ["--tls-cert-file", str(certificate.text), "--tls-key-file", str(certificate.private_key)]
    arguments += ["--tls-ca-cert-file", str(certificate.text)]
    with redis_server(*arguments):
        yield f"rediss://127.0.0.1:{port}/0"


def test_tls(certificate: Certificate) -> None:
    with tls_server(certificate, "no") as url:
        with at(f"{url}?ssl_ca_certs={certificate.text}") as coordinator:
            assert works(coordinator)
        with at(url) as coordinator, pytest.raises(CoordinationUnknown, match="certificate verify failed"):
            coordinator.view(POOL)
        with at(url.replace("rediss:", "redis:")) as coordinator, pytest.raises(CoordinationUnknown):
            coordinator.view(POOL)


def test_tls_with_a_certificate_of_the_client(certificate: Certificate) -> None:
    with tls_server(certificate, "yes") as url:
        verified = f"{url}?ssl_ca_certs={certificate.text}"
        own = f"&ssl_certfile={certificate.text}&ssl_keyfile={certificate.private_key}"
        with at(verified + own) as coordinator:
            assert works(coordinator)
        with at(verified) as coordinator, pytest.raises(CoordinationUnknown):
            coordinator.view(POOL)


# --- Sentinel -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """A primary with its replica, and the sentinel that promotes it."""

    primary: RealRedis
    replica: RealRedis
    url: str


@pytest.fixture
def watched() -> Iterator[Watched]:
    with contextlib.ExitStack() as cleanup:
        primary = cleanup.enter_context(redis_server("--repl-diskless-sync-delay", "0"))
        replica = cleanup.enter_context(redis_server("--replicaof", "127.0.0.1", str(primary.port)))
        with admin(replica) as client:
            wait_for(lambda: client.info("replication")["master_link_status"] == "up")
        port = cleanup.enter_context(sentinel(primary.port))
        yield Watched(primary, replica, f"redis+sentinel://127.0.0.1:{port}/mymaster/0")


@contextlib.contextmanager
def sentinel(primary_port: int) -> Iterator[int]:
    """One that needs no other to agree; its port, once it knows the replica."""
    port = free_port()
    settings = [f"port {port}", "bind 127.0.0.1", f"sentinel monitor mymaster 127.0.0.1 {primary_port} 1"]
    settings += ["sentinel down-after-milliseconds mymaster 500", "sentinel failover-timeout mymaster 3000"]
    with short_directory() as directory:
        path = directory / "sentinel.conf"
        path.write_text("\n".join(settings) + "\n")
        with (directory / "sentinel.out").open("wb") as output:
            command = [require_program("redis-server"), str(path), "--sentinel"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            with contextlib.closing(redis.Redis(port=port, decode_responses=True)) as client:
                wait_for(lambda: _replicas(client) == 1, PATIENCE_SECONDS, "the sentinel knows no replica")
            yield port
        finally:
            process.kill()
            process.wait()


def _replicas(client: Any) -> int:
    with contextlib.suppress(redis.RedisError):
        return int(client.sentinel_master("mymaster")["num-slaves"])
    return 0


def told(coordinator: RedisCoordinator, *slot_claims: SlotClaim) -> frozenset[str]:
    """The tokens that hold a slot; none while Redis is away."""
    with contextlib.suppress(CoordinationUnknown):
        reports = [over("a", 2.5), over("b"), report("c")]
        return coordinator.publish(POOL, rules(), reports, slot_claims).held
    return frozenset()


def test_slot_survives_the_promotion_of_a_replica(watched: Watched) -> None:
    with at(watched.url) as coordinator:
        told(coordinator)
        assert coordinator.acquire(POOL, rules(), ask("a", 2.5)).granted
        with admin(watched.primary) as client:
            offset = client.info("replication")["master_repl_offset"]
        with admin(watched.replica) as client:
            wait_for(lambda: client.info("replication")["slave_repl_offset"] >= offset)
        watched.primary.stop()
        with pytest.raises(CoordinationUnknown):
            coordinator.acquire(POOL, rules(), ask("b", 9.0))
        held = SlotClaim("a", "token-a", is_out=False)
        assert wait_for(lambda: told(coordinator, held), PATIENCE_SECONDS, "no replica was promoted") == {
            "token-a"
        }
        refused = coordinator.acquire(POOL, rules(), ask("b", 9.0))
        assert refused.refused is Cause.SLOTS_TAKEN
        coordinator.release(POOL, "a", "token-a", drained=True)
        assert coordinator.acquire(POOL, rules(), ask("b", 9.0)).granted


def test_user_of_a_watched_redis_needs_no_more_permissions(watched: Watched) -> None:
    with admin(watched.primary) as client:
        allow(client, "memkill", SECRET, NEEDED)
    with at(watched.url.replace("://", f"://memkill:{SECRET}@")) as coordinator:
        assert works(coordinator)


# --- Cluster ------------------------------------------------------------------------------------

NODES = 3
SLOTS = 16384


@dataclass(frozen=True)
class Cluster:
    nodes: tuple[RealRedis, ...]

    @property
    def url(self) -> str:
        return self.url_of("")

    def url_of(self, user: str) -> str:
        return f"redis+cluster://{user}" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def node_of(self, pool: str) -> int:
        """The number of the node that keeps this pool."""
        with admin(self.nodes[0]) as client:
            return int(client.cluster("KEYSLOT", key(pool))) * NODES // SLOTS

    def pool_on(self, number: int) -> str:
        return next(name for name in map("pool{}".format, range(1000)) if self.node_of(name) == number)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three primaries, each with a third of the slots."""
    with contextlib.ExitStack() as cleanup:
        nodes, buses = [], []
        for _ in range(NODES):
            buses.append(free_port())
            arguments = ["--cluster-enabled", "yes", "--cluster-port", str(buses[-1])]
            arguments += ["--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000"]
            nodes.append(cleanup.enter_context(redis_server(*arguments)))
        clients = [cleanup.enter_context(admin(node)) for node in nodes]
        for number, client in enumerate(clients):
            first, after = -(-number * SLOTS // NODES), -(-(number + 1) * SLOTS // NODES)
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, after - 1)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", nodes[number].port, buses[number])
        wait_for(
            lambda: all(_knows_all(client) for client in clients), PATIENCE_SECONDS, "the nodes do not meet"
        )
        yield Cluster(tuple(nodes))


def _knows_all(client: Any) -> bool:
    info = client.cluster("INFO")
    wanted = {"cluster_state": "ok", "cluster_slots_ok": str(SLOTS), "cluster_known_nodes": str(NODES)}
    return {name: info[name] for name in wanted} == wanted


def test_cluster_serves_pools_on_every_node(cluster: Cluster) -> None:
    with at(cluster.url) as coordinator:
        for number in range(NODES):
            assert works(coordinator, cluster.pool_on(number))
            assert works(coordinator, cluster.pool_on(number)), "once more, with the scripts known"
            with admin(cluster.nodes[number]) as client:
                assert client.exists(key(cluster.pool_on(number))), "it stands where it is looked for"


def test_keys_of_one_pool_are_one_slot(cluster: Cluster) -> None:
    pool = cluster.pool_on(1)
    with at(cluster.url) as coordinator:
        assert works(coordinator, pool)
        coordinator.publish(pool, rules(), [over("a")], [])
    with admin(cluster.nodes[1]) as client:
        keys = client.keys(f"{PREFIX}:{{{pool}}}*")
        assert len(keys) == 5
        assert len({client.cluster("KEYSLOT", name) for name in keys}) == 1


def test_node_that_forgot_the_scripts_is_sent_them_again(cluster: Cluster) -> None:
    with at(cluster.url) as coordinator:
        assert works(coordinator, cluster.pool_on(2))
        with admin(cluster.nodes[2]) as client:
            client.script_flush()
        assert works(coordinator, cluster.pool_on(2))


def test_user_of_a_cluster_needs_a_few_permissions_more(cluster: Cluster) -> None:
    """To learn which node keeps what; redis-py before 5 asks for info as well."""
    for node in cluster.nodes:
        with admin(node) as client:
            allow(client, "memkill", SECRET, [*NEEDED, "cluster|slots", "command", "info"])
            client.script_flush()
    with at(cluster.url_of(f"memkill:{SECRET}@")) as coordinator:
        assert works(coordinator)


def test_node_that_is_away_is_unknown_for_its_pools_alone(cluster: Cluster) -> None:
    with at(cluster.url) as coordinator:
        ours, theirs = cluster.pool_on(0), cluster.pool_on(2)
        for pool in (ours, theirs):
            assert works(coordinator, pool)
        cluster.nodes[2].stop()
        try:
            with pytest.raises(CoordinationUnknown):
                coordinator.view(theirs)
            assert works(coordinator, ours)
        finally:
            cluster.nodes[2].start()
        assert wait_for(lambda: _works(coordinator, theirs), PATIENCE_SECONDS)


def _works(coordinator: RedisCoordinator, pool: str) -> bool:
    with contextlib.suppress(CoordinationUnknown):
        return works(coordinator, pool)
    return False
