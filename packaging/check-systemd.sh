#!/usr/bin/env bash
# Installs the unit on a Debian root file system as packaging/INSTALL.md says, boots systemd there (systemd-nspawn), and
# looks: started, healthy, confined, stopped in order, started again by the watchdog.
#
#     packaging/check-systemd.sh [BINARY]
#
# Needs root, debootstrap, node and systemd-container. Ends with the line `check-systemd=ok …` and exit code 0, or says
# what is wrong.
set -euo pipefail

cd "$(dirname "$0")/.."
binary=${1:-$(cargo metadata --no-deps --format-version 1 --locked | node -p 'JSON.parse(require("fs").readFileSync(0)).target_directory')/release/footfall}
[ "$(id -u)" = 0 ] || { echo 'check-systemd: needs root, to make a root file system' >&2; exit 1; }
base=${CHECK_IMAGE_CACHE:-/var/cache/footfall-check-image}/bookworm-systemd
work=$(mktemp -d /var/tmp/footfall-systemd.XXXXXX)
root=$work/root container= leader=
cleanup() {
  [ -z "$leader" ] || kill -KILL "$leader" 2>/dev/null || true
  [ -z "$container" ] || wait "$container" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
inside() { nsenter --target "$leader" --all -- "$@"; }
show() { inside systemctl show footfall --property "$1" --value; }
fail() {
  echo "check-systemd: $*" >&2
  [ -z "$leader" ] || inside journalctl --unit footfall --no-pager --lines 40 >&2 || true
  exit 1
}
until_within() {
  local since=$SECONDS seconds=$1
  shift
  until "$@"; do
    [ $((SECONDS - since)) -lt "$seconds" ] || return 1
    sleep 0.3
  done
}

# --- install ---
if [ ! -d "$base" ]; then
  mkdir -p "$(dirname "$base")"
  debootstrap --variant=minbase --include=systemd,dbus,procps bookworm "$base.part" > "$work/log" || { cat "$work/log" >&2; exit 1; }
  mv "$base.part" "$base"
fi
cp -a "$base" "$root"
mkdir -p "$root/opt/footfall/node_modules"
strip -o "$root/opt/footfall/footfall" "$binary"
for part in @chdb @ip-location-db; do cp -rL "node_modules/$part" "$root/opt/footfall/node_modules/"; done
install -D -m 644 packaging/systemd/footfall.service "$root/etc/systemd/system/footfall.service"
install -D -m 644 packaging/sysusers.d/footfall.conf "$root/usr/lib/sysusers.d/footfall.conf"
install -D -m 644 packaging/tmpfiles.d/footfall.conf "$root/usr/lib/tmpfiles.d/footfall.conf"
systemd-analyze verify --root="$root" "$root/etc/systemd/system/footfall.service" || fail 'systemd-analyze verify'
systemd-sysusers --root="$root" footfall.conf
systemd-tmpfiles --root="$root" --create footfall.conf
group=$(awk -F: '$1 == "footfall" { print $3 }' "$root/etc/group")
install -m 640 -g "$group" config/sample.toml "$root/etc/footfall/footfall.toml"
[ "$(chroot "$root" stat --format=%A:%U:%G /etc/footfall)" = drwxr-x---:root:footfall ] || fail '/etc/footfall'
exposure=$(systemd-analyze security --offline=true --root="$root" footfall.service | sed -n 's/.*exposure level for .*: \([0-9.]*\).*/\1/p')
chroot "$root" systemctl --quiet enable footfall
# There is no network but loopback. A short watchdog, so that this check is short. Where memory is not delegated to the
# container, ClickHouse takes the whole machine's use for its own.
chroot "$root" systemctl --quiet mask systemd-networkd.service systemd-networkd-wait-online.service
mkdir "$root/etc/systemd/system/footfall.service.d"
printf '[Service]\nWatchdogSec=5\nEnvironment=FOOTFALL__STORE__MEMORY_BYTES=68719476736\n' > "$root/etc/systemd/system/footfall.service.d/watchdog.conf"

# --- boot ---
systemd-nspawn --directory="$root" --boot --private-network --register=no --keep-unit --quiet > "$work/boot" 2>&1 &
container=$!
has_leader() { leader=$(ps -o pid= --ppid "$container" | head -1 | tr -d ' ') && [ -n "$leader" ]; }
until_within 20 has_leader || { cat "$work/boot" >&2; fail 'nothing was booted'; }
is_active() { [ "$(show ActiveState 2>/dev/null)" = active ]; }
is_healthy() { inside /opt/footfall/footfall healthcheck --address 127.0.0.1:8080; }
until_within 60 is_active || fail 'it did not start'
[ "$(show StatusText)" = 'accepting hits' ] || fail "its status is $(show StatusText)"
until_within 60 is_healthy || fail 'it is not ready'

main=$(show MainPID)
confined=$(inside awk '/^(Seccomp|NoNewPrivs|CapEff|CapBnd):/ { printf "%s%s ", $1, $2 }' "/proc/$main/status")
[ "$confined" = 'CapEff:0000000000000000 CapBnd:0000000000000000 NoNewPrivs:1 Seccomp:2 ' ] || fail "confined as $confined"
[ "$(inside stat --format=%a:%U /var/lib/footfall /run/footfall /var/lib/footfall/ledger | sort -u)" = 700:footfall ] || fail 'its folders'
inside sh -c 'ls /run/footfall/*.key' > /dev/null || fail 'the key is not in /run/footfall'

inside systemctl stop footfall
stopped="$(show Result) $(show ExecMainStatus)"
[ "$stopped" = 'success 0' ] || fail "the stop ended with $stopped"
inside systemctl start footfall
until_within 60 is_healthy || fail 'it did not start again'
[ "$(show NRestarts)" = 0 ] || fail 'it was restarted without a reason'

# A process that hangs: systemd misses its messages.
inside kill -STOP "$(show MainPID)"
restarted() { [ "$(show NRestarts)" -ge 1 ] && is_active; }
until_within 90 restarted || fail 'the watchdog did not restart it'
until_within 60 is_healthy || fail 'it is not ready after the watchdog'
[ "$(inside journalctl --unit footfall --no-pager | grep -c 'Watchdog timeout')" -ge 1 ] || fail 'the journal does not name the watchdog'

echo "check-systemd=ok systemd=$(chroot "$root" systemctl --version | awk 'NR == 1 { print $2 }') exposure=$exposure restarts=$(show NRestarts) confined='${confined% }'"
