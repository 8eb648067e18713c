# Runs "$@" and asks it to shut down fast when our stdin ends, which it does even if our parent is killed.

# When a process began, in clock ticks since the start of the system: with its number, which another may get after it,
# this names one process. Empty where there is no /proc.
began() {
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    # shellcheck disable=SC2086 # words of one line
    set -- ${line##*) }
    echo "${20}"
}

exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
server_began=$(began "$server")
# Repeated, since a server that has only just started still ignores the signal.
{
    read -r _ <&3
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(began "$server")" = "$server_began" ] && kill -INT "$server" 2>/dev/null && sleep 0.1 || break
    done
} >/dev/null 2>&1 &
watcher=$!
# Our stdout is a lock that the server holds for as long as it lives; nobody else is to hold it.
exec 3<&- >/dev/null
wait "$server"
status=$?
kill -KILL "$watcher"
wait "$watcher" 2>/dev/null
exit "$status"
