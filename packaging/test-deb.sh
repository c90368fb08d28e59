#!/bin/bash
# Builds the Debian package (with the arguments of build-deb.sh) and tries it in two new Debians 12: one that has no
# more than it must, where it is installed, used and removed, and one where systemd runs its units. Needs root,
# debootstrap, cargo-deb and amqp-tools. The Debians are kept in the folder HAREMQ_DEBIANS for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."

debians=${HAREMQ_DEBIANS:-$HOME/.cache/haremq-debians}
here=$PWD/packaging

main() {
  local deb
  deb=$(packaging/build-deb.sh "$@")
  bootstrap
  # What is mounted ends with the namespaces, what runs too, and the usual ports are free there.
  unshare --mount --pid --fork --kill-child --net "$here/test-deb.sh" --minimal "$PWD/$deb"
  under_systemd "$PWD/$deb"
  step "all is well"
}

# Those that were not finished are begun again.
bootstrap() {
  [ ! -e "$debians/complete" ] || return 0
  rm -rf "$debians"
  mkdir -p "$debians"
  debootstrap --variant=minbase bookworm "$debians/minimal" >&2
  cp -a "$debians/minimal" "$debians/systemd"
  chroot "$debians/systemd" apt-get install -q -y --no-install-recommends systemd >&2
  touch "$debians/complete"
}

amqp=amqp://guest:guest@127.0.0.1

step() { echo "--- $1"; }

fail() {
  echo "FAILED: $1" >&2
  exit 1
}

# Whatever is done to it, the Debian that is kept stays as it was.
mount_debian() {
  work=$debians/work
  mkdir -p "$work"
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$work"
  root=$work/root
  mkdir "$work/upper" "$work/work" "$root"
  mount -t overlay overlay -o "lowerdir=$debians/$1,upperdir=$work/upper,workdir=$work/work" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  ip link set lo up
}

minimal() {
  mount_debian minimal
  mount --rbind /dev "$root/dev"
  files >"$work/before"

  step "it installs"
  cp "$1" "$root/tmp/haremq.deb"
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
  amqp-declare-queue --url "$amqp" --queue q --durable
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
      --bounding-set=-all env --chdir="$(of_unit WorkingDirectory)" "$(of_unit ExecStart)"
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
  (cd "$root" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./sys -o -path ./var/lib/dpkg -o -path ./var/cache \
    -o -path ./var/log/dpkg.log -o -path './var/lib/systemd/deb-systemd-helper-*' -o -path './run/*' \) -prune -o -print |
    sed 's,^\./,,' | sort)
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

# systemd has to be the first process of its namespace, so the test stands outside.
under_systemd() {
  local groups
  groups=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)/haremq-test
  mkdir -p "$groups"
  (
    echo $BASHPID >"$groups/cgroup.procs"
    exec unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup "$here/test-deb.sh" --boot "$1"
  ) &
  local unshare=$!
  trap "end_systemd $unshare '$groups'" EXIT
  until_so "systemd does not come up" systemd_answers "$unshare"

  step "systemd takes its units"
  in_systemd dpkg --install /root/haremq.deb
  in_systemd systemd-analyze verify --man=no haremq.service haremq-amqp.socket haremq-http.socket
  in_systemd systemd-analyze security --no-pager haremq.service | tail -n 1
  in_systemd systemctl is-active haremq
  in_systemd systemctl show --property StatusText haremq | grep -q 'Server startup complete; amqp' || fail "no status"

  step "it lives through a restart, and starts its log's file anew"
  client amqp-declare-queue --url "$amqp" --queue q --durable
  client amqp-publish --url "$amqp" --routing-key q --body hello --persistent
  in_systemd sh -c 'echo "log-file = \"/var/log/haremq/haremq.log\"" >>/etc/haremq/haremq.toml'
  in_systemd systemctl restart haremq
  [ "$(client amqp-get --url "$amqp" --queue q)" = hello ] || fail "the message is lost"
  in_systemd mv /var/log/haremq/haremq.log /var/log/haremq/haremq.log.1
  in_systemd systemctl reload haremq
  until_so "no new file" in_systemd test -e /var/log/haremq/haremq.log

  step "with sockets from systemd nobody is refused"
  in_systemd systemctl stop haremq
  in_systemd systemctl enable --quiet --now haremq-amqp.socket haremq-http.socket
  local message
  for message in 1 2 3; do
    in_systemd systemctl is-active --quiet haremq && fail "nobody has come yet"
    client amqp-publish --url "$amqp" --routing-key q --body $message --persistent
    # The port that is shut by that goes back to systemd open.
    in_systemd haremq ctl stop_app
    in_systemd systemctl stop haremq
  done
  for message in 1 2 3; do
    [ "$(client amqp-get --url "$amqp" --queue q)" = $message ] || fail "message $message is lost"
  done

  step "a shard that stands still has it started again"
  in_systemd mkdir /etc/systemd/system/haremq.service.d
  in_systemd sh -c 'printf "[Service]\nWatchdogSec=2s\n" >/etc/systemd/system/haremq.service.d/soon.conf'
  in_systemd systemctl daemon-reload
  in_systemd systemctl restart haremq
  sleep 5
  [ "$(restarts)" = 0 ] || fail "it is started again though it is well"
  stop_thread shard-1 &
  until_so "it is not started again" test_restarted
  wait $! || true
}

in_systemd() { nsenter --target "$init" --all --root "$@" </dev/null; }
client() { nsenter --target "$init" --net timeout 30 "$@" </dev/null; }
restarts() { in_systemd systemctl show --property NRestarts --value haremq; }
test_restarted() { [ "$(restarts)" = 1 ] && in_systemd systemctl is-active --quiet haremq; }

systemd_answers() {
  init=$(cat "/proc/$1/task/$1/children" 2>/dev/null | tr -d ' ')
  [ -n "$init" ] && [ "$(cat "/proc/$init/comm")" = systemd ] && in_systemd systemctl is-system-running 2>/dev/null | grep -q 'running\|degraded'
}

until_so() {
  local why=$1 tries=300
  shift
  until "$@" >/dev/null; do
    [ $((tries -= 1)) -gt 0 ] || fail "$why"
    sleep 0.1
  done
}

# As only a debugger can, until the process is killed.
stop_thread() {
  local process
  for process in /proc/[0-9]*; do
    [ "$(cat "$process/comm" 2>/dev/null)" = haremq ] || continue
    [ "$(readlink "$process/ns/pid")" = "$(readlink "/proc/$init/ns/pid")" ] || continue
    break
  done
  python3 - "$process" "$1" <<'PYTHON'
import ctypes, os, sys, time
process, name = sys.argv[1:]
tasks = os.listdir(process + "/task")
thread = next(int(t) for t in tasks if open(f"{process}/task/{t}/comm").read().startswith(name))
ptrace = ctypes.CDLL(None).ptrace
SEIZE, INTERRUPT = 0x4206, 0x4207
assert ptrace(SEIZE, thread, 0, 0) == 0 and ptrace(INTERRUPT, thread, 0, 0) == 0
while os.path.exists(process) and thread in map(int, os.listdir(process + "/task")):
    time.sleep(0.1)
    try:
        os.waitpid(-1, os.WNOHANG | 0x40000000)
    except ChildProcessError:
        break
PYTHON
}

end_systemd() {
  kill -KILL "$init" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
  # What was killed takes a moment to be gone.
  until_so "a control group is left" eval "find '$2' -depth -type d -exec rmdir {} + 2>/dev/null || [ ! -e '$2' ]"
}

# Becomes systemd.
boot() {
  mount_debian systemd
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  local device
  for device in null zero full random urandom tty; do cp -a /dev/$device "$root/dev/"; done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  cp "$1" "$root/root/haremq.deb"
  cd "$root"
  mkdir old
  pivot_root . old
  umount -l /old
  mount --make-rshared /
  exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --show-status=no
}

case ${1:-} in
  --bootstrap) bootstrap ;;
  --minimal) minimal "$2" ;;
  --boot) boot "$2" ;;
  *) main "$@" ;;
esac
