"""The settings tree: strict about names, types and bounds, and aware of where each value came from."""

import ast
import tomllib
from pathlib import Path

import pytest

import longline
from longline.errors import SettingsError
from longline.settings import CATALOGUE, Secret, Settings, load, reference_page
from longline.settings.reference import plain, text

LIMITED_BY_ANOTHER = {"room.connect_packet_size", "room.default_keep_alive"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "longline.toml"


def problems_of(
    file: Path | None = None, environ: dict[str, str] | None = None, flags: dict[str, object] | None = None
) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(file, environ, flags)
    assert caught.value.code == "bad_setting"
    return dict(caught.value.details)


def test_without_any_source_every_setting_has_its_default() -> None:
    loaded = load()
    assert loaded.settings == Settings()
    assert set(loaded.sources) == set(CATALOGUE)
    assert set(loaded.sources.values()) == {"default"}


def test_the_contract_s_ports_and_addresses_are_the_defaults() -> None:
    room, center = load().settings.room, load().settings.center
    assert (room.port, room.tls_port, room.ws_port, room.wss_port, center.port) == (
        1883,
        8883,
        8083,
        8084,
        8080,
    )
    assert room.host == center.host == "127.0.0.1"
    assert room.anonymous_app is None


def test_file_environment_and_flags_override_in_that_order(file: Path) -> None:
    file.write_text("room.port = 1\ncenter.port = 1\nnode.status_port = 1\n")
    environ = {"LONGLINE_CENTER__PORT": "2", "LONGLINE_NODE__STATUS_PORT": "2"}
    loaded = load(file, environ, {"node.status_port": "3"})
    settings = loaded.settings
    assert (settings.room.port, settings.center.port, settings.node.status_port) == (1, 2, 3)
    assert loaded.sources["room.host"] == "default"
    assert loaded.sources["room.port"] == f"file {file}"
    assert loaded.sources["center.port"] == "environment LONGLINE_CENTER__PORT"
    assert loaded.sources["node.status_port"] == "flag --node.status_port"


@pytest.mark.parametrize(
    ("toml", "name", "hint"),
    [
        ("[room]\nprot = 1", "room.prot", "did you mean room.port?"),
        ("[rom]\nport = 1", "rom", "did you mean room?"),
        ("port = 1", "port", "did you mean room.port?"),
        ("[center]\ndefault_keep_alive = 1", "center.default_keep_alive", "room.default_keep_alive?"),
        ("[room]\nzzz = 1", "room.zzz", "unknown setting (file"),
        ("[zzz.deeper]\nx = 1", "zzz", "unknown setting (file"),
    ],
)
def test_an_unknown_name_is_an_error_that_proposes_the_nearest(
    file: Path, toml: str, name: str, hint: str
) -> None:
    file.write_text(toml)
    problems = problems_of(file)
    assert list(problems) == [name]
    assert hint in problems[name]


@pytest.mark.parametrize(
    "toml",
    [
        "[room]\nport = '1883'",  # TOML has numbers: text is not one
        "[room]\nport = 18.5",
        "[room]\nport = true",
        "[room]\nport = 65536",
        "[room]\nport = -1",
        "[room]\nport = {a = 1}",
        "[room]\nconnect_timeout = nan",
        "[room]\nconnect_timeout = inf",
        "[room]\nallow = '10.0.0.0/8'",
        "[room]\nallow = ['10.0.0.0/33']",
        "[room]\nallow = ['10.0.0.1/8']",
        "[room]\ndeny = ['example.org']",
        "[node]\nlog_level = 'loud'",
        "[node]\nname = 'a name with spaces'",
        "[node]\ngc_freeze = 1",
        "room = 1",
        "data_dir = ''",
        "data_dir = 7",
        "admin_key = 'with space'",
        "admin_key = 'ключ'",
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_refused(file: Path, toml: str) -> None:
    file.write_text(toml, encoding="utf-8")
    assert len(problems_of(file)) == 1


def test_all_mistakes_are_reported_at_once(file: Path) -> None:
    file.write_text("[room]\nprot = 1\nport = -1\n")
    assert set(problems_of(file, {"LONGLINE_CENTER__PORT": "x"})) == {"room.prot", "room.port", "center.port"}


def test_a_wrong_value_is_told_with_what_is_wanted_and_where_it_came_from() -> None:
    problem = problems_of(environ={"LONGLINE_ROOM__CONNECT_TIMEOUT": "soon"})["room.connect_timeout"]
    assert "number from 0.1 to 300 s wanted" in problem
    assert "environment LONGLINE_ROOM__CONNECT_TIMEOUT" in problem


@pytest.mark.parametrize("content", [b"[room", b"room.port = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_an_error_that_names_it(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert str(file) in problems_of(file)[""]


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(file: Path) -> None:
    assert str(file) in problems_of(file)[""]


def test_the_environment_speaks_every_type() -> None:
    settings = load(
        environ={
            "LONGLINE_ADMIN_KEY": "k" * 40,
            "LONGLINE_DATA_DIR": "/srv/longline",
            "LONGLINE_NODE__GC_FREEZE": "false",
            "LONGLINE_NODE__LOOP": "asyncio",
            "LONGLINE_ROOM__PORT": "1884",
            "LONGLINE_ROOM__ACK_DELAY": "2.5",
            "LONGLINE_ROOM__ALLOW": "10.0.0.0/8, ::1/128",
            "LONGLINE_ROOM__ANONYMOUS_APP": "news",
        }
    ).settings
    assert settings.admin_key == Secret("k" * 40)
    assert settings.database == Path("/srv/longline/longline.db")
    assert settings.node.gc_freeze is False
    assert settings.node.loop == "asyncio"
    assert settings.room.port == 1884
    assert settings.room.ack_delay == 2.5
    assert settings.room.allow == ("10.0.0.0/8", "::1/128")
    assert settings.room.anonymous_app == "news"


def test_an_unknown_variable_of_a_section_is_an_error() -> None:
    assert "did you mean room.port?" in problems_of(environ={"LONGLINE_ROOM__PROT": "1"})["room.prot"]


def test_a_mistyped_top_level_variable_is_an_error() -> None:
    assert "did you mean admin_key?" in problems_of(environ={"LONGLINE_ADMIN_KYE": "x"})["admin_kye"]


def test_variables_that_a_container_platform_sets_for_a_service_called_longline_are_not_ours() -> None:
    environ = {
        "LONGLINE_PORT": "tcp://10.0.0.1:1883",
        "LONGLINE_SERVICE_HOST": "10.0.0.1",
        "LONGLINE_PORT_1883_TCP_ADDR": "10.0.0.1",
        "LONGLINE_NO_COMPILE": "1",
        "HOME": "/root",
    }
    assert load(environ=environ).settings == Settings()


def test_an_empty_variable_counts_as_not_set() -> None:
    loaded = load(environ={"LONGLINE_ROOM__PORT": "", "LONGLINE_ADMIN_KEY": ""})
    assert loaded.settings == Settings()
    assert loaded.sources["room.port"] == "default"


def test_a_flag_may_be_typed_already() -> None:
    assert load(flags={"data_dir": Path("/x"), "room.port": 9}).settings.data_dir == Path("/x")


def test_an_unknown_flag_is_an_error() -> None:
    assert "flag --room.prot" in problems_of(flags={"room.prot": "1"})["room.prot"]


@pytest.mark.parametrize(
    ("flags", "blamed"),
    [
        ({"room.max_packet_size": "4096"}, "room.connect_packet_size"),
        ({"room.max_keep_alive": "60"}, "room.default_keep_alive"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags: dict[str, object], blamed: str) -> None:
    assert list(problems_of(flags=flags)) == [blamed]


@pytest.mark.parametrize("section", ["room", "center"])
@pytest.mark.parametrize(("given", "blamed"), [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
def test_a_certificate_and_its_key_are_set_together(section: str, given: str, blamed: str) -> None:
    """Else a node whose operator believes it encrypted would listen in clear."""
    assert list(problems_of(flags={f"{section}.{given}": "/a/file.pem"})) == [f"{section}.{blamed}"]


def test_authorities_of_clients_without_a_certificate_to_show_them_are_a_mistake() -> None:
    assert list(problems_of(flags={"room.tls_client_ca": "/a/file.pem"})) == ["room.tls_client_ca"]


def test_something_acts_on_every_setting_that_may_be_set() -> None:
    """Its name is read somewhere in the program, or where it is said which ports there are."""
    source = Path(longline.__file__).parent
    read = {
        node.attr
        for path in source.rglob("*.py")
        if "settings" not in path.relative_to(source).parts or path.name == "listeners.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert {name for name, entry in CATALOGUE.items() if entry.key not in read and not entry.awaited} == set()


def test_a_secret_is_never_shown() -> None:
    settings = load(environ={"LONGLINE_ADMIN_KEY": "hunter2hunter2"}).settings
    assert settings.admin_key is not None
    assert settings.admin_key.reveal() == "hunter2hunter2"
    for shown in (repr(settings), str(settings), str(settings.admin_key), text(settings.admin_key)):
        assert "hunter2" not in shown
    assert plain(settings.admin_key) == "hidden"


@pytest.mark.parametrize(
    "key", ["k", "short", "1234567", "change-me-before-anybody-can-reach-this", "CHANGEME-CHANGEME"]
)
def test_an_admin_key_that_is_short_or_known_is_refused_and_not_shown(key: str) -> None:
    problems = problems_of(environ={"LONGLINE_ADMIN_KEY": key})
    assert list(problems) == ["admin_key"]
    assert key not in problems["admin_key"]


def test_a_refused_secret_is_not_in_the_error_either() -> None:
    assert "hunter 2" not in str(problems_of(environ={"LONGLINE_ADMIN_KEY": "hunter 2"}))


def test_a_payload_of_the_contract_s_size_fits_a_packet() -> None:
    assert load().settings.room.max_packet_size >= 256 * 1024 + 65535 // 2


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_setting_has_a_doc_and_every_number_bounds_and_a_default_within(name: str) -> None:
    entry = CATALOGUE[name]
    assert entry.doc.endswith("."), "a doc is made of sentences"
    if entry.base in (int, float):
        low, high, default = entry.meta.ge, entry.meta.le, entry.default
        assert low is not None
        assert high is not None
        assert isinstance(default, (int, float))
        assert low <= default <= high
        if name not in LIMITED_BY_ANOTHER and not entry.awaited:
            assert load(environ={entry.env: str(high)}).sources[name] == f"environment {entry.env}"


def test_the_reference_page_in_docs_is_current() -> None:
    """If this fails, run `make docs`."""
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == reference_page()


def test_the_reference_page_names_every_setting_its_variable_and_its_doc() -> None:
    page = reference_page()
    for entry in CATALOGUE.values():
        assert f"`{entry.name}`<br>`{entry.env}`" in page
        assert entry.doc in page


def test_the_example_on_the_reference_page_is_valid(file: Path) -> None:
    example = reference_page().partition("```toml\n")[2].partition("```")[0]
    assert tomllib.loads(example)
    file.write_text(example)
    assert load(file).settings.room.host == "0.0.0.0"


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "push.example.org:1883", "[::1]", "https://push.example.org"]
)
def test_what_clients_are_told_is_a_host_that_they_can_connect_to(host: str) -> None:
    assert set(problems_of(flags={"room.advertise": host})) == {"room.advertise"}


@pytest.mark.parametrize("host", ["push.example.org", "10.0.0.1", "::1", "localhost"])
def test_clients_are_told_a_name_or_an_address_of_either_family(host: str) -> None:
    assert load(flags={"room.advertise": host}).settings.room.advertise == host


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@127.0.0.1:6379",
        "rediss://anna:hunter2@store",
        "redis://a:6379,redis://:hunter2@b:6379",
        "redis://:hunter2/with?more#of,it@store",
        "anna:hunter2@store",
    ],
)
def test_a_password_inside_the_url_of_the_store_is_refused_and_not_repeated(url: str) -> None:
    problems = problems_of(environ={"LONGLINE_STORE__URL": url})
    assert set(problems) == {"store.url"}
    assert "store.password" in problems["store.url"]
    assert "hunter2" not in str(problems)


def test_a_secret_may_end_with_the_newline_that_files_end_with() -> None:
    loaded = load(environ={"LONGLINE_ADMIN_KEY": "hunter2hunter2\n"})
    assert loaded.settings.admin_key == Secret("hunter2hunter2")
