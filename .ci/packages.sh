#!/usr/bin/env bash
# Installs, where that is possible, the Debian programs with which tests/clients/ drops files and tests/doubles/mounted.py mounts
# filesystems, and the data that conformance tests read. It never fails: if a package cannot be installed, its test is skipped by name.
set -uo pipefail

PROGRAMS=(rsync openssh-client openssh-sftp-server samba smbclient curl zip unzip p7zip-full acl attr imagemagick inotify-tools libfribidi0
          unicode-data libimage-exiftool-perl liblcms2-utils
          fuse3 sshfs openssh-server bindfs mergerfs gocryptfs encfs cryfs rclone ntfs-3g xfsprogs btrfs-progs dosfstools exfatprogs)
LARGE=(gimp chromium krita xvfb xauth python3-pyqt5)  # gimp 400 MB, krita 280 MB; from a far mirror, what is large is left out
PATIENCE=60            # seconds for fetching what is large

missing() { for name in "$@"; do dpkg-query --show --showformat='${Status}' "$name" 2>/dev/null | grep -q "ok installed" || echo "$name"; done; }
get() { apt-get install --yes --quiet --no-install-recommends "$@" >/dev/null; }

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "packages.sh: not root on Debian; the tests take what is installed."
  exit 0
fi
mapfile -t wanted < <(missing "${PROGRAMS[@]}" "${LARGE[@]}")
[ "${#wanted[@]}" = 0 ] && exit 0

export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1   # a service that comes with a package is not started
timeout 120 apt-get update --quiet >/dev/null || echo "packages.sh: the lists of packages could not be renewed."
mapfile -t wanted < <(missing "${PROGRAMS[@]}")
if [ "${#wanted[@]}" != 0 ] && ! get "${wanted[@]}"; then
  for name in "${wanted[@]}"; do get "$name" || echo "packages.sh: $name could not be installed."; done
fi
mapfile -t wanted < <(missing "${LARGE[@]}")
if [ "${#wanted[@]}" != 0 ]; then
  # Only the fetching may be broken off: a package manager stopped in the middle leaves a broken machine.
  timeout "$PATIENCE" apt-get install --yes --quiet --no-install-recommends --download-only "${wanted[@]}" >/dev/null &&
    get "${wanted[@]}" || echo "packages.sh: ${wanted[*]} could not be installed in time."
fi
exit 0
