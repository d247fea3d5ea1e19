#!/bin/bash
# Debian's own clients against our xenstored, unmodified: xenstore-utils,
# test-xenstore, xenstore-control.  TAP on stdout; skips aloud what is missing.
build=${DOMZERO_BUILD:?folder of the build}
dir=$(mktemp -d)
export XENSTORED_RUNDIR=$dir XENSTORED_PATH=$dir/socket DOMZERO_RUN_DIR=$dir DOMZERO_HV=bundled:$dir/none
bin=/usr/lib/xen-4.17/bin
n=0 pid=

start() {
	"$build/xenstored/xenstored" -N -F "$dir/pid" "$@" 2>>"$dir/log" &
	pid=$!
	for _ in $(seq 200); do
		xenstore-exists /tool 2>/dev/null && return 0
		kill -0 $pid 2>/dev/null || break
		sleep 0.05
	done
	return 1
}
cleanup() { [ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$dir"; }
trap cleanup EXIT

ok() { # ok "name" command...: passes if the command does
	local what=$1 out
	shift
	n=$((n + 1))
	if out=$("$@" 2>&1); then echo "ok $n - $what"; else
		echo "not ok $n - $what"
		sed 's/^/# /' <<<"$out"
	fi
}
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
is() { # is expected command...
	local want=$1 got
	shift
	got=$("$@" 2>&1)
	[ "$got" = "$want" ] || { printf 'wanted: %s\ngot:    %s\n' "$want" "$got"; return 1; }
}
fails() { ! "$@"; }

if ! command -v xenstore-read >/dev/null; then
	echo "1..0 # SKIP xenstore-utils is not installed"
	exit 0
fi
start || { echo "Bail out! xenstored does not start"; cat "$dir/log"; exit 1; }

ok "a new store has /tool/xenstored" is $'tool = ""\n xenstored = ""' xenstore-ls
ok "the socket is for its owner and group only" \
	sh -c 'case $(stat -c %a "$1") in 600|660) ;; *) stat -c %a "$1"; false;; esac' - "$dir/socket"
ok "xenstore-write makes parents" xenstore-write /a/b/c hello /a/d 5
ok "xenstore-read reads" is hello xenstore-read /a/b/c
ok "xenstore-read of several paths" is $'hello\n5' xenstore-read /a/b/c /a/d
ok "xenstore-read of a missing node fails" fails xenstore-read /a/none
ok "xenstore-list lists in order of creation" is $'b\nd' xenstore-list /a
ok "xenstore-exists tells" xenstore-exists /a/b
ok "xenstore-exists of a missing node fails" fails xenstore-exists /a/zz
ok "xenstore-chmod sets permissions" xenstore-chmod /a/b n0 r5 b6
ok "xenstore-ls -fp shows them" is $'/a/b = ""   (n0,r5,b6)\n/a/b/c = "hello"   (n0)\n/a/d = "5"   (n0)' \
	xenstore-ls -fp /a
ok "xenstore-chmod -r goes down" xenstore-chmod -r /a/b n0 r7
ok "... to the leaves" is $'/a/b/c = "hello"   (n0,r7)' sh -c 'xenstore-ls -fp /a | grep b/c'
ok "xenstore-rm removes with what is below" xenstore-rm /a/b
ok "... and it is gone" fails xenstore-exists /a/b/c
ok "xenstore-rm of nothing below something is fine" xenstore-rm /a/nothing
ok "values may hold anything" sh -c "xenstore-write /v \"\$(printf 'x\\\\ty\\\\001')\" && xenstore-ls /v >/dev/null"
ok "a value of 4000 bytes" sh -c 'v=$(head -c 4000 /dev/zero | tr "\0" y); xenstore-write /big "$v" && [ "$(xenstore-read /big)" = "$v" ]'
ok "a list of 1000 long names comes in parts" sh -c \
	'for i in $(seq 1000); do echo "/wide/some-long-child-name-$i"; echo x; done | xargs xenstore-write && [ $(xenstore-list /wide | wc -l) = 1000 ]'

watch_one() {
	timeout 20 xenstore-watch -n 2 /w >"$dir/watch" &
	local w=$!
	for _ in $(seq 200); do [ -s "$dir/watch" ] && break; sleep 0.05; done
	xenstore-write /w/x 1
	wait $w && is $'/w\n/w/x' cat "$dir/watch"
}
ok "xenstore-watch is told" watch_one
for p in //x /x/ 'a b' "/$(head -c 3072 /dev/zero | tr '\0' a)" /x..y; do
	ok "the path ${p:0:12} is refused" fails xenstore-write "$p" 1
done

if [ -x $bin/test-xenstore ]; then
	ok "test-xenstore passes" timeout 100 $bin/test-xenstore
else
	skip "test-xenstore passes" "xen-utils-4.17 is not installed"
fi
if [ -x $bin/xenstore-control ]; then
	ok "xenstore-control check finds the books right" is OK $bin/xenstore-control check
	ok "xenstore-control quota set" $bin/xenstore-control quota set nodes 1234
	ok "... is shown" sh -c "$bin/xenstore-control quota | grep -q 'nodes.*1234'"
	ok "xenstore-control memreport" sh -c "$bin/xenstore-control memreport | grep -q bytes"
	ok "xenstore-control log on needs a trace file" fails sh -c "$bin/xenstore-control log on | grep -q OK"
	ok "xenstore-control logfile opens one" $bin/xenstore-control logfile "$dir/trace"
	ok "requests are traced" sh -c "xenstore-read /a/d >/dev/null; grep -q 'd0 READ (/a/d' '$dir/trace'"
else
	skip "xenstore-control" "xen-utils-4.17 is not installed"
fi

lu() {
	timeout 20 xenstore-watch -n 3 /lu >"$dir/watch2" &
	local w=$!
	for _ in $(seq 200); do [ -s "$dir/watch2" ] && break; sleep 0.05; done
	xenstore-write /lu/1 x
	$bin/xenstore-control live-update "$build/xenstored/xenstored" || return 1
	xenstore-write /lu/2 y
	wait $w && is $'/lu\n/lu/1\n/lu/2' cat "$dir/watch2" && grep -q 'live update to' "$dir/log"
}
filtered() { grep -qx 'Seccomp:	2' "/proc/$pid/status" && grep -qx 'NoNewPrivs:	1' "/proc/$pid/status"; }
ok "its system calls are filtered" filtered
if [ -x $bin/xenstore-control ]; then
	ok "a live update keeps clients, watches and the store" lu
	ok "... and the filter" filtered
fi
ok "a second daemon on the same state ends with a clear line" sh -c \
	"\"$build/xenstored/xenstored\" -N 2>&1 | grep -q 'another xenstored uses it'"
kill -9 $pid
wait $pid 2>/dev/null
start # not inside ok: the daemon would belong to a subshell
ok "after kill -9 it starts again" [ $? = 0 ]
ok "... with what was written" is 5 xenstore-read /a/d
ok "... and removed" fails xenstore-exists /a/b
if [ -x $bin/xenstore-control ]; then
	ok "... the limits set" sh -c "$bin/xenstore-control quota | grep -q 'nodes.*1234'"
	ok "... and right books" is OK $bin/xenstore-control check
fi
kill $pid
wait $pid
ok "SIGTERM ends it well" [ $? = 0 ]
start --fresh --quota nodes=77,watches=5
ok "--fresh starts empty" [ $? = 0 ]
ok "... really" fails xenstore-exists /a
[ ! -x $bin/xenstore-control ] || ok "--quota is heard" sh -c "$bin/xenstore-control quota | grep -q 'nodes.*77'"
ok "a wrong --quota is one clear line" sh -c \
	"XENSTORED_PATH=$dir/q/socket \"$build/xenstored/xenstored\" --quota bogus=1 2>&1 | grep -q \"'bogus' is not a quota\""
kill $pid
wait $pid
start --fresh -E 71 -S 1999 -W 72 -t 7 -A 4 -M 1024 -Q nodes=73 -q memory=9 -D -P >"$dir/printed"
ok "upstream's options for limits are taken" [ $? = 0 ]
ok "-P prints the process id" is $pid cat "$dir/printed"
limit() { $bin/xenstore-control "quota${3:-}" | grep -qE "^$1 *: *$2\$"; }
if [ -x $bin/xenstore-control ]; then
	for l in "nodes 73" "node-size 1999" "watches 72" "transactions 7" "node-permissions 4" "path-max 1024"; do
		# shellcheck disable=SC2086 # two words
		ok "... $l" limit $l
	done
	ok "... memory, soft" limit memory 9 -soft
fi
ok "a wrong limit is one clear line" sh -c \
	"XENSTORED_PATH=$dir/q/socket \"$build/xenstored/xenstored\" -W many 2>&1 | grep -q \"'watches' is not a quota\""
kill $pid
wait $pid
head -c 8192 /dev/urandom >"$dir/state"
ok "-R ends at a damaged state and says so" sh -c \
	"! \"$build/xenstored/xenstored\" -R 2>\"$dir/damaged\" && grep -q 'is damaged' \"$dir/damaged\" && [ -s \"$dir/state\" ]"
echo "1..$n"
