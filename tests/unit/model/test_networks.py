"""Whoever has a whole network of IPv6 is one peer, not 2^64 of them."""

import pytest

from longline.model.networks import network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:1:2:3", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("nonsense:", "nonsense:"),
    ],
)
def test_a_peer_is_its_address_or_its_network(peer: str, network: str) -> None:
    assert network_of(peer) == network
