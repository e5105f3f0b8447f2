# Sourced by demo, test and bench: makes .venv from a locked list when it is missing or out of date.
# Needs Python 3.11 or later with venv, and the reach of a package index.
#
# `environment LOCK` leaves $bin (the environment's programs) set. A stamp makes the second call instant.

# The system's interpreter is what the service runs under, and distributions build theirs with the compiler's
# profiles: half as fast again as one that was built without. PYTHON names another; a .venv that is there is kept.
_interpreter() {
    local candidate
    for candidate in ${PYTHON:-/usr/bin/python3 python3}; do
        if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    echo "no Python 3.11 or later with venv here: install python3 and python3-venv, or set PYTHON" >&2
    return 2
}

_wanted() {
    "$bin/python" -c 'import sys; print(sys.version_info[:2])'
    cat setup.cfg "scripts/$1" | sha256sum
}

_current() {
    [ -x "$bin/python" ] && [ -f ".venv/ppcd-$1" ] && [ "$(cat ".venv/ppcd-$1")" = "$(_wanted "$1")" ]
}

environment() {
    local lock="$1"
    bin="$PWD/.venv/bin"
    # The tests' list contains the demo's, so that an environment made for the tests serves both.
    if _current "$lock" || _current requirements-test.lock; then return 0; fi
    echo "preparing .venv from scripts/$lock (once, takes a minute or two)" >&2
    if [ ! -x "$bin/python" ]; then
        local interpreter
        interpreter="$(_interpreter)" || exit 2
        "$interpreter" -m venv .venv
    fi
    local pip=("$bin/python" -m pip install --quiet --disable-pip-version-check)
    "${pip[@]}" --require-hashes -r "scripts/$lock"
    "${pip[@]}" --no-deps --editable .
    _wanted "$lock" > ".venv/ppcd-$lock"
}
