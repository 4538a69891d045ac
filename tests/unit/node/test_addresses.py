"""Where a node listens, and what it tells others of it."""

from longline.node.addresses import advertised, bound, guessed
from longline.settings import load

WEB: dict[str, object] = {"room.ws_port": 0, "room.wss_port": 0}
TLS: dict[str, object] = {"room.tls_cert": "/a/cert.pem", "room.tls_key": "/a/key.pem", **WEB}


def test_a_room_with_a_certificate_tells_of_its_tls_port_too() -> None:
    plain = load(flags={"room.advertise": "push.example.org", **WEB}).settings
    assert advertised(plain, ("room",)) == {"mqtt": "push.example.org:1883"}
    secured = load(flags={"room.advertise": "push.example.org", **TLS}).settings
    assert advertised(secured, ("room",)) == {
        "mqtt": "push.example.org:1883",
        "mqtts": "push.example.org:8883",
    }
    assert bound(secured, ("room",)) == {"mqtt": "127.0.0.1:1883", "mqtts": "127.0.0.1:8883"}


def test_a_room_may_have_tls_alone() -> None:
    settings = load(flags={"room.port": 0, "room.host": "0.0.0.0", **TLS}).settings
    assert list(advertised(settings, ("room",))) == ["mqtts"]
    assert guessed(settings, ("room",))
    assert not guessed(load(flags={"room.port": 0, "room.host": "0.0.0.0", **WEB}).settings, ("room",))


def test_an_api_with_a_certificate_is_told_as_https() -> None:
    settings = load(flags={"center.tls_cert": "/a/cert.pem", "center.tls_key": "/a/key.pem"}).settings
    assert bound(settings, ("center",)) == {"http": "https://127.0.0.1:8080"}
