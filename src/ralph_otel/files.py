"""Files that another program may read at any moment."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replace a file's content at one stroke: a reader sees the old or the new one, never a part.

    What is no plain file (a device, a pipe, a link such as /dev/stdout) is not replaced but written to.

    Args:
        path: where; its folder must exist.
        content: the whole file.
        mode: its permissions, whatever the umask.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.close()
            temporary.chmod(mode)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
