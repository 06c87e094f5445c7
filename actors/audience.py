"""The connected devices of one user. A push is encoded once per encoding, however many they are."""

from actors.peer import Peer
from connect.codec import Encoding, encode
from connect.frames import Push
from connect.outbox import Delivery
from connect.replay import Replay
from kernel.ids import DeviceId


class Audience:
    """Peers by device: at most one each."""

    __slots__ = ("peers", "replay")

    def __init__(self, replay: Replay) -> None:
        self.peers: dict[DeviceId, Peer] = {}
        self.replay = replay

    def publish(self, push: Push, *, but: DeviceId | None = None) -> None:
        """Tell everybody, except the device `but`, which knows already."""
        encoded: dict[Encoding, bytes] = {}
        for device_id, peer in self.peers.items():
            if device_id == but:
                continue
            data = encoded.get(peer.encoding)
            if data is None:
                data = encoded[peer.encoding] = encode(push, peer.encoding)
            peer.send_encoded(data, Delivery.STATE)
        if push.durable:
            size = len(next(iter(encoded.values()), b"")) or len(encode(push, Encoding.MSGPACK))
            self.replay.append(push, size=size)
