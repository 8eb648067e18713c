# Runs "$@" and asks it to shut down fast when our stdin ends, which it does even if our parent is killed.
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
# Repeated, since a server that has only just started still ignores the signal.
{
    read -r _ <&3
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -INT "$server" 2>/dev/null && sleep 0.1 || break; done
} &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -KILL "$watcher"
wait "$watcher" 2>/dev/null
exit "$status"
