#!/bin/sh
# Debian and Ubuntu: the libraries that Qt and OpenGL need to draw napari's window, and the virtual display Xvfb.
# Installs what is missing when run as root; otherwise prints the exact line and goes on. Does nothing elsewhere.
set -eu

PACKAGES="xvfb libgl1 libgl1-mesa-dri libegl1 libglx-mesa0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0
libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
libxcb-xinerama0 libxcb-xkb1 libxcb-xfixes0"
# glib is called libglib2.0-0t64 on newer releases, where the old name is virtual.
GLIB=libglib2.0-0

command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1 || exit 0

installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = "installed" ]
}

missing=""
for package in $PACKAGES; do
    installed "$package" || missing="$missing $package"
done
installed "$GLIB" || installed "${GLIB}t64" || missing="$missing $GLIB"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    echo "Installing system packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of names
    apt-get install -y -qq --no-install-recommends $missing </dev/null
else
    echo "Some libraries that napari's window needs are missing. Install them once with:" >&2
    echo "    sudo apt-get install -y --no-install-recommends$missing" >&2
fi
