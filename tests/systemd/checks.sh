#!/usr/bin/env bash
# Run inside of the booted system: uses the unit as an operator would, and says what it sees. PYTHON is
# replaced by the interpreter and its paths.
set -u

show() { systemctl show -p "$1" --value ppcd.service; }

until_it() {  # until_it WHAT COMMAND…: for at most 20 s
    local what=$1
    shift
    for _ in $(seq 200); do
        if "$@"; then echo "ok: $what"; return; fi
        sleep 0.1
    done
    echo "NOT: $what"
}

pid_changed() { [ "$(show MainPID)" != "$pid" ] && [ "$(show ActiveState)" = active ]; }
status_has() { show StatusText | grep -q "$1"; }
as_service() {
    nsenter --target "$pid" --mount --user -S "$(id -u ppcd)" -G "$(id -g ppcd)" -- "$@" 2> /dev/null
}
refused() { ! as_service "$@"; }
limits() { grep -qs "^$1:[[:space:]]*$2\$" "/proc/$pid/status"; }

if ! systemctl start ppcd.service; then
    systemctl status --no-pager --lines=0 ppcd.service
    echo "NOT: started; $(show Result), exit $(show ExecMainStatus)"
    exit 1
fi
echo "ok: started"
pid=$(show MainPID)
until_it "says how it is" status_has .
echo "status: $(show StatusText)"
until_it "no capabilities" limits CapEff 0000000000000000
until_it "no new privileges" limits NoNewPrivs 1
until_it "system calls are filtered" limits Seccomp 2
until_it "runs as its user" test "$(stat -c %U "/proc/$pid")" = ppcd
until_it "has the credential" test "$(ls /run/credentials/ppcd.service)" = smpp-main
until_it "has the control socket" test -S /run/ppcd/ppcd.sock
until_it "can read its configuration" as_service test -r /etc/ppcd/ppcd.yaml
until_it "can write to its runtime directory" as_service touch /run/ppcd/x
until_it "cannot write to /etc" refused touch /etc/ppcd/x
until_it "cannot write to /usr" refused touch /usr/x

PYTHON -c '
from ppcd.ops.ask import call
print("ok: answers on its socket:", call("/run/ppcd/ppcd.sock", {"command": "status"})["node"])'
PYTHON -c '
import urllib.request
with urllib.request.urlopen("http://127.0.0.1:9464/health/live", timeout=5) as answer:
    print("ok: lives:", answer.status)
with urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=5) as answer:
    text = answer.read().decode()
print("ok: measures itself" if "\nprocess_open_fds" in text and "\nppcd_link_up" in text else "NOT: metrics")'

sed -i 's/lifetime_s: 600/lifetime_s: nonsense/' /etc/ppcd/ppcd.yaml
systemctl reload ppcd.service
until_it "a bad reload is said" status_has "bad"
sed -i 's/lifetime_s: nonsense/lifetime_s: 300/' /etc/ppcd/ppcd.yaml
systemctl reload ppcd.service
until_it "a good reload is said" status_has "links up"
until_it "reloads restart nothing" test "$(show MainPID)" = "$pid"

kill -STOP "$pid"
until_it "a loop that stands still is killed and started again" pid_changed
until_it "once" test "$(show NRestarts)" = 1

before=$(date +%s)
systemctl stop ppcd.service
echo "stopped in $(($(date +%s) - before)) s: $(show Result)"
until_it "a stop is a success" test "$(show Result)" = success
until_it "leaves nothing behind" test ! -e /run/ppcd
echo "end of checks"
