"""Access tokens and other secrets handed out: how they are made, signed, read and hashed. Pure but for randomness.

Law: HS256 and nothing else; the key is chosen by `kid` among the live secrets, so a secret can be changed without
logging anybody out; a token names the login it belongs to and carries no tier. What is stored is SHA-256: these
secrets have 256 random bits, so a slow hash would add nothing.
"""

import hashlib
import secrets
import uuid
from datetime import UTC, datetime, timedelta

import jwt

from cloudapi.errors import Unauthenticated

ALGORITHM = "HS256"
ISSUER = "oddsd"
AUDIENCE = "oddsd-api"
ACCESS_S = 1800  # thirty minutes; ending a login takes effect at once all the same
LEEWAY_S = 5  # clocks of two replicas

REFRESH_MARK = "odds_refresh_"
SESSION_MARK = "odds_session_"
TICKET_MARK = "odds_ticket_"


class AccessTokens:
    """Makes and reads access tokens with the newest secret first; all of them are accepted."""

    def __init__(self, live_secrets: list[bytes]) -> None:
        # Derived: the same setting signs cursors, and one must never be taken for the other.
        derived = [hashlib.sha256(b"oddsd access\0" + secret).digest() for secret in live_secrets]
        self._keys = {hashlib.sha256(key).hexdigest()[:8]: key for key in derived}
        self._newest = next(iter(self._keys))

    def make(self, login_id: uuid.UUID, *, now: datetime) -> str:
        """A token for thirty minutes of this login."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(login_id),
            "iat": now,
            "nbf": now,
            "exp": now + timedelta(seconds=ACCESS_S),
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(claims, self._keys[self._newest], algorithm=ALGORITHM, headers={"kid": self._newest})

    def read(self, token: str) -> tuple[uuid.UUID, datetime]:
        """The login a token of ours belongs to, and when the token ends. Raises: Unauthenticated."""
        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY_S,
                options={"require": ["iss", "aud", "sub", "iat", "nbf", "exp"]},
            )
            return uuid.UUID(claims["sub"]), datetime.fromtimestamp(claims["exp"], UTC)
        except jwt.ExpiredSignatureError as exc:
            raise Unauthenticated("This access token has expired; use your refresh token.") from exc
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as exc:
            raise Unauthenticated("This is neither a key nor an access token of ours.") from exc


def make_secret(mark: str) -> str:
    """A fresh secret that says what it is for."""
    return mark + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    """What the database keeps of a secret."""
    return hashlib.sha256(secret.encode()).digest()
