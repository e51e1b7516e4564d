#!/usr/bin/env bash
# Builds the root file system of an image from the steps of the Dockerfile, and runs its entry point as its user on a
# read-only root with its volumes: what a container engine would do, without one. Debian's packages take the place of
# debian:bookworm-slim; the binary and node_modules of this folder take the place of the stages `build` and `data`.
#
#     packaging/check-image.sh [--dockerfile FILE] [--binary FILE] embedded|slim
#
# Needs root, debootstrap, node, iproute2, util-linux and curl. Ends with the line `check-image=ok starts=N …` and exit
# code 0, or says what is wrong.
set -euo pipefail

dockerfile=Dockerfile binary= target=
while [ $# -gt 0 ]; do
  case $1 in
    --dockerfile) dockerfile=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    *) target=$1; shift ;;
  esac
done
: "${target:?usage: packaging/check-image.sh [--dockerfile FILE] [--binary FILE] embedded|slim}"
[ "$(id -u)" = 0 ] || { echo 'check-image: needs root, to make a root file system' >&2; exit 1; }

# A network and mounts of its own: the port of the image may be taken outside, and nothing stays mounted.
if [ "${CHECK_IMAGE_INSIDE:-}" != yes ]; then
  exec env CHECK_IMAGE_INSIDE=yes unshare --mount --net --propagation private -- \
    "$0" --dockerfile "$dockerfile" ${binary:+--binary "$binary"} "$target"
fi
ip link set lo up

cd "$(dirname "$0")/.."
cache=${CHECK_IMAGE_CACHE:-/var/cache/footfall-check-image}
work=$(mktemp -d /var/tmp/footfall-image.XXXXXX)
pid= server=
cleanup() {
  for child in $pid $server; do kill -KILL "$child" 2>/dev/null || true; done
  umount --recursive "$work/root" 2>/dev/null || umount --lazy --recursive "$work/root" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
fail() {
  echo "check-image: $*" >&2
  [ ! -f "$work/log" ] || sed 's/^/    /' "$work/log" >&2
  exit 1
}
: "${binary:=$(cargo metadata --no-deps --format-version 1 --locked | node -p 'JSON.parse(require("fs").readFileSync(0)).target_directory')/release/footfall}"
[ -x "$binary" ] || fail "$binary is not there; cargo build --release --locked makes it"

node packaging/dockerfile.mjs "$dockerfile" "$target" > "$work/steps"
field() { node -e 'const v = JSON.parse(process.argv[1])[process.argv[2]]; process.stdout.write(Array.isArray(v) ? v.join("\n") : String(v))' "$1" "$2"; }

# --- build ---
root=$work/root
user=0:0 dir=/ entrypoint=() cmd=() health=() health_timeout=30 signal=TERM port= variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin) volumes=() steps=0
while read -r step; do
  steps=$((steps + 1))
  case $(field "$step" step) in
    from)
      image=$(field "$step" image)
      [[ $image =~ ^debian:([a-z]+)-slim$ ]] || fail "$image: only debian:NAME-slim can be built here"
      base=$cache/${BASH_REMATCH[1]}
      if [ ! -d "$base" ]; then
        mkdir -p "$cache"
        debootstrap --variant=minbase "${BASH_REMATCH[1]}" "$base.part" > "$work/log" || fail 'debootstrap'
        mv "$base.part" "$base"
      fi
      cp -a "$base" "$root" ;;
    run) chroot "$root" /bin/sh -c "$(field "$step" command)" > "$work/log" 2>&1 || fail "RUN $(field "$step" command)" ;;
    copy)
      from=$(field "$step" from) source=$(field "$step" source) to=$(field "$step" to)
      case $from:$source in
        build:/src/target/release/footfall) here=$work/footfall; strip -o "$here" "$binary" ;;
        data:/data/*) here=${source#/data/} ;;
        :*) here=$source ;;
        *) fail "COPY --from=$from $source: this check does not know it" ;;
      esac
      [[ $to == /* ]] || to=$dir/$to
      mkdir -p "$root$(dirname "$to/x")"
      if [[ $to == */ ]] || [[ $to == */. ]] || [ "$to" = "$dir/./" ]; then
        cp -rL "$here" "$root$to"
      elif [ -d "$here" ]; then
        mkdir -p "$root$to" && cp -rL "$here/." "$root$to"
      else
        rmdir "$root$to" 2>/dev/null || true
        cp -L "$here" "$root$to"
      fi
      chown -R --no-dereference 0:0 "$root$to" ;;
    env) variables+=("$(field "$step" name)=$(field "$step" value)") ;;
    workdir) dir=$(field "$step" path); mkdir -p "$root$dir" ;;
    user) user=$(field "$step" user) ;;
    volume) volumes+=("$(field "$step" path)") ;;
    entrypoint) mapfile -t entrypoint < <(field "$step" words; echo) ;;
    cmd) mapfile -t cmd < <(field "$step" words; echo) ;;
    healthcheck) mapfile -t health < <(field "$step" words; echo); health_timeout=$(field "$step" timeout) ;;
    stopsignal) signal=$(field "$step" signal); signal=${signal#SIG} ;;
    expose) port=$(field "$step" port) ;;
  esac
done < "$work/steps"
size=$(du -sm "$root" | cut -f1)
[[ $user =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || fail "USER $user: must be numbers, and not root (Kubernetes' runAsNonRoot)"
[ ${#health[@]} -gt 0 ] && [ ${#volumes[@]} -gt 0 ] && [ -n "$port" ] || fail 'HEALTHCHECK, VOLUME and EXPOSE are missing'

# --- run ---
# As an engine does: the root is read-only, a volume begins as the image's folder with its owner, /tmp and /dev/shm are
# a tmpfs. Without /sys, which would show ClickHouse the memory of this whole machine in place of the container's.
for volume in "${volumes[@]}"; do
  mkdir -p "$work/volumes$volume" "$root$volume"
  cp -a "$root$volume/." "$work/volumes$volume"
  chown --reference="$root$volume" "$work/volumes$volume"
  chmod --reference="$root$volume" "$work/volumes$volume"
done
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for volume in "${volumes[@]}"; do mount --bind "$work/volumes$volume" "$root$volume"; done
mount -o remount,bind,ro "$root"

# Capabilities go with root; nothing gives them back. No shell of the image is used.
enter=(env --ignore-environment "${variables[@]}" setpriv --no-new-privs --clear-groups
  unshare --root="$root" --wd="$dir" --setgid="${user#*:}" --setuid="${user%:*}" --)
inside() { "${enter[@]}" "$@"; }
start() {
  "${enter[@]}" "${entrypoint[@]}" "${cmd[@]}" >> "$work/log" 2>&1 &
  pid=$!
  local since=$SECONDS
  until inside timeout "$health_timeout" "${health[@]}" 2> "$work/health"; do
    kill -0 "$pid" 2>/dev/null || { wait "$pid" || code=$?; pid=; fail "it ended with code ${code:-0}"; }
    [ $((SECONDS - since)) -lt 60 ] || fail "not healthy within 60 s: $(cat "$work/health")"
    sleep 0.2
  done
  starts=$((${starts:-0} + 1))
}
stop() {
  local code=0
  kill -"$1" "$pid"
  wait "$pid" || code=$?
  pid=
  [ "$code" = "$2" ] || fail "SIG$1: ended with code $code, not $2"
}
ask() { curl --silent --show-error --max-time 10 --output "$work/answer" --write-out '%{http_code}' "http://127.0.0.1:$port$1"; }

: > "$work/log"
if [ "$target" = slim ]; then
  # A ClickHouse server's place is taken by the embedded engine, outside the image.
  mkdir "$work/server"
  users='<clickhouse><profiles><default></default></profiles><users><default><no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users><quotas><default></default></quotas></clickhouse>'
  config='<clickhouse><logger><level>none</level></logger><user_directories><users_xml><path>{users}</path></users_xml></user_directories><listen_host>127.0.0.1</listen_host><http_port>8123</http_port></clickhouse>'
  # It runs until its input ends, with this script.
  "$binary" engine < <(printf '{"library":"%s","dir":"%s","config":"%s","users":"%s"}\n' \
    "$PWD/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so" "$work/server" "$config" "$users"; exec sleep 1000) > "$work/server.log" 2>&1 &
  server=$!
  variables+=(FOOTFALL__STORE__URL=http://127.0.0.1:8123)
  enter=("${enter[@]:0:2}" "${variables[@]: -1}" "${enter[@]:2}")
fi
start
[ "$(awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$pid/status")" = "$(yes "${user%:*}" | head -4 | paste -sd' ')" ] || fail 'it runs as another user'
[ "$(awk '/^Cap(Eff|Prm|Amb):/ { print $2 }' "/proc/$pid/status" | sort -u)" = 0000000000000000 ] || fail 'it has capabilities'
if inside /bin/sh -c 'echo x > /opt/footfall/x' 2>/dev/null; then fail 'the root file system takes writes'; fi
[ "$(ask /version)" = 200 ] || fail '/version'
version=$(cat "$work/answer")
since=$SECONDS
until [ "$(ask /readyz)" = 200 ] && grep -q '"answers"' "$work/answer"; do
  [ $((SECONDS - since)) -lt 60 ] || fail "not ready within 60 s: $(cat "$work/answer")"
  sleep 0.5
done
keys=$(find "$work/volumes" -type f \( -name '*.keys' -o -name '*.pem' \) -exec sha256sum {} + | sort)
[ "$(grep -c . <<< "$keys")" -ge 2 ] || fail "keys are missing in the volumes: $keys"
strangers=$(find "$work/volumes" -mindepth 4 ! -user "${user%:*}" | head -3)
[ -z "$strangers" ] || fail "not the image's user's: $strangers"
open=$(find "$work/volumes" -mindepth 4 ! -type l -perm /077 | head -3)
[ -z "$open" ] || fail "open to others: $open"
stop "$signal" 0

# The same volumes again; then after a crash.
start
[ "$(ask /healthz)" = 200 ] || fail '/healthz'
stop KILL 137
start
again=$(find "$work/volumes" -type f \( -name '*.keys' -o -name '*.pem' \) -exec sha256sum {} + | sort)
[ "$keys" = "$again" ] || fail 'the keys are others after a restart'
stop "$signal" 0
if inside timeout "$health_timeout" "${health[@]}" 2>/dev/null; then fail 'the health check says yes to a collector that is gone'; fi

echo "check-image=ok target=$target steps=$steps starts=$starts volumes=${#volumes[@]} user=$user root_mib=$size version=$version"
