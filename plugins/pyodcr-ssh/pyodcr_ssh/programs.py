r"""What runs on the far side: small programs for a POSIX shell with coreutils (GNU's or busybox').

The command that ssh is given is always the same and holds nothing of the user's, so whatever login shell parses it
(csh, fish) finds nothing to trip over, and no path shows in the far side's list of processes. The program itself is
the first thing that comes down the connection; what follows it is the upload's.

Every program first says MARK, for login scripts may have said something before, and then answers in fields that end
with a NUL. ``failed`` and a reason is an answer to anything. A file is told as ``INFO``: its size, inode, time in
seconds since 1970, and time again in words, which has the fractions of the second.
"""

from __future__ import annotations

import shlex

MARK = b"pyodcr-ssh 1\n"

_PRELUDE = r"""
LC_ALL=C TZ=UTC0
export LC_ALL TZ
umask 077
say() { printf '%s\0' "$@"; }
fail() { say failed "$1"; exit 1; }
info() { stat -L -c '%s %i %Y %y' "$1"; }
identity() { stat -L -c '%d:%i' "$1"; }
file() {
    said=$(ls -dL "$1" 2>&1 >/dev/null) || fail "$said"
    [ ! -d "$1" ] || fail 'is a directory'
    [ -f "$1" ] || fail 'is not a file'
}
echo 'pyodcr-ssh 1'
"""

# path, temporary: a name; end: what the last bytes of a whole upload begin with. Says `ready`, the path of the
# temporary file and its identity; when the bytes have ended `whole` and INFO, or `gone`.
#
# The end of the bytes says nothing: it also comes when the near side is killed. So a whole upload closes with more,
# which is cut off again:
#
#     the file | bytes that come late | a table of them: OFFSET LENGTH, a line each | end, sizes of file and table
#
# Late bytes are copied to their offsets, which hold zeros until then.
#
# The first block is written and synced before anything else, to hear of a full disk or quota before a container
# is frozen. While the bytes come, they are synced each second, so that little is left to be synced when the
# container waits for it. dd's own fsync is the one that tells of a failed write, since it has had the file open
# from the beginning.
PUT = r"""
directory=${path%/*}/
said=$(ls -d "$directory" 2>&1 >/dev/null) || fail "$said"
target=$(readlink -nf "$path" && echo .) || fail 'it is a link that leads nowhere'
target=${target%.}
[ ! -d "$target" ] || fail 'is a directory'
[ ! -e "$target" ] || [ -f "$target" ] || fail 'is not a file'
directory=${target%/*}/
part=$directory$temporary
syncer=
trap 'exit 1' HUP INT PIPE TERM
trap 'rm -f "$part"; [ -z "$syncer" ] || kill "$syncer" 2>/dev/null' EXIT
fail() { rm -f "$part"; say failed "$1"; exit 1; }
said=$( (set -C; : >"$part") 2>&1) || fail "$said"
said=$(dd if=/dev/zero of="$part" bs=4096 count=1 conv=fsync 2>&1) || fail "$said"
say ready "$part" "$(identity "$part")"
while sleep 1 && kill -0 $$; do sync "$part"; done </dev/null >/dev/null 2>&1 &
syncer=$!
said=$(dd of="$part" bs=1M conv=fsync 2>&1) || fail "$said"
size=$(stat -c %s "$part")
last=$(tail -c $((${#end} + 40)) "$part" | tr -d '\0')
case $last in
    "$end "*) ;;
    *) rm -f "$part"; say gone; exit ;;
esac
set -- $last
count=$2 table=$3 late=$2
patch() {
    while read -r offset length; do
        dd if="$part" of="$part" bs=1 conv=notrunc skip="$late" seek="$offset" count="$length" 2>&1 || return
        late=$((late + length))
    done
    sent=$((late + table + ${#end} + 40))
    [ "$sent" = "$size" ] || { echo "$size bytes arrived, $sent were sent"; return 1; }
}
said=$(tail -c $((table + ${#end} + 40)) "$part" | head -c "$table" | patch) || fail "$said"
said=$( { truncate -c -s "$count" "$part" && sync "$part" && mv -f "$part" "$target"; } 2>&1) || fail "$said"
sync "$directory" 2>/dev/null || sync
say whole "$(info "$target")"
"""

# part: the temporary file. Says `gone`.
ABORT = r"""
said=$(rm -f "$part" 2>&1) || fail "$said"
say gone
"""

# path, part, identity: whether an upload that ended without an answer had happened. After this it never will.
SETTLE = r"""
said=$(rm -f "$part" 2>&1) || fail "$said"
if [ "$(identity "$path" 2>/dev/null)" = "$identity" ]; then
    sync "$path" "${path%/*}/" 2>/dev/null || sync
    say whole "$(info "$path")"
else
    say gone
fi
"""

# path, offset. Says `ready` and INFO, then gives the bytes from there on.
OPEN = r"""
file "$path"
said=$( (: <"$path") 2>&1) || fail "$said"
exec 3<"$path"
say ready "$(info /dev/fd/3)"
exec dd bs=1M iflag=skip_bytes skip="$offset" status=none <&3
"""

# path. Says `file` and INFO, or `none`.
STAT = r"""
if [ -f "$path" ]; then
    said=$(info "$path" 2>&1) || fail "$said"
    say file "$said"
else
    case $(ls -dL "$path" 2>&1 >/dev/null) in
        '' | *': No such file'* | *': Not a directory') say none ;;
        *) file "$path" ;;
    esac
fi
"""

# directory, prefix. Says a name and INFO for each, and an empty name at the end.
LIST = r"""
case $(ls -d "$directory" 2>&1 >/dev/null) in
    '') ;;
    *': No such file'* | *': Not a directory') say ''; exit ;;
esac
said=$( { cd "$directory" && ls >/dev/null; } 2>&1) || fail "$said"
cd "$directory"
set -- "$prefix"*
[ -n "$prefix" ] || set -- "$@" .*
for name; do
    if [ -f "./$name" ] && [ ! -L "./$name" ] && said=$(info "./$name"); then say "$name" "$said"; fi
done
say ''
"""

# path. Says `gone`.
DELETE = r"""
[ ! -d "$path" ] || fail 'is a directory'
said=$(rm -f "$path" 2>&1) || fail "$said"
say gone
"""


def whole(body: str, **variables: str) -> bytes:
    """A program, with its variables."""
    assignments = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*assignments, _PRELUDE + body]).encode()


def end(word: str, size_bytes: int, table_bytes: int) -> bytes:
    """What closes an upload."""
    return f"{word}{size_bytes:20}{table_bytes:20}".encode()


def command(program: bytes) -> str:
    """What ssh has the login shell run: a shell that takes its program from the connection, and not a byte more."""
    return f"""exec sh -c 'eval "$(dd bs=1 count={len(program)} 2>/dev/null)"'"""
