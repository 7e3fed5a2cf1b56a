"""A screen for machines without one: Xvfb, started for as long as it is needed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from napari_sam_med.core.errors import SamMedError

# What the Qt wheels and napari's canvas load from the system, and the Debian package that has it.
SYSTEM_LIBRARIES: dict[str, str] = {
    # tools/system-packages.sh installs the same packages before Python is there; a test compares the two.
    "libglib-2.0.so.0": "libglib2.0-0",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
}
# The virtual display and the OpenGL it draws with.
DISPLAY_PACKAGES = ("xvfb", "libgl1-mesa-dri", "libglx-mesa0")
_START_SECONDS = 20


class DisplayError(SamMedError):
    """No window can be opened on this machine as it is."""


def missing_packages(need_xvfb: bool = True) -> list[str]:
    """Debian packages that a window needs and this machine lacks (empty on other systems than Linux)."""
    if not sys.platform.startswith("linux"):
        return []
    missing = [package for library, package in SYSTEM_LIBRARIES.items() if not _loads(library)]
    if need_xvfb and shutil.which("Xvfb") is None:
        missing += DISPLAY_PACKAGES
    return missing


def require_system_libraries(need_xvfb: bool) -> None:
    """Refuse to start without the libraries a window needs.

    Raises
    ------
    DisplayError
        With the exact line that installs what is missing.
    """
    missing = missing_packages(need_xvfb)
    if missing:
        raise DisplayError(
            f"No window can be opened: {len(missing)} system packages are missing. Install them with: "
            f"sudo apt-get update && sudo apt-get install -y {' '.join(missing)}"
        )


@contextlib.contextmanager
def screen(width: int = 1600, height: int = 1000) -> Iterator[None]:
    """A screen to draw on: the one there is, or an Xvfb of this size that ends with the block.

    Raises
    ------
    DisplayError
        If a system package is missing or Xvfb does not start.
    """
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        require_system_libraries(need_xvfb=False)
        yield
        return
    require_system_libraries(need_xvfb=True)
    server, display = _start(width, height)
    changes = {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1"}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _start(width: int, height: int) -> tuple[subprocess.Popen[bytes], str]:
    # -displayfd lets the server choose a free number and say it once it listens: no race, no guessing.
    read_end, write_end = os.pipe()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", f"{width}x{height}x24"]
    command += ["-nolisten", "tcp", "+extension", "GLX"]
    with tempfile.TemporaryFile() as said:
        try:
            server = subprocess.Popen(command, pass_fds=(write_end,), stdout=subprocess.DEVNULL, stderr=said)
        finally:
            os.close(write_end)
        try:
            number = _read_line(read_end)
        finally:
            os.close(read_end)
        if number:
            return server, f":{number}"
        server.kill()
        server.wait()
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    raise DisplayError(f"Xvfb did not start: {lines[-1] if lines else 'it said nothing'}.")


def _read_line(descriptor: int) -> str:
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], _START_SECONDS)
        chunk = os.read(descriptor, 64) if ready else b""
        if not chunk:
            return ""
        text += chunk
    return text.decode().strip()


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
