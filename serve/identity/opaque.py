"""Opaque secrets: made with 256 bits of chance, handed out once, kept as a hash only.

A plain SHA-256 is enough for these: unlike a password, none can be guessed from its hash.
"""

import hashlib
import hmac
import secrets

SECRET_BYTES = 32


def new_secret() -> str:
    """43 characters of base64url."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> str:
    """Hexadecimal; also the id of the document about the secret, so no lookup compares secrets."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(left: str, right: str) -> bool:
    """Takes equally long wherever they differ."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
