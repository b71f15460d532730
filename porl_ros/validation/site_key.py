"""The secret with which a site signs its records: who has it can admit policies.

A file of 32 random bytes that only its owner may read: `$PORL_SITE_KEY`, else
`~/.config/porl_ros/site.key`. It is made when something is signed for the first time.
"""

import os
import secrets
import stat
from pathlib import Path

from porl_ros.errors import PorlError

VARIABLE = "PORL_SITE_KEY"
SIZE = 32


class SiteKeyError(PorlError):
    """There is no site key, or it is not kept as a secret."""


def site_key_path() -> Path:
    """Where the key is, or is to be."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path.home() / ".config" / "porl_ros" / "site.key"


def read_site_key() -> bytes:
    """The key. Raises SiteKeyError when there is none, or when others could have read it."""
    path = site_key_path()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SiteKeyError(
            f"{path}: the site key cannot be read: {error.strerror}; bring the one of the machine "
            f"that validates here, mode 0600, or name it with {VARIABLE}"
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != SIZE:
            raise SiteKeyError(f"{path}: is no site key, which is a file of {SIZE} bytes")
        if status.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(status.st_mode) & 0o077:
            raise SiteKeyError(
                f"{path}: mode {stat.S_IMODE(status.st_mode):04o}, owner {status.st_uid}: others "
                "can read the site key; if nobody has, make it yours alone: chmod 600"
            )
        return os.read(descriptor, SIZE)
    finally:
        os.close(descriptor)


def make_site_key() -> bytes:
    """The key; a new one if there is none yet. Of two processes that make one, one wins."""
    path = site_key_path()
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(secrets.token_bytes(SIZE))
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except FileExistsError:
            pass  # the other was first
        finally:
            os.unlink(temporary)
    return read_site_key()
