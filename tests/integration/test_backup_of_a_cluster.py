"""Every store of a cluster is lost, and brought back from snapshots by the steps of docs/operations.md."""

import asyncio
import re
import shlex
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.adversity.fleet import Books, Fleet
from tests.cluster.cluster import Cluster
from tests.integration.test_backup import AWAY, HERE, PAGE, WITHIN, begun
from tests.servers.redis_server import RedisServer
from tests.servers.zookeeper import Ensemble
from tests.waiting import until

pytestmark = [pytest.mark.shape("cluster")]


def snapshot(server: RedisServer, target: Path) -> None:
    """The page's command, of this server."""
    (line,) = re.findall(r"^valkey-cli .* --rdb .*", PAGE.read_text("utf-8"), re.MULTILINE)
    words = {
        "valkey-cli": "redis-cli",
        "store-1.internal": server.address,
        "/var/backups/store-1.rdb": target,
    }
    command = [str(words.get(word, word)) for word in shlex.split(line)]
    subprocess.run([*command, "-p", str(server.port)], check=True, capture_output=True, timeout=WITHIN)


def base_of_append_only(folder: Path) -> None:
    """The page's commands, in the folder that has the snapshot."""
    (block,) = re.findall(r"```sh\n(mkdir appendonlydir\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    subprocess.run(["sh", "-ec", block], cwd=folder, check=True, timeout=WITHIN)


def emptied(server: RedisServer, *kept: str) -> None:
    for path in server.directory.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def lost(cluster: Cluster) -> None:
    """Ends every store and deletes all that they had; ZooKeeper comes back empty."""
    cluster.redis.kill()
    cluster.zookeeper.kill()
    for server in cluster.redis.nodes:
        emptied(server)
    ensemble: Ensemble = cluster.zookeeper
    for peer in ensemble.servers:
        shutil.rmtree(peer.directory / "data" / "version-2")


async def test_what_waited_at_the_time_of_the_snapshots_arrives_after_the_loss_of_every_store(
    tmp_path: Path,
) -> None:
    books, snapshots = Books(), tmp_path / "snapshots"
    snapshots.mkdir()
    async with AsyncExitStack() as stack:
        cluster = Cluster(
            tmp_path / "cluster",
            rooms=1,
            centers=1,
            dispatchers=0,
            coordinators=1,
            redis_config={"appendonly": "yes"},
        )
        await stack.enter_async_context(cluster)
        redis = cluster.redis
        async with cluster.center() as center:
            secret, fleet = await begun(center, cluster.mqtt_port, books)
        for number, master in enumerate(redis.nodes[: redis.masters]):
            await asyncio.to_thread(snapshot, master, snapshots / f"store-{number}.rdb")
        await fleet.close()
        await asyncio.gather(*(process.kill() for process in cluster.processes))
        lost(cluster)

        redis.start()  # as for the first time: the masters get the slots that they had
        redis.kill()
        for number, master in enumerate(redis.nodes[: redis.masters]):
            emptied(master, "nodes.conf")
            shutil.copy(snapshots / f"store-{number}.rdb", master.directory / "dump.rdb")
            base_of_append_only(master.directory)
        for replica in redis.nodes[redis.masters :]:
            emptied(replica, "nodes.conf")
        redis.start()
        cluster.zookeeper.start()
        for process in cluster.processes:
            process.start()
        await asyncio.gather(*(process.ready() for process in cluster.processes))

        returning = Fleet(AWAY, cluster.mqtt_port, "news", secret, books)
        await returning.connect()
        assert not await books.settled(WITHIN), cluster.tail()
        async with cluster.center() as center:
            for message_id in books.messages:

                async def done(message_id: str = message_id) -> bool:
                    ledger = (await center.message("news", message_id)).ledger
                    assert ledger.targeted == ledger.pending + ledger.acked
                    return ledger.acked >= len(AWAY)

                await until(done)
            # A coordinator does its duties again, though it and the stores' sessions are of another ensemble.
            receipt = await center.send("news", "expires at once", devices=HERE, ttl=1)

            async def expired() -> bool:
                return (await center.message("news", receipt.message_id)).ledger.expired == len(HERE)

            await until(expired)
        await returning.close()
