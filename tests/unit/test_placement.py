"""Who should own what, and what a host does about it."""

from actors.placement import Orders, Plan, handovers, in_steps, takeovers
from actors.shards import N_SHARDS
from kernel.ids import HostId
from storage.ports import HostRecord, ShardOwner

HOSTS = {
    HostId(f"host-{number}"): HostRecord(
        host_id=HostId(f"host-{number}"), incarnation=number + 1, heartbeat=0, address="ws://a", version="1"
    )
    for number in range(3)
}
A, B, C = HOSTS
EVEN = dict.fromkeys(HOSTS, 1.0)
NO_ORDERS = Orders()


def owned_by(host: HostId, *shards: int, epoch: int = 4) -> list[ShardOwner]:
    return [
        ShardOwner(
            shard=shard,
            owner_epoch=epoch,
            host_id=host,
            incarnation=HOSTS[host].incarnation,
            why="join",
        )
        for shard in shards
    ]


def shares(plan: Plan) -> dict[HostId, int]:
    owners = [plan.owner(shard) for shard in range(N_SHARDS)]
    return {host: owners.count(host) for host in HOSTS}


def test_a_drained_host_is_desired_nowhere_and_a_pin_beats_the_score() -> None:
    plan = Plan(EVEN, Orders(drained=frozenset({B}), pins={5: B, 6: HostId("gone")}))
    assert shares(plan)[B] == 1
    assert plan.owner(5) == B
    assert plan.is_pinned(5)
    assert not plan.is_pinned(6), "a pin to a host that is not there does not count"
    assert plan.owner(6) == plan.scores(6)[0][0]


def test_when_everybody_is_drained_whoever_is_there_goes_on() -> None:
    assert Plan({A: 1.0}, Orders(drained=frozenset({A}))).owner(7) == A
    assert Plan({}, NO_ORDERS).owner(7) is None


def test_a_host_takes_what_should_be_its_own_from_the_dead_and_nothing_from_the_living() -> None:
    plan = Plan({A: 1.0, B: 1.0}, NO_ORDERS)
    everything = [*range(N_SHARDS)]
    dead = owned_by(C, *everything[:2_000])
    alive = owned_by(B, *everything[2_000:4_000])
    taken = takeovers(HOSTS[A], [*dead, *alive], plan, lambda host, _: host != C)
    assert {each.shard for each in taken} == {
        shard for shard in everything if plan.owner(shard) == A and not 2_000 <= shard < 4_000
    }
    assert {(each.owner_epoch, each.why) for each in taken} == {(5, "takeover"), (1, "join")}
    assert {(each.host_id, each.incarnation) for each in taken} == {(A, 1)}


def test_what_a_dead_host_owned_is_taken_once_between_those_who_live() -> None:
    plan = Plan({A: 1.0, B: 1.0}, NO_ORDERS)
    dead = owned_by(C, *range(N_SHARDS))
    by_each = [takeovers(HOSTS[host], dead, plan, lambda host, _: host != C) for host in (A, B)]
    shards = [each.shard for taken in by_each for each in taken]
    assert sorted(shards) == list(range(N_SHARDS))


def test_an_owner_hands_over_what_should_be_anothers_and_only_to_the_living() -> None:
    plan = Plan(EVEN, NO_ORDERS)
    mine = dict.fromkeys(range(N_SHARDS), 4)
    moves = handovers(HOSTS[A], mine, plan, {A: HOSTS[A], B: HOSTS[B]})
    assert moves.keys() == {B}
    assert {move.shard for move in moves[B]} == {s for s in range(N_SHARDS) if plan.owner(s) == B}
    assert {(move.owner_epoch, move.host_id, move.incarnation, move.why) for move in moves[B]} == {
        (5, B, 2, "handoff")
    }


def test_shards_without_listeners_move_together_and_the_others_a_few_at_a_time() -> None:
    moves = owned_by(A, *range(30))
    steps = in_steps(moves, busy={3, 4, 5, 40}, at_once=2)
    assert [[move.shard for move in step] for step in steps] == [
        [shard for shard in range(30) if shard not in (3, 4, 5)],
        [3, 4],
        [5],
    ]
    assert in_steps([], busy={1}, at_once=2) == []
