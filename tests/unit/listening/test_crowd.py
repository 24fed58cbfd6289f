"""Which client makes room on a crowded listener: the one with the least to lose, of the peer with the most clients."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.listening import crowd
from aerodrome.listening.crowd import Client, ClientPhase, ConnectionLimits, Crowd

LIMITS = ConnectionLimits(total=6, each_peer=4, bodies_each_peer=2, passed_on=3, passed_on_each_peer=2)


def client(peer="a", phase=ClientPhase.HEAD, since=0.0, received=0, **more):
    return Client(peer, since, phase, received, **more)


def crowded(*clients):
    found = Crowd(LIMITS)
    for each in clients:
        assert found.enter(each, 100.0).leaving is None
    return found


def test_there_is_room_until_there_is_none():
    found = crowded(*(client(peer) for peer in "aaabbb"))
    assert found.enter(client("c"), 100.0).is_free


def test_the_peer_that_has_most_makes_room():
    clients = [client(peer) for peer in "aaaabb"]
    room = crowded(*clients).enter(client("c"), 100.0)
    assert room.is_free
    assert room.leaving in clients[:4]


def test_who_has_its_share_makes_room_for_itself_alone():
    clients = [client("a", since=float(number)) for number in range(4)]
    assert crowded(client("b", since=-1.0), *clients).enter(client("a"), 100.0).leaving is clients[0]


def test_the_order_in_which_they_leave():
    leaving = client(phase=ClientPhase.LEAVING, since=99.9)
    waiting = client(phase=ClientPhase.HEAD, since=90.0)
    slow = client(phase=ClientPhase.BODY, since=90.0, received=10)
    faster = client(phase=ClientPhase.BODY, since=10.0, received=1_000_000)
    found = crowded(faster, slow, waiting, leaving)
    for expected in (leaving, waiting, slow, faster):
        newcomer = client(since=100.0, phase=ClientPhase.SERVED)
        assert found.enter(newcomer, 100.0).leaving is expected
        found.leave(expected)


def test_a_body_that_comes_fast_makes_room_for_nobody():
    fast = client(phase=ClientPhase.BODY, since=90.0, received=10**8)
    assert not crowded(fast, *(client(phase=ClientPhase.SERVED) for _ in range(3))).enter(client(), 100.0).is_free


def test_whoever_is_served_stays():
    room = crowded(*(client(phase=ClientPhase.SERVED) for _ in range(4))).enter(client(), 100.0)
    assert not room.is_free
    assert room.leaving is None


def test_whoever_has_just_begun_stays_too_or_a_burst_would_push_out_whose_head_is_on_its_way():
    new = [client(phase=ClientPhase.BODY, since=99.9), client(phase=ClientPhase.HEAD, since=99.9)]
    found = crowded(*new, *(client(phase=ClientPhase.SERVED) for _ in range(2)))
    assert not found.enter(client(since=100.0), 100.0).is_free
    assert found.enter(client(since=101.0), 101.0).leaving is new[1]


def test_bodies_on_their_way_have_a_number_of_their_own():
    slow, other = client(phase=ClientPhase.BODY, received=1), client(phase=ClientPhase.BODY, received=10**6)
    newest = client(phase=ClientPhase.BODY, since=100.0)
    found = crowded(slow, other)
    assert found.begin_body(other, 100.0).leaving is None
    assert found.enter(newest, 100.0).is_free
    assert found.begin_body(newest, 100.0).leaving is slow
    assert not found.begin_body(newest, 0.1).is_free  # when all have just begun


def test_what_is_passed_on_has_a_number_of_its_own():
    clients = [client(peer, ClientPhase.SERVED) for peer in "aabb"]
    found = crowded(*clients, client("c", ClientPhase.SERVED))
    assert [found.pass_on(each, 100.0).is_free for each in clients] == [True, True, True, False]
    found.answered(clients[0])
    assert found.pass_on(clients[3], 100.0).is_free


def test_one_peer_has_a_part_of_it_and_its_slowest_makes_room():
    slow = client("a", ClientPhase.BODY, received=1)
    fast = client("a", ClientPhase.BODY, received=10**6)
    newest = client("a", ClientPhase.BODY, since=100.0)
    found = crowded(slow, fast, newest)
    for each in (slow, fast):
        assert found.pass_on(each, 1.0).leaving is None
    assert found.pass_on(newest, 100.0).leaving is slow


def test_a_byte_in_five_seconds_is_too_slow_and_a_modem_is_not():
    assert crowd.is_too_slow(2, 10.0)
    assert not crowd.is_too_slow(4200 * 10, 10.0)


@given(peers=st.lists(st.sampled_from("abc"), max_size=60), phases=st.data())
def test_the_bounds_hold_when_who_has_to_leaves(peers, phases):
    found = Crowd(LIMITS)
    inside = []
    for now, peer in enumerate(peers):
        each = client(peer, phases.draw(st.sampled_from(ClientPhase)), since=float(now))
        room = found.enter(each, float(now))
        inside.append(each)
        gone = room.leaving if room.is_free else each
        if gone is not None:
            assert gone in inside
            assert gone.phase is not ClientPhase.SERVED or gone is each
            found.leave(gone)
            inside.remove(gone)
        assert len(found) == len(inside) <= LIMITS.total
        assert all(sum(other.peer == name for other in inside) <= LIMITS.each_peer for name in "abc")
