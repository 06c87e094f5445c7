"""Puts a host together from its parts. The same for a test, a benchmark, one process and a cluster."""

from collections.abc import Awaitable, Callable, Mapping
from random import Random

from actors.autoplay import CatalogueAutoplay
from actors.contexts import Contexts
from actors.devices import Devices
from actors.host import PUT_AWAY_AFTER_S, EntityHost, Ticket
from actors.journal import Journal, LogWriter
from actors.listener import Listener
from actors.media_desk import MediaDesk
from actors.play_notes import PlayNotes
from actors.user_session import UserSession
from connect.frames import Limits
from kernel.ids import HostId, UserId, ulid
from kernel.units import Clock
from media.leases import Secrets
from storage.catalogue import Catalogue
from storage.library import Library
from storage.preferences import Preferences
from storage.stores import Stores


def build_host(
    host_id: HostId,
    *,
    shards: Mapping[int, int],
    stores: Stores,
    clock: Clock,
    rng: Random,
    lease_secrets: Secrets,
    verify_ticket: Callable[[str], Awaitable[Ticket]],
    edge_url: str,
    limits: Limits,
    measured: Callable[[float, float], None] = lambda gap_ms, jump_ms: None,
    may_act: Callable[[], bool] = lambda: True,
    put_away_after_s: float = PUT_AWAY_AFTER_S,
) -> EntityHost:
    """A host that owns `shards` (shard to epoch); `start` it in a running loop.

    `rng` seeds sessions and mints ids; `measured` is told the gap and jump of each handoff, in milliseconds;
    `may_act` says whether the host's lease holds, which without a lease it always does.
    """
    catalogue = Catalogue(stores.documents, clock)
    contexts = Contexts(catalogue)
    autoplay = CatalogueAutoplay(catalogue)
    desk = MediaDesk(catalogue, lease_secrets, clock, edge_url=edge_url, lease_s=limits.lease_s)
    writer = LogWriter(stores.log)
    library = Library(stores.documents, clock)
    preferences = Preferences(stores.documents)
    notes = PlayNotes(library, clock)

    def make_listener(user_id: UserId, owner_epoch: int) -> Listener:
        def make_session(listener: Listener) -> UserSession:
            return UserSession(
                user_id,
                journal=Journal(writer, f"session/{user_id}", owner_epoch),
                contexts=contexts,
                autoplay=autoplay,
                volatile=stores.volatile,
                clock=clock,
                seed=lambda: rng.getrandbits(63),
                publish=listener.publish,
                changed=listener.session_changed,
                lost=listener.lost,
                preferences=preferences,
                library=library,
                left=notes.left,
                rested=notes.rested,
            )

        def make_devices(listener: Listener) -> Devices:
            return Devices(
                journal=Journal(writer, f"devices/{user_id}", owner_epoch),
                clock=clock,
                active=lambda: listener.session.session.active_device_id,
                perform=listener.perform,
                shown=listener.devices_shown,
                lost=listener.lost,
            )

        return Listener(
            user_id,
            make_session=make_session,
            make_devices=make_devices,
            desk=desk,
            volatile=stores.volatile,
            clock=clock,
            limits=limits,
            mint=lambda: ulid(clock.now_ms(), rng),
            measured=measured,
            may_act=may_act,
        )

    return EntityHost(
        host_id,
        shards=shards,
        make_listener=make_listener,
        verify_ticket=verify_ticket,
        clock=clock,
        limits=limits,
        may_act=may_act,
        put_away_after_s=put_away_after_s,
    )
