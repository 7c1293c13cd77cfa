"""The errors of the local servers, one tree; callers can use their fields."""

from pathlib import Path


class LocalError(RuntimeError):
    """The embedded pair cannot run; the message says what to do."""


class UnusableSettingError(LocalError):
    """A setting names something that cannot be used."""


class JarsRefusedError(LocalError):
    """A jar of the broker is not the one whose SHA-256 the repository keeps."""

    def __init__(self, jar: Path, expected: str | None, found: str) -> None:
        self.jar, self.expected, self.found = jar, expected, found
        wanted = f"expected SHA-256 {expected}" if expected else "it is not in the list of jars"
        super().__init__(
            f"refused {jar}: {wanted}, found {found}. If the file was damaged, delete it "
            "(and its copy in the local Maven repository) and run again; do not use it otherwise"
        )


class JarsUnavailableError(LocalError):
    """The broker's jars could not be fetched."""


class StartFailedError(LocalError):
    """A server ended or stayed silent while it was started. `tail` is the end of its log."""

    def __init__(self, name: str, reason: str, log: Path, tail: str) -> None:
        self.name, self.reason, self.log, self.tail = name, reason, log, tail
        super().__init__(f"{name} did not start: {reason}; its log {log} ends:\n{tail}")


class FolderInUseError(LocalError):
    """Another run works on the same data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"another run uses the data folder {folder}; stop it or name another folder")
