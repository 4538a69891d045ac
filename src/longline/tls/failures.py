"""What went wrong in a handshake, in few words: kinds that are counted, and a sentence for the log."""

import ssl
from typing import Final

_KINDS: Final = {
    "CERTIFICATE_VERIFY_FAILED": "client_certificate",
    "CLIENTHELLO_TLSEXT": "malformed",
    "HTTPS_PROXY_REQUEST": "not_tls",
    "HTTP_REQUEST": "not_tls",
    "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED": "nothing_in_common",
    "NO_SHARED_CIPHER": "nothing_in_common",
    "NO_SHARED_GROUPS": "nothing_in_common",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "nothing_in_common",
    "NO_SUITABLE_KEY_SHARE": "nothing_in_common",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "nothing_in_common",
    "UNKNOWN_PROTOCOL": "version",
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "WRONG_SIGNATURE_TYPE": "nothing_in_common",
    "WRONG_SSL_VERSION": "version",
    "WRONG_VERSION_NUMBER": "version",
}


def kind_of(error: Exception) -> str:
    """A word of a few: `alert` is what a client says that does not take our certificate, for one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "client_certificate"
    reason = getattr(error, "reason", None) or ""
    if "_ALERT_" in reason:
        return "alert"
    return _KINDS.get(reason, "malformed")


def told_of(error: Exception) -> str:
    """What OpenSSL says of it, without a word of what the peer has sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate: {error.verify_message}"
    reason = getattr(error, "reason", None)
    if reason:
        return str(reason).lower().replace("_", " ")
    return type(error).__name__
