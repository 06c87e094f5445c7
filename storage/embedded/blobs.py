"""Blobs as plain files, `<folder>/<aa>/<key>`, listed in a table that says which ones are whole.

A blob is written to `<folder>/incoming`, synced, linked to its name, and only then listed: what a crash
leaves half done is a file that nobody lists. Reading happens in threads of its own, off the event loop and
off the database's lanes, so a slow disk does not hold a commit.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import ParamSpec, TypeVar
from uuid import uuid4

from kernel.errors import Code, Rejected, Unavailable
from kernel.units import Clock, Millis
from storage.blob_keys import CHUNK_BYTES, checked_blob_key
from storage.embedded.database import Database
from storage.embedded.lane import RETRY_AFTER_MS
from storage.embedded.rows import insert_rows
from storage.ports import BlobInfo

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 4
CALLS_MAX = 1_024
"""File operations that run or wait; one reader has one at a time, so also the most readers at once."""
INCOMING_MAX_AGE_MS = Millis(24 * 3_600_000)
"""A file in `incoming` older than this belongs to nobody any more."""


class FileBlobs:
    def __init__(self, folder: Path, database: Database, clock: Clock) -> None:
        """Blocks. Raises Unavailable STORE_UNAVAILABLE when the folder cannot be written."""
        self._folder = folder
        self._incoming = folder / "incoming"
        self._database = database
        self._calls = 0
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            self._sweep(clock.now_ms() - INCOMING_MAX_AGE_MS)
        except OSError as error:
            raise _unavailable(f"opening {folder}", error) from error
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> None:
        path = self._path(key)
        if await self.info(key) is not None:
            return
        size = await self._in_thread(self._keep, path, source)
        await self._database.write(_list_blobs, (key, size, content_type))

    async def info(self, key: str) -> BlobInfo | None:
        return await self._database.read(_info, checked_blob_key(key))

    async def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        path = self._path(key)
        info = await self.info(key)
        if info is None:
            raise Rejected(Code.NOT_FOUND, f"read of blob {key} rejected: there is no such blob")
        end = info.size if end is None else min(end, info.size)
        file = await self._in_thread(_open_whole, path, info.size)
        try:
            while start < end:
                chunk = await self._in_thread(os.pread, file, min(CHUNK_BYTES, end - start), start)
                if not chunk:
                    raise _unavailable(f"read of {path}", f"it ends at {start}, {info.size} were stored")
                yield chunk
                start += len(chunk)
        finally:
            os.close(file)

    async def delete(self, key: str) -> None:
        path = self._path(key)
        await self._database.write(_unlist_blobs, key)
        await self._in_thread(path.unlink, missing_ok=True)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    def _path(self, key: str) -> Path:
        # 256 folders, so that none grows too large; a comma cannot occur in a key.
        spread = blake2b(checked_blob_key(key).encode(), digest_size=1).hexdigest()
        return self._folder / spread / key.replace("/", ",")

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self._calls >= CALLS_MAX:
            raise Unavailable(
                Code.BUSY, f"blob access rejected: {CALLS_MAX} run or wait, the most", None, RETRY_AFTER_MS
            )
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: call(*args, **kwargs)
            )
        except OSError as error:
            raise _unavailable(f"blob access in {self._folder}", error) from error
        finally:
            self._calls -= 1

    def _keep(self, path: Path, source: Path | bytes) -> int:
        """Make `path` hold the bytes of `source`, durably; its size. A file that is there stays."""
        incoming = self._incoming / f"{path.name}.{uuid4().hex}"
        try:
            with incoming.open("xb") as target:
                if isinstance(source, Path):
                    with source.open("rb") as original:
                        shutil.copyfileobj(original, target, CHUNK_BYTES)
                else:
                    target.write(source)
                target.flush()
                os.fsync(target.fileno())
            if not path.parent.exists():
                path.parent.mkdir(exist_ok=True)
                _sync_folder(self._folder)
            # Unlike a rename, a link never replaces: of two racing puts the first one's bytes stay.
            with suppress(FileExistsError):
                os.link(incoming, path)
            _sync_folder(path.parent)
            return path.stat().st_size
        finally:
            incoming.unlink(missing_ok=True)

    def _sweep(self, before_ms: int) -> None:
        for left in self._incoming.iterdir():
            # Another process may be sweeping, too.
            with suppress(FileNotFoundError):
                if left.stat().st_mtime * 1000 < before_ms:
                    left.unlink()


def _open_whole(path: Path, size: int) -> int:
    file = os.open(path, os.O_RDONLY)
    found = os.fstat(file).st_size
    if found != size:
        os.close(file)
        raise _unavailable(f"read of {path}", f"it has {found} bytes, {size} were stored")
    return file


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unavailable(what: str, why: object) -> Unavailable:
    return Unavailable(Code.STORE_UNAVAILABLE, f"{what} failed: {why}")


def _info(connection: sqlite3.Connection, key: str) -> BlobInfo | None:
    found = connection.execute("SELECT size, content_type FROM blobs WHERE key = ?", (key,)).fetchone()
    return BlobInfo(size=found[0], content_type=found[1]) if found else None


def _list_blobs(connection: sqlite3.Connection, rows: Sequence[tuple[str, int, str]]) -> list[None]:
    insert_rows(connection, "blobs", rows, conflict="DO NOTHING")
    return [None] * len(rows)


def _unlist_blobs(connection: sqlite3.Connection, keys: Sequence[str]) -> list[None]:
    connection.executemany("DELETE FROM blobs WHERE key = ?", [(key,) for key in keys])
    return [None] * len(keys)
