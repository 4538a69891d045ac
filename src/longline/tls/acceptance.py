"""Whether a client that believes a certificate's issuer would take it for a name: OpenSSL is asked."""

import ssl
from contextlib import suppress
from pathlib import Path

from longline.errors import SettingsError
from longline.tls.certificates import server_context
from longline.tls.failures import told_of


def rejection(setting: str, chain: Path, key: Path, host: str) -> str | None:
    """Why a client that connects to `host` would not take the certificate; None when it would.

    A handshake in memory, in which the client believes the certificate itself: who has signed it is not the
    question. Raises SettingsError for what cannot be used at all.
    """
    server = server_context(setting, chain, key, None)
    believing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believing.load_verify_locations(chain)
    believing.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client = believing.wrap_bio(to_client, to_server, server_hostname=host)
    except ValueError as error:  # of a host that is no name
        raise SettingsError(str(error), details=[(setting, str(error))]) from None
    served = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for end in (client, served, client):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except ssl.SSLError as error:
        return told_of(error)
    return None
