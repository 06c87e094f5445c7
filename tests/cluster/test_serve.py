"""REST on real Ray: a host in one process, HAProxy and a replica in others, requests over a real port."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from actors.clock import SystemClock
from actors.cluster import actor_name, spawn
from catalog.model import Plan
from serve.accounts import Accounts
from serve.deployments import start_api, stop_api
from serve.host_process import HostProcess, host_id
from serve.settings import Settings
from storage.catalogue import Catalogue
from storage.stores import open_stores
from tests.support.hosting import ALBUM, fill_catalogue
from tests.support.listening_ports import listeners, with_children

pytestmark = pytest.mark.usefixtures("ray_cluster")

PASSWORD = "correct horse"


async def test_rest_runs_behind_haproxy_on_one_port_of_this_machine(cluster_settings: Settings) -> None:
    """One test, since one start takes ten seconds."""
    clock = SystemClock()
    stores = open_stores(cluster_settings.data_dir, clock)
    hosts = [
        spawn(actor_name(host_id(index)), HostProcess, cluster_settings, index)
        for index in range(cluster_settings.hosts)
    ]
    try:
        await fill_catalogue(Catalogue(stores.documents, clock))
        await Accounts(stores.documents, clock).add("ada", PASSWORD, plan=Plan.PREMIUM, country="NL")
        await asyncio.gather(*(host.start() for host in hosts))
        await start_api(cluster_settings)
        async with httpx.AsyncClient(base_url=cluster_settings.http_url, trust_env=False) as client:
            await _answers(client, cluster_settings)
            await _answers_for_itself(client)
        _listens_where_it_should(cluster_settings)
    finally:
        await stop_api()
        await asyncio.gather(*(host.stop() for host in hosts))
        await stores.close()


async def _answers(client: httpx.AsyncClient, settings: Settings) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok", "store": "ok"}
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    token = (await client.post("/api/token", data=form)).json()["access_token"]
    client.headers["authorization"] = f"Bearer {token}"
    assert (await client.get(f"/v1/albums/{ALBUM}")).json()["name"] == "Studies"
    # These two go on to the host of this user, in another process.
    assert (await client.get("/v1/me/player/devices")).json() == {"devices": []}
    nowhere = await client.put("/v1/me/player/play", json={"context_uri": f"spotify:album:{ALBUM}"})
    assert (nowhere.status_code, nowhere.json()["error"]["reason"]) == (404, "NO_ACTIVE_DEVICE")
    way = (await client.get("/v1/connect")).json()
    assert way["url"] in {settings.socket_url(index) for index in range(settings.hosts)}


async def _answers_for_itself(client: httpx.AsyncClient) -> None:
    """It is HAProxy that answers, and it lets our refusals through as they are."""
    assert (await client.get("/-/routes")).json() == {"/": "segue"}
    refused = await client.get("/v1/nothing")
    assert (refused.status_code, refused.json()["error"]["reason"]) == (404, "NOT_FOUND")
    assert (await client.get("/v1/me", headers={"authorization": "none"})).status_code == 401
    guess = {"grant_type": "password", "username": "nobody", "password": "guess"}
    # Each from another address, if the client had its way.
    answers = [
        await client.post("/api/token", data=guess, headers={"x-forwarded-for": f"10.0.0.{number}"})
        for number in range(12)
    ]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def _listens_where_it_should(settings: Settings) -> None:
    """HAProxy has one TCP port, and that on loopback; statistics and metrics are sockets in a folder."""
    public = {("127.0.0.1", settings.http_port)}
    ours = [process_id for process_id in with_children(os.getpid()) if listeners(process_id) & public]
    assert len(ours) == 1, "HAProxy, and nobody beside it"
    assert "haproxy" in Path(f"/proc/{ours[0]}/cmdline").read_text()
    assert listeners(ours[0]) == public
