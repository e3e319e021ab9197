#!/bin/sh
# watchdog.sh CHECK...: a container's health check that also ends its main process when that hangs. docker compose starts
# again what ends, and nothing that is merely unhealthy. CHECK exits with
#   0  the service can do its work
#   3  it hangs: it gives no answer, though what it needs is well
#   *  something else is wrong, which a restart would not make better
# The limits (seconds) and what they mean are those of plugins/upbit_elt/stack/watchdog.py. A restart empties /tmp, so
# there is no backoff here: between two restarts the service has answered once, or START has passed.
set -u
LOOKS=6 PATIENCE=180 START=900 LATE=90
SLOWEST=40 # then the check itself had no time, which says nothing of the service
GRACE=5
state=${WATCHDOG_STATE:-/tmp/watchdog} # one line: did it answer, last look, silent since, silent looks
uptime=${WATCHDOG_UPTIME:-/proc/uptime} # nobody sets this clock, and a sleep of the machine counts
log=${WATCHDOG_LOG:-/proc/1/fd/2} # that of the container
main=${WATCHDOG_MAIN:-}
# below Docker's init, which is process 1
[ -n "$main" ] || read -r main _ </proc/1/task/1/children

state_of_main() { # T: stopped by SIGSTOP, though its children may still answer; Z or nothing: it has ended
  while read -r key value _; do
    if [ "$key" = State: ]; then echo "$value"; fi
  done 2>/dev/null <"/proc/$main/status"
}

words=$(timeout -k 1 "$SLOWEST" "$@" 2>&1)
code=$?
if [ "$code" != 3 ] && [ "$(state_of_main)" = T ]; then code=3 words="its process is stopped"; fi
[ -z "$words" ] || echo "$words"

read -r now _ <"$uptime"
now=${now%%.*}
answered=no looked=$now since=- looks=0
[ ! -s "$state" ] || read -r answered looked since looks <"$state"

if [ "$code" = 3 ] && [ $((now - looked)) -le "$LATE" ]; then
  [ "$since" != - ] || since=$now
  looks=$((looks + 1))
else
  since=- looks=0
fi
[ "$code" != 0 ] || answered=yes
echo "$answered $now $since $looks" >"$state"
[ "$code" != 0 ] || exit 0

patience=$PATIENCE
[ "$answered" = yes ] || patience=$START
if [ "$looks" -ge "$LOOKS" ] && [ $((now - since)) -ge "$patience" ]; then
  echo "watchdog: ending the main process, which hangs: $words, for $((now - since)) s" >"$log"
  kill -TERM "$main"
  left=$GRACE
  while [ "$left" -gt 0 ]; do
    case $(state_of_main) in "" | T | Z) break ;; esac # ended, or deaf to anything but SIGKILL
    sleep 1
    left=$((left - 1))
  done
  kill -KILL "$main" 2>/dev/null
  rm -f "$state"
fi
exit 1
