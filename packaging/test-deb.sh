#!/bin/bash
# Builds the Debian package (with a profile of cargo's, by default release), installs it into a minimal Debian 12 of its own,
# uses it as its unit would, and removes it again. Needs root, debootstrap, cargo-deb and amqp-tools. The new Debian is
# kept in the folder HAREMQ_DEBIAN, by default ~/.cache/haremq-bookworm, for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."

debian=${HAREMQ_DEBIAN:-$HOME/.cache/haremq-bookworm}

main() {
  local deb
  deb=$(packaging/build-deb.sh "${1:-release}")
  bootstrap
  # What is mounted ends with the namespace, what runs too, and the usual ports are free there.
  exec unshare --mount --pid --fork --kill-child --net "$0" --inside "$deb"
}

# One that was not finished is begun again.
bootstrap() {
  [ ! -e "$debian/complete" ] || return 0
  rm -rf "$debian"
  mkdir -p "$debian"
  debootstrap --variant=minbase bookworm "$debian" >&2
  touch "$debian/complete"
}

inside() {
  local deb=$1
  work=$(mktemp -d)
  root=$work/root
  trap 'umount -l "$work" 2>/dev/null || true; rm -rf "$work"' EXIT
  # Whatever is done to it, the Debian that is kept stays as it was.
  mount -t tmpfs tmpfs "$work"
  mkdir "$work/upper" "$work/work" "$root"
  mount -t overlay overlay -o "lowerdir=$debian,upperdir=$work/upper,workdir=$work/work" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  ip link set lo up
  files >"$work/before"

  step "it installs"
  cp "$deb" "$root/tmp/haremq.deb"
  in_debian dpkg --install /tmp/haremq.deb
  rm "$root/tmp/haremq.deb"
  in_debian haremq check-config | grep -q '^data-dir = "/var/lib/haremq"  # /etc/haremq/haremq.toml' || fail "settings are not read"
  [ -L "$root/etc/systemd/system/multi-user.target.wants/haremq.service" ] || fail "the service is not enabled"
  [ ! -e "$root/etc/systemd/system/sockets.target.wants" ] || fail "the sockets are enabled"
  grep -q list_queues "$root/usr/share/bash-completion/completions/haremq" || fail "no completions"
  zcat "$root/usr/share/man/man1/haremq-ctl-list_queues.1.gz" | grep -q '^\.SH' || fail "no manual"

  step "it runs as its own user, as the unit starts it"
  start
  in_debian haremq ctl status
  # From outside, by somebody else's client.
  amqp-declare-queue --url "$amqp" --queue q --durable >/dev/null
  amqp-publish --url "$amqp" --routing-key q --body hello --persistent
  stop
  start
  [ "$(amqp-get --url "$amqp" --queue q)" = hello ] || fail "the message is lost"
  stop
  [ "$(in_debian stat -c %U:%a /var/lib/haremq)" = haremq:750 ] || fail "the data folder is open to others"

  step "it is removed, but for data and settings"
  in_debian dpkg --remove haremq
  # By these links Debian remembers what was enabled, and that there is nothing to be started.
  expect_left etc/haremq/haremq.toml etc/logrotate.d/haremq var/lib/haremq var/log/haremq \
    etc/systemd/system/multi-user.target.wants/haremq.service etc/systemd/system/haremq.service
  step "it is purged, but for data"
  in_debian dpkg --purge haremq
  expect_left var/lib/haremq
  step "all is well"
}

amqp=amqp://guest:guest@127.0.0.1

step() { echo "--- $1"; }

fail() {
  echo "FAILED: $1" >&2
  exit 1
}

in_debian() { DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" "$@"; }

# ExecStart, User and WorkingDirectory of the unit.
start() {
  local unit=$root/usr/lib/systemd/system/haremq.service
  of_unit() { sed -n "s/^$1=//p" "$unit"; }
  (
    # Its LimitMEMLOCK, where that is ours to set.
    ulimit -l 65536 2>/dev/null || true
    exec chroot "$root" setpriv --reuid="$(of_unit User)" --regid="$(of_unit Group)" --init-groups --no-new-privs \
      --bounding-set=-all env --chdir="$(of_unit WorkingDirectory)" $(of_unit ExecStart)
  ) &
  broker=$!
  in_debian haremq ctl --timeout 60 await_startup
}

stop() {
  kill "$broker"
  wait "$broker" || fail "it ended with $?"
}

# All files and folders but what dpkg and its like note of their own.
files() {
  (cd "$root" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./sys -o -path ./var/lib/dpkg -o -path ./var/cache -o -path ./var/log/dpkg.log \
    -o -path './var/lib/systemd/deb-systemd-helper-*' -o -path './run/*' \) -prune -o -print | sed 's,^\./,,' | sort)
}

# Nothing but these, what lies in them, and the folders they lie in.
expect_left() {
  local path expected
  for expected in "$@"; do
    [ -e "$root/$expected" ] || [ -L "$root/$expected" ] || fail "$expected is gone"
  done
  files | comm -13 "$work/before" - | while read -r path; do
    for expected in "$@"; do
      case $path/ in "$expected"/*) continue 2 ;; esac
      case $expected in "$path"/*) continue 2 ;; esac
    done
    # Copies that adduser makes.
    case $path in etc/*-) ;; *) fail "this is left: $path" ;; esac
  done
}

case ${1:-} in
  --bootstrap) bootstrap ;;
  --inside) inside "$2" ;;
  *) main "$@" ;;
esac
