"""Secrets that sign, as they lie in a store: sealed, where the configuration has a key for that.

An app's device secret and a webhook's secret have to be known in clear to sign and to verify, so no hash will
do. Each is kept as AES-256-GCM (NIST SP 800-38D) of it, with 96 random bits as the nonce, and with what it is
and the app's name as associated data: what is sealed for one app or purpose cannot be put in the place of
another's. A key is made of the words in the configuration by HKDF (RFC 5869); its number, made likewise,
stands before what it sealed, so that of several keys the right one is taken, and of a missing one it can be
said which. Engines seal what they write, and open what they read.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from longline.errors import SecretsUnreadable
from longline.model.access import FormerSecret
from longline.model.apps import App
from longline.model.webhooks import Webhook

SEALED: Final = "sealed:1:"  # no secret begins so: `:` is in none that we make or take
KEY_BYTES: Final = 32
NUMBER_BYTES: Final = 4
NONCE_BYTES: Final = 12

_DEVICE: Final = "device_secret"
_WEBHOOK: Final = "webhook_secret"

Change = Callable[[str, str, str], str]
"""Of a secret, with what it is and the app's name before it."""


class _Key:
    def __init__(self, words: str) -> None:
        # One call for both: what follows the key in HKDF's output says nothing of it.
        hkdf = HKDF(SHA256(), KEY_BYTES + NUMBER_BYTES, salt=None, info=b"longline secrets 1")
        made = hkdf.derive(words.encode())
        self.cipher = AESGCM(made[:KEY_BYTES])
        self.number = made[KEY_BYTES:].hex()


class Seals:
    """Seals by the first of some keys, and opens by any.

    `keys`: their words, the newest first; without any, secrets are written in clear. What is in clear can
    always be read. `leave`: what is sealed is left as it is, for who has no use for it.
    """

    def __init__(self, keys: Sequence[str] = (), *, leave: bool = False) -> None:
        self._keys = [_Key(words) for words in keys]
        self._leave = leave

    @property
    def seal(self) -> bool:
        """Whether there is a key to seal with."""
        return bool(self._keys)

    # --- what is kept of apps and webhooks ---

    def seal_app(self, app: App) -> App:
        """As it is to be stored."""
        return app if not self._keys else self._each_of_app(app, self._sealed)

    def open_app(self, stored: App) -> App:
        """As it is; `SecretsUnreadable`."""
        return self._each_of_app(stored, self._opened)

    def seal_webhook(self, webhook: Webhook) -> Webhook:
        """As it is to be stored."""
        return webhook if not self._keys else self._each_of_webhook(webhook, self._sealed)

    def open_webhook(self, stored: Webhook) -> Webhook:
        """As it is; `SecretsUnreadable`."""
        return self._each_of_webhook(stored, self._opened)

    def latest(self, *stored: App | Webhook) -> bool:
        """Whether all secrets that these have are as they are written now: by the first key, or in clear."""
        begin = f"{SEALED}{self._keys[0].number}:" if self._keys else ""
        for each in stored:
            for secret in _secrets_of(each):
                if not secret.startswith(begin) or (not begin and secret.startswith(SEALED)):
                    return False
        return True

    # --- one secret ---

    def _each_of_app(self, app: App, change: Change) -> App:
        secret = change(_DEVICE, app.app, app.device_secret)
        if secret is app.device_secret and app.access.former_device_secret is None:
            return app
        former = _changed(app.access.former_device_secret, change, _DEVICE, app.app)
        access = msgspec.structs.replace(app.access, former_device_secret=former)
        return msgspec.structs.replace(app, device_secret=secret, access=access)

    def _each_of_webhook(self, webhook: Webhook, change: Change) -> Webhook:
        return msgspec.structs.replace(
            webhook,
            secret=change(_WEBHOOK, webhook.name, webhook.secret),
            former_secret=_changed(webhook.former_secret, change, _WEBHOOK, webhook.name),
        )

    def _sealed(self, purpose: str, app: str, secret: str) -> str:
        key = self._keys[0]
        nonce = os.urandom(NONCE_BYTES)
        hidden = key.cipher.encrypt(nonce, secret.encode(), f"{purpose}:{app}".encode())
        return f"{SEALED}{key.number}:{urlsafe_b64encode(nonce + hidden).decode()}"

    def _opened(self, purpose: str, app: str, stored: str) -> str:
        if not stored.startswith(SEALED) or self._leave:
            return stored
        number, _, text = stored.removeprefix(SEALED).partition(":")
        known = [key for key in self._keys if key.number == number]
        if not known:
            raise SecretsUnreadable(
                f"the {purpose.replace('_', ' ')} of app {app!r} is sealed by the key {number}, and "
                f"secrets_key has {', '.join(key.number for key in self._keys) or 'none'}"
            )
        try:
            hidden = urlsafe_b64decode(text)
            opened = known[0].cipher.decrypt(
                hidden[:NONCE_BYTES], hidden[NONCE_BYTES:], f"{purpose}:{app}".encode()
            )
        except (InvalidTag, ValueError):  # ValueError: it is no base64, or has no nonce
            raise SecretsUnreadable(
                f"the {purpose.replace('_', ' ')} of app {app!r} was changed in the store, or is another's"
            ) from None
        return opened.decode()


IN_CLEAR: Final = Seals()
"""Without a key: secrets are written in clear, and what is sealed cannot be read."""

UNOPENED: Final = Seals(leave=True)
"""For who reads apps, and not their secrets."""


def _secrets_of(stored: App | Webhook) -> list[str]:
    if isinstance(stored, App):
        secret, former = stored.device_secret, stored.access.former_device_secret
    else:
        secret, former = stored.secret, stored.former_secret
    return [secret] if former is None else [secret, former.secret]


def _changed(former: FormerSecret | None, change: Change, purpose: str, app: str) -> FormerSecret | None:
    return None if former is None else FormerSecret(change(purpose, app, former.secret), former.until)
