"""Who has much to do takes turns with who has little."""

import asyncio

from longline.flow.turns import Lanes, Turns


class Work:
    """Pieces of work that are held until they are let go; `order` is the order in which they began."""

    def __init__(self, turns: Turns[str]) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.ends: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def bring(self, who: str, cost: int, pieces: int = 1) -> None:
        """Asks for turns, all at once, in order."""
        for _ in range(pieces):
            self.tasks.append(asyncio.create_task(self._work(who, cost)))
        await settle()

    async def _work(self, who: str, cost: int) -> None:
        async with self.turns.turn(who, cost):
            self.order.append(who)
            end = asyncio.Event()
            self.ends.append(end)
            await end.wait()

    async def end(self, pieces: int) -> None:
        """Ends one piece after the other, the oldest first."""
        for _ in range(pieces):
            self.ends.pop(0).set()
            await settle()

    async def end_all(self) -> None:
        """Ends them until all are done."""
        while self.ends:
            await self.end(1)
        await asyncio.gather(*self.tasks)
        assert (self.turns.under_way, self.turns.waiting) == (0, 0)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_single_push_goes_before_the_rest_of_six_great_batches() -> None:
    """However long the others' lines are: when it comes, it is among the next to go."""
    work = Work(Turns(at_once=4, quantum=2))
    for n in range(6):
        await work.bring(f"batch-{n}", 2, pieces=500)
    assert work.order == ["batch-0", "batch-0"], "alone when it began"
    await work.end(20)
    before = len(work.order)
    await work.bring("other", 1)
    await work.end_all()
    assert work.order.index("other") == before, "behind what was under way, and no round of the others"


async def test_who_always_comes_anew_takes_no_more_than_its_turn() -> None:
    """Otherwise six that have one piece at a time would go before who has a line, for ever."""
    turns: Turns[str] = Turns(at_once=2, quantum=2)
    order: list[str] = []
    over = False

    async def again(who: str) -> None:
        while not over:
            async with turns.turn(who, 2):
                order.append(who)
                await asyncio.sleep(0)

    async def line() -> None:
        await asyncio.gather(*(piece() for _ in range(20)))

    async def piece() -> None:
        async with turns.turn("line", 2):
            order.append("line")
            await asyncio.sleep(0)

    others = [asyncio.create_task(again(f"again-{n}")) for n in range(6)]
    await line()
    over = True
    await asyncio.gather(*others)
    assert len(order) < 20 * 8
    assert (turns.under_way, turns.waiting) == (0, 0)


async def test_turns_are_equal_in_work_however_it_is_cut() -> None:
    work = Work(Turns(at_once=10, quantum=10))
    await work.bring("first", 10)
    await work.bring("large", 10, pieces=20)
    await work.bring("small", 1, pieces=200)
    await work.end_all()
    half = work.order[: 1 + 5 + 50]
    assert 4 <= half.count("large") <= 6
    assert 40 <= half.count("small") <= 60


async def test_what_one_brings_stays_in_order_and_nothing_is_left_out() -> None:
    turns: Turns[str] = Turns(at_once=1, quantum=1)
    order: list[int] = []

    async def piece(number: int) -> None:
        async with turns.turn("a", 1):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(piece(n) for n in range(50)))
    assert order == list(range(50))
    assert turns.under_way == 0


async def test_nobody_waits_while_there_is_room() -> None:
    work = Work(Turns(at_once=4, quantum=2))
    await work.bring("a", 2)
    await work.bring("b", 2)
    assert work.order == ["a", "b"]
    await work.bring("c", 1)
    assert work.turns.waiting == 1
    await work.end_all()


async def test_a_piece_that_is_larger_than_everything_goes_alone() -> None:
    work = Work(Turns(at_once=4, quantum=2))
    await work.bring("a", 1)
    await work.bring("huge", 100)
    await work.bring("b", 1)
    assert work.order == ["a"]
    await work.end_all()
    assert sorted(work.order) == ["a", "b", "huge"]


async def test_small_work_waits_for_no_large_piece() -> None:
    """Also where it comes again and again, and is put off to a round of the others."""
    small: Turns[str] = Turns(at_once=4, quantum=2)
    large: Turns[str] = Turns(at_once=10, quantum=10)
    lanes = Lanes(small, large, least=5)
    order: list[str] = []
    end = asyncio.Event()

    async def piece(who: str, cost: int) -> None:
        async with lanes.turn(who, cost):
            order.append(who)
            await (end.wait() if cost == 10 else asyncio.sleep(0))

    batches = [asyncio.create_task(piece(f"batch-{n}", 10)) for n in range(6)]
    await settle()
    assert lanes.waiting == 5
    for _ in range(20):
        await piece("other", 1)
    assert order == ["batch-0", *["other"] * 20]
    end.set()
    await asyncio.gather(*batches)
    assert (lanes.waiting, large.under_way, small.under_way) == (0, 0, 0)


async def test_who_gives_up_waiting_leaves_the_turn_to_the_others() -> None:
    work = Work(Turns(at_once=1, quantum=1))
    await work.bring("a", 1)
    await work.bring("gone", 1)
    await work.bring("b", 1)
    work.tasks.pop(1).cancel()
    await settle()
    assert work.turns.waiting == 1
    await work.end_all()
    assert work.order == ["a", "b"]


async def test_a_turn_that_comes_as_one_gives_up_is_not_lost() -> None:
    work = Work(Turns(at_once=1, quantum=1))
    await work.bring("a", 1)
    await work.bring("gone", 1)
    await work.bring("b", 1)
    work.ends.pop(0).set()
    await asyncio.sleep(0)  # its turn has been given, and it has not run yet
    work.tasks.pop(1).cancel()
    await settle()
    assert work.order == ["a", "b"]
    await work.end_all()


async def test_work_that_fails_ends_its_turn() -> None:
    turns: Turns[str] = Turns(at_once=1, quantum=1)
    for _ in range(2):
        try:
            async with turns.turn("a", 1):
                raise ValueError
        except ValueError:
            pass
    assert turns.under_way == 0
