"""Text files that are written whole or not at all."""

import os


def write_text(path: str, text: str) -> str:
    """Writes a file in UTF-8; one that stood there is replaced at once, or stays what it was.

    Args:
        path: Of the file; its folder exists.
        text: Its content.

    Returns:
        The path.
    """
    partial = f"{path}.{os.getpid()}.partial"  # others may write the same file
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise
    return path
