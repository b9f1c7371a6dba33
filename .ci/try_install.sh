#!/usr/bin/env bash
# Follows the install recipe of docs/running.md on a bare Debian that has a systemd of its own, and lets the service deliver a picture.
# The commands are read from the page, so that the page and what is tried cannot differ. Needs root, debootstrap and the network, and
# takes some minutes; it writes into one temporary folder and removes it.
set -euo pipefail

CHECKOUT=$(cd "$(dirname "$0")/.." && pwd)
WEIGHTS=${GOLDSMITH_MODELS_DIR:-$HOME/.local/share/goldsmith/models}
PACKAGES=systemd,systemd-sysv,dbus,sudo,acl,python3,python3-venv,ca-certificates,procps
PLACE=$(mktemp -d)
DEBIAN=$PLACE/debian

say() { echo "try_install.sh: $*"; }
die() { say "$*" >&2; exit 1; }

# The n-th block of commands after a heading of the page, without its comments.
block() { awk -v heading="$1" -v wanted="$2" '
  $0 == heading { inside = 1; next }
  inside && /^##* / { exit }
  inside && /^```/ { open = !open; if (open) count++; next }
  inside && open && count == wanted' "$CHECKOUT/docs/running.md" | sed 's/ \+#.*//'; }

inside() { nsenter --target "$INIT" --mount --pid --cgroup --uts --ipc env --ignore-environment \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${PIP[@]}" "$@"; }

clean_up() {
  # With its first process, everything in its namespaces ends, and their mounts go.
  [ -z "${OUTER:-}" ] || kill -9 "$OUTER" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf --one-file-system "$PLACE"
}
trap clean_up EXIT

[ "$(id -u)" = 0 ] || die "run it as root"
command -v debootstrap >/dev/null || die "install debootstrap"

say "a bare Debian"
debootstrap --variant=minbase --include=$PACKAGES bookworm "$DEBIAN" >"$PLACE/debootstrap.log" || die "$(tail -3 "$PLACE/debootstrap.log")"
# What this computer's pip needs in order to reach its packages.
mapfile -t PIP < <(env | grep '^PIP_' || true)
cp -L /etc/ssl/certs/ca-certificates.crt "$DEBIAN/etc/ssl/certs/"
cp /etc/resolv.conf "$DEBIAN/etc/"
for file in /etc/pip.conf /etc/xdg/pip; do [ ! -e $file ] || { mkdir -p "$DEBIAN$(dirname $file)"; cp -r $file "$DEBIAN$(dirname $file)/"; }; done
printf '127.0.0.1 localhost %s\n' "$(hostname)" >"$DEBIAN/etc/hosts"
git clone --quiet "$CHECKOUT" "$DEBIAN/checkout"
# A model that is there already need not be fetched.
mkdir -p "$DEBIAN/var/lib/goldsmith-models" "$DEBIAN/drop"
cp "$WEIGHTS"/migan* "$DEBIAN/var/lib/goldsmith-models/" 2>/dev/null || true

say "its systemd"
unshare --pid --fork --mount --cgroup --uts --ipc --kill-child bash -c '
  set -e
  cd "$0"
  mount --make-rprivate /
  mount --bind "$0" "$0"; cd "$0"
  mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs tmp; mount --rbind /dev dev
  for folder in /opt/*; do [ ! -d "$folder" ] || { mkdir -p ".$folder"; mount --bind "$folder" ".$folder"; }; done
  mkdir -p before; pivot_root . before; umount --lazy /before
  export container=unshare
  exec /lib/systemd/systemd' "$DEBIAN" >"$PLACE/systemd.log" 2>&1 &
OUTER=$!
for _ in $(seq 60); do INIT=$(pgrep --parent "$OUTER" || true); [ -n "$INIT" ] && inside test -S /run/dbus/system_bus_socket 2>/dev/null && break; sleep 1; done
inside systemctl is-system-running --wait || true

say "the recipe"
{ echo "set -ex; cd /checkout"; block "## As a service" 1; } >"$DEBIAN/drop/install.sh"
{ echo "set -ex"; block "### Permissions" 1; block "### Permissions" 3; } >"$DEBIAN/drop/permissions.sh"
{ echo "set -ex"; block "## As a service" 2; } >"$DEBIAN/drop/start.sh"
for step in install permissions start; do
  [ "$(wc -l <"$DEBIAN/drop/$step.sh")" -gt 2 ] || die "docs/running.md has no commands for $step"
  inside bash /drop/$step.sh >"$PLACE/$step.log" 2>&1 || die "$step: $(tail -15 "$PLACE/$step.log")"
done
tail -40 "$PLACE/start.log"

say "a picture of a member of the group"
inside useradd --create-home --groups studio designer
inside /opt/goldsmith/bin/python -c '
from PIL import Image, ImageDraw
picture = Image.linear_gradient("L").resize((600, 400)).convert("RGB")
ImageDraw.Draw(picture).ellipse((250, 150, 350, 250), fill=(200, 30, 30))
picture.save("/drop/hero.png")
mask = Image.new("L", picture.size)
ImageDraw.Draw(mask).ellipse((240, 140, 360, 260), fill=255)
mask.save("/drop/hero.mask.png")
open("/drop/hero.toml", "w").write("generate = []\ngrade = []\n[[edit]]\nop = \"erase\"\n[[deliver]]\nop = \"export\"\nname = \"web\"\nformat = \"jpeg\"\n")'
inside sudo -u designer bash -c 'umask 022; mkdir /srv/hotfolders/inbox/acme; cp /drop/hero.* /srv/hotfolders/inbox/acme/'
for _ in $(seq 120); do inside test -e /srv/hotfolders/delivered/acme/hero_web.jpg && break; sleep 1; done
inside ls -l /srv/hotfolders/delivered/acme || { inside journalctl -u goldsmith --no-pager -o cat | tail -20; die "nothing was delivered"; }
[ "$(inside stat -c '%U:%G %a' /srv/hotfolders/delivered/acme/hero_web.jpg)" = "goldsmith:studio 660" ] || die "the result does not belong to the share"

say "another root, the weekly check, a reload, and the end"
inside bash -ec '
  goldsmith init /srv/acme >/dev/null; rm -r /srv/acme/config; chown -R goldsmith:studio /srv/acme; chmod 2750 /srv/acme
  systemctl enable --now "goldsmith@$(systemd-escape --path /srv/acme)" 2>/dev/null
  systemctl is-active goldsmith goldsmith@srv-acme
  systemctl start goldsmith-verify.service
  systemctl reload goldsmith
  goldsmith status | head -2
  systemctl stop goldsmith goldsmith@srv-acme
  test "$(systemctl show --property Result --value goldsmith)" = success'
say "everything went well"
