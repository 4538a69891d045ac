from longline.sdk.heartbeat import LearntHeartbeat


def test_until_a_connection_dies_the_interval_is_what_the_server_allows() -> None:
    heartbeat = LearntHeartbeat(fixed=False)
    for _ in range(10):
        heartbeat.survived(60)
    assert heartbeat.within(60) == 45


def test_it_shrinks_when_a_connection_dies_and_grows_while_it_lives() -> None:
    heartbeat = LearntHeartbeat(fixed=False)
    heartbeat.died(400)
    assert heartbeat.within(400) == 150
    heartbeat.survived(400)
    assert heartbeat.within(400) == 187.5
    for _ in range(200):
        heartbeat.survived(400)
    assert heartbeat.within(400) == 300


def test_near_where_a_connection_has_died_it_grows_by_small_steps() -> None:
    heartbeat = LearntHeartbeat(fixed=False)
    heartbeat.died(400)
    steps = [heartbeat.within(400)]
    while steps[-1] < 300:
        heartbeat.survived(400)
        steps.append(heartbeat.within(400))
    assert steps == sorted(steps)
    assert steps[-2] / steps[-3] < 1.03


def test_it_stays_within_bounds_however_often_connections_die() -> None:
    heartbeat = LearntHeartbeat(fixed=False)
    for _ in range(20):
        heartbeat.died(60)
    assert heartbeat.within(60) == 10
    assert heartbeat.within(8) == 6, "the server wants it more often than the least"
    assert heartbeat.within(0) == 0, "and here not at all"


def test_what_the_caller_has_fixed_stays() -> None:
    heartbeat = LearntHeartbeat(fixed=True)
    heartbeat.died(60)
    heartbeat.survived(60)
    assert heartbeat.within(60) == 45
