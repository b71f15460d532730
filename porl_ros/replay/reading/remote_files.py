"""Files below a URL, through fsspec: of a web server, an object store, or whatever it can open."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from porl_ros.replay.errors import RemoteNotInstalled, StoreMissing, StoreUnreachable

OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl")
PATIENT = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}  # obstore's own: 3 minutes


class RemoteFiles:
    """Reads files below a URL. One thread."""

    def __init__(self, url: str):
        """Raises RemoteNotInstalled, or StoreMissing for a URL that means nothing."""
        self.url = url.rstrip("/")
        self._files, root = _open(self.url)
        self._root = root.rstrip("/")

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, sorted; nothing if there is none. Raises StoreUnreachable."""
        try:
            self._files.invalidate_cache()
            found = self._files.ls(f"{self._root}/{folder}", detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise self._unreachable(error) from error
        return sorted({name.rstrip("/").rsplit("/", 1)[-1] for name in found})

    def read(self, name: str, limit: int | None = None, start: int = 0) -> bytes:
        """A file, or at most `limit` bytes of it. Raises FileNotFoundError, StoreUnreachable."""
        path = f"{self._root}/{name}"
        try:
            if start and limit is not None:
                return self._files.cat_file(path, start=start, end=start + limit)
            return self._files.cat_file(path)[:limit]
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._unreachable(error) from error

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Those of the files that are there, fetched together. Raises StoreUnreachable."""
        paths = {f"{self._root}/{name}": name for name in names}
        try:
            found = self._files.cat(list(paths), on_error="return")
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        except Exception as error:
            raise self._unreachable(error) from error
        return {paths[path]: data for path, data in found.items() if isinstance(data, bytes)}

    def _unreachable(self, error: Exception) -> StoreUnreachable:
        reason = next(iter(str(error).splitlines()), "")  # some go on for pages
        return StoreUnreachable(
            f"store: {self.url} cannot be read for now ({type(error).__name__}: {reason}); check "
            "the network and who may read it, and try again"
        )


def _open(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it."""
    try:
        import fsspec

        options = _for_object_store(url.split("://")[0])
        return fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise RemoteNotInstalled(
            f"store: {url} needs a package that is not installed ({error}); "
            "pip install 'porl_ros[remote]', or that package"
        ) from error
    except Exception as error:
        raise StoreMissing(f"store: {url} cannot be opened ({error}); correct the URL") from error


def _for_object_store(protocol: str) -> dict[str, Any]:
    """One small package, obstore, serves all object stores, unless fsspec's own is installed."""
    import fsspec

    if protocol not in OBJECT_STORES:
        return {}
    try:
        own = fsspec.get_filesystem_class(protocol)
    except ImportError:
        import obstore.fsspec

        obstore.fsspec.register(protocol)
        own = fsspec.get_filesystem_class(protocol)
    return {"retry_config": PATIENT} if own.__module__.startswith("obstore") else {}
