"""Writes stream leases: which bytes one device may fetch for one play, and until when."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from catalog.entitlement import choose_rendition
from catalog.model import Codec, Plan, Rendition, Track, gain_db
from connect.frames import Capabilities, DeviceInfo, Lease
from kernel.errors import Rejected
from kernel.ids import PlayId, SessionId, TrackId, Uid, Uri, UserId, parse_uri
from kernel.units import Clock, Millis
from media.leases import LeaseClaims, Secrets, sign, stream_path
from storage.catalogue import Catalogue


class Wanted(NamedTuple):
    """One item to be played."""

    uid: Uid
    play_id: PlayId
    uri: Uri


class MediaDesk:
    """One per host. Chooses a rendition for the device and signs for it."""

    def __init__(
        self, catalogue: Catalogue, secrets: Secrets, clock: Clock, *, edge_url: str, lease_s: int
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._clock = clock
        self._edge_url = edge_url
        self.lease_ms = Millis(lease_s * 1000)

    async def leases(
        self,
        wanted: Sequence[Wanted],
        *,
        user_id: UserId,
        session_id: SessionId,
        device: DeviceInfo,
        device_epoch: int,
        plan: Plan,
        throughput_kbps: int | None,
        chosen: Mapping[PlayId, str],
    ) -> tuple[Lease, ...]:
        """A lease for each item that this device may and can play, in order; others are left out.

        `chosen` keeps the rendition of plays that have begun: quality changes at the start of a track only.
        Raises Unavailable when the catalogue's store does not answer.
        """
        tracks = await self._catalogue.tracks([_track_id(item.uri) for item in wanted])
        expires_at_ms = Millis(self._clock.now_ms() + self.lease_ms)
        leases = []
        for item, track in zip(wanted, tracks, strict=True):
            if track is None:
                continue
            track = await self._catalogue.copy_of(track) or track
            try:
                rendition = _rendition(
                    track, device.capabilities, plan, throughput_kbps, chosen.get(item.play_id)
                )
            except Rejected:
                continue
            claims = LeaseClaims(
                user_id=user_id,
                device_id=device.device_id,
                session_id=session_id,
                device_epoch=device_epoch,
                play_id=item.play_id,
                track_id=track.track_id,
                bitrate_kbps_max=rendition.bitrate_kbps,
                expires_at_ms=expires_at_ms,
            )
            leases.append(
                Lease(
                    uid=item.uid,
                    play_id=item.play_id,
                    uri=item.uri,
                    url=self._edge_url + stream_path(sign(claims, self._secrets)),
                    expires_at_ms=expires_at_ms,
                    rendition=rendition.name,
                    gain_db=round(gain_db(track.loudness_lufs, track.true_peak_db), 2),
                    duration_ms=track.duration_ms,
                )
            )
        return tuple(leases)

    async def offered(
        self, track_uri: Uri, device: DeviceInfo, plan: Plan, throughput_kbps: int | None
    ) -> tuple[frozenset[Codec], Rendition | None]:
        """The codecs there are of a track, and the rendition this device would get, if any."""
        (track,) = await self._catalogue.tracks([_track_id(track_uri)])
        if track is None:
            return frozenset(), None
        track = await self._catalogue.copy_of(track) or track
        codecs = frozenset(rendition.codec for rendition in track.renditions)
        try:
            return codecs, _rendition(track, device.capabilities, plan, throughput_kbps, None)
        except Rejected:
            return codecs, None


def _rendition(
    track: Track, capabilities: Capabilities, plan: Plan, throughput_kbps: int | None, chosen: str | None
) -> Rendition:
    """Raises Rejected NOT_PLAYABLE."""
    for rendition in track.renditions:
        if rendition.name == chosen:
            return rendition
    return choose_rendition(
        track,
        plan=plan,
        codecs=capabilities.codecs,
        bitrate_kbps_max=capabilities.bitrate_kbps_max,
        throughput_kbps=throughput_kbps,
    )


def _track_id(track_uri: Uri) -> TrackId:
    parsed = parse_uri(track_uri)
    return TrackId(parsed[1] if parsed else "")
