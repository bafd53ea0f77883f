"""What a case must not do: run a program, ask the network, unpickle, touch a file elsewhere. Noted by Python's audit events, and where C opens files by itself
by a sound that nobody may open (inotify) and a port that nobody may call."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path

FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile", "subprocess.Popen", "pty.spawn", "pickle.find_class",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request", "webbrowser.open", "ftplib.connect",
)  # fmt: skip
CHANGING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime", "shutil.rmtree")
READABLE = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/", "/dev/null", "/dev/urandom", "/usr/", "/lib", "/etc/localtime", "/etc/mime.types")
IN_ACCESS, IN_OPEN = 0x1, 0x20


class Watch:
    """On while a case runs; `seen` are sentences about what it did."""

    def __init__(self, folder: Path, sound: bytes):
        """folder: where cases may write. sound: what the canary holds, so that nothing but the rule keeps it from being read."""
        root = Path(__file__).resolve().parents[2]
        self._own = os.path.realpath(folder) + os.sep
        self._readable = (*READABLE, f"/proc/{os.getpid()}/", *(os.path.realpath(p) for p in (root, sys.prefix, sys.base_prefix, *filter(None, sys.path))))
        self._on = False
        self.seen: list[str] = []
        self.canary = folder.parent / "canary.wav"
        self.canary.write_bytes(sound)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.port: int = self._server.getsockname()[1]
        libc = ctypes.CDLL(None, use_errno=True)
        self._notices = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._notices < 0 or libc.inotify_add_watch(self._notices, os.fsencode(self.canary), IN_ACCESS | IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify is needed")
        sys.addaudithook(self._audit)

    def __enter__(self) -> None:
        self.seen.clear()
        self._on = True

    def __exit__(self, *_: object) -> None:
        self._on = False
        try:
            if os.read(self._notices, 4096):
                self.seen.append("opened a file that its bytes named")
        except BlockingIOError:
            pass
        try:
            self._server.accept()[0].close()
            self.seen.append("called an address that its bytes named")
        except BlockingIOError:
            pass

    def _audit(self, event: str, args: tuple[object, ...]) -> None:
        """Runs at every event of the process: cheap where nothing is wrong."""
        if not self._on:
            return
        if event == "open":
            self._open(args)
        elif event in FORBIDDEN or (event in CHANGING and not self._inside(args[0])):
            self.seen.append(f"{event} {args!r:.150}")
            raise PermissionError(event)

    def _open(self, args: tuple[object, ...]) -> None:
        path, mode, flags = args
        if not isinstance(path, (str, bytes, os.PathLike)) or self._inside(path):
            return
        writes = bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or (isinstance(mode, str) and mode[:1] in "wax")
        if writes or not os.path.realpath(os.fsdecode(path)).startswith(self._readable):
            self.seen.append(f"opened {path!r:.120} ({mode or flags})")
            raise PermissionError(path)

    def _inside(self, path: object) -> bool:
        return isinstance(path, int) or os.path.realpath(os.fsdecode(path)).startswith(self._own)  # type: ignore[arg-type]
