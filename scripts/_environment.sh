# Sourced by demo, test and bench: makes .venv from a locked list when it is missing or out of date.
# Needs Python 3.11 or later with venv, and the reach of a package index.
#
# `environment LOCK` leaves $bin (the environment's programs) set. A stamp makes the second call instant.

_wanted() {
    python3 -c 'import sys; print(sys.version_info[:2])'
    cat setup.cfg "scripts/$1" | sha256sum
}

_current() {
    [ -f ".venv/ppcd-$1" ] && [ "$(cat ".venv/ppcd-$1")" = "$(_wanted "$1")" ]
}

environment() {
    local lock="$1"
    bin="$PWD/.venv/bin"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "ppcd needs Python 3.11 or later; python3 here is $(python3 --version)" >&2
        exit 2
    }
    # The tests' list contains the demo's, so that an environment made for the tests serves both.
    if _current "$lock" || _current requirements-test.lock; then return 0; fi
    echo "preparing .venv from scripts/$lock (once, takes a minute or two)" >&2
    [ -x "$bin/python" ] || python3 -m venv .venv || {
        echo "python3 cannot make a virtual environment here: install python3-venv" >&2
        exit 2
    }
    local pip=("$bin/python" -m pip install --quiet --disable-pip-version-check)
    "${pip[@]}" --require-hashes -r "scripts/$lock"
    "${pip[@]}" --no-deps --editable .
    _wanted "$lock" > ".venv/ppcd-$lock"
}
