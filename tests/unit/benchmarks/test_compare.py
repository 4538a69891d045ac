"""What is compared, and what the table says of it."""

from pathlib import Path

import pytest
from benchmarks import compare
from benchmarks.compare import GROUPS, OURS, PEER, Case, Run, Series, as_json, cases, ratios, rows
from benchmarks.contenders import NEW_KEY, Kind, Server, certificate
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from longline.cli.bench import bench

CASE = Case("fanout", "fan-out", "fanout", [], "delivered_per_second", "deliveries/s")


def series(name: str, *figures: float, limited: bool = False, cpu: float | None = 0.5) -> Series:
    return Series(name, [Run(figure, cpu, 0.5, limited) for figure in figures])


def test_every_group_has_cases_and_no_case_has_another() -> None:
    assert {case.group for case in cases(5.0, 1.0)} == set(GROUPS)


@pytest.mark.parametrize(("seconds", "scale"), [(0.2, 0.01), (5.0, 1.0)])
def test_every_case_is_one_that_the_load_generator_understands(seconds: float, scale: float) -> None:
    for case in cases(seconds, scale):
        api = ["--key", "k"] if case.mode == "unicast" else []
        account = ["--app", "a", "--secret", "s"]
        _, bound, _ = bench.parse_args([case.mode, *case.flags, *account, *api], print_error=False)
        bound.arguments["plan"].check()


def test_titles_tell_cases_apart() -> None:
    titles = [(case.group, case.title) for case in cases(5.0, 1.0)]
    assert len(set(titles)) == len(titles)


def test_the_ratio_is_of_medians_and_the_rounds_show_its_spread() -> None:
    ours, other = series("a", 100, 300, 200), series("b", 100, 100, 400, cpu=0.25)
    assert ratios(ours, other) == {"ratio": 2.0, "lowest": 0.5, "highest": 3.0, "per_core": 1.0}


def test_nothing_to_divide_by_is_no_ratio() -> None:
    assert set(ratios(series("a", 1), series("b", 0)).values()) == {None}
    assert ratios(series("a", 1, cpu=None), series("b", 1))["per_core"] is None


def test_a_row_for_each_that_the_first_is_held_against() -> None:
    made = rows(CASE, [series("Longline", 10), series("mosquitto", 5), series("sink", 20)])
    assert [row.split(" | ")[4:7] for row in made] == [["mosquitto", "5", "2.00"], ["sink", "20", "0.50"]]
    assert len(rows(CASE, [series("Longline", 10)])) == 1
    assert {row.count("|") for row in (*made, *rows(CASE, [series("Longline", 10)]))} == {10}


def test_a_figure_that_the_load_limited_is_marked() -> None:
    row = rows(CASE, [series("Longline", 10, limited=True), series("mosquitto", 5)])[0]
    assert "10 (load was the limit)" in row
    assert "5 (load" not in row


def test_the_json_has_every_run() -> None:
    made = as_json(CASE, [series("Longline", 1, 2), series("mosquitto", 4, 4)])
    assert made["ratios"] == {
        "mosquitto": {"ratio": 0.375, "lowest": 0.25, "highest": 0.5, "per_core": 0.375}
    }
    sides = made["sides"]
    assert isinstance(sides, list)
    assert [len(side["runs"]) for side in sides] == [2, 2]


def test_another_begins_each_round_and_the_second_run_counts_where_it_shall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Devices that are known have been there before, at the same server."""
    asked: list[str] = []

    def measured(case: Case, side: compare.Side, server: Server, cpu: int) -> Run:
        asked.append(f"{side.name} {server.pid}")
        return Run(len(asked), None, 0.1, False)

    monkeypatch.setattr(compare, "measure", measured)
    sides = tuple(compare.Side(each.name, Starts()) for each in (OURS, PEER))
    case = Case("connects", "c", "connections", [], "f", "u", sides, again=True)
    found = compare.compare(case, 2, 0, 1)
    assert asked == [
        *("Longline 1", "Longline 1", "mosquitto 1", "mosquitto 1"),
        *("mosquitto 2", "mosquitto 2", "Longline 2", "Longline 2"),
    ]
    assert [[run.figure for run in each.runs] for each in found] == [[2, 8], [4, 6]]


class Starts:
    """Starts servers whose process ids count them."""

    def __init__(self) -> None:
        self.pid = 0

    def __call__(self, cpu: int) -> "Starts":
        return self

    def __enter__(self) -> Server:
        self.pid += 1
        return Server(self.pid, 1)

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("kind", NEW_KEY)
def test_certificates_have_the_key_that_is_asked_for(tmp_path: Path, kind: Kind) -> None:
    file, key = certificate(tmp_path, kind)
    public = x509.load_pem_x509_certificate(file.read_bytes()).public_key()
    if kind == "rsa":
        assert isinstance(public, rsa.RSAPublicKey)
        assert public.key_size == 2048
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert isinstance(public.curve, ec.SECP256R1)
    assert key.stat().st_mode & 0o444 == 0o444
