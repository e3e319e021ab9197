# shellcheck shell=bash
# Set-up shared by `run` and `test` (sourced). Needs: repo, the folder of the repository.

# Processes that may not keep what they compiled compile Airflow and all else again, at every start and in every task.
unset PYTHONDONTWRITEBYTECODE

fail() {
  echo "Error: $*" >&2
  exit 1
}

say() { echo "setup: $*" >&2; }

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# Debian packages, where we may install them; else one line that says what to install.
need_packages() {
  [ $# -gt 0 ] || return 0
  if ! may_install; then
    fail "please install: $* (on Debian and Ubuntu: sudo apt-get install $*)"
  fi
  say "apt-get install $*"
  local log
  log=$(mktemp)
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
    fail "apt-get could not install $* (is there a network?); its whole output: $log"
  fi
  rm -f "$log"
}

java_is_there() {
  [ -n "${JAVA_HOME:-}" ] || command -v java >/dev/null || compgen -G '/usr/lib/jvm/*/bin/java' >/dev/null
}

# Java, and Maven while the jars are not all there.
need_java() { # FOLDER_OF_THE_JARS
  local packages
  mapfile -t packages < <(missing_java "$1")
  need_packages "${packages[@]}"
}

missing_java() { # FOLDER_OF_THE_JARS: prints the packages of Debian that need_java brings, one a line
  java_is_there || echo openjdk-17-jre-headless
  [ -e "$1/hadoop/.stamp" ] && [ -e "$1/hive/.stamp" ] || command -v mvn >/dev/null || echo maven
}

missing_python() { # prints those that an environment needs, one a line
  local python
  if python=$(our_python); then
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$(basename "$python")-venv"
  elif ! command -v python3 >/dev/null; then
    printf '%s\n' python3 python3-venv
  fi
}

# All that a start would stop at is said before minutes of downloads.
prepare_start() { # FOLDER_OF_THE_JARS OPTIONS_OF_RUN...
  local packages python
  mapfile -t packages < <(missing_python && missing_java "$1")
  look_owner # in another user's folder nothing is found, which is no reason to install it
  may_install || need_packages "${packages[@]}" # fails, and names them all
  python=$(our_python || need_python)
  look_first "$python" "${@:2}" || exit 1
  need_java "$1"
}

# Whether a start is possible, by what can be known without packages; a line for each thing that is in the way.
look_first() { # PYTHON OPTIONS_OF_RUN...
  PYTHONPATH=$repo/plugins "$1" -m upbit_elt.stack.first "${@:2}"
}

# Whose the data folder is, when it is another user's; that ends the script. Without a Python nothing is said.
look_owner() {
  local python
  ! python=$(find_python) || look_first "$python" --owner || exit 1
}

# The locked packages have wheels for these (pyproject.toml says so too).
oldest_python=11 newest_python=14
usable_python() { # COMMAND: whether it is a Python that the locked packages know
  "$1" -c "import sys; sys.exit(not (3, $oldest_python) <= sys.version_info[:2] <= (3, $newest_python))" 2>/dev/null
}

find_python() { # prints the first Python that is usable: the machine's own, else one beside it that has its version in its name
  local minor name=python3
  for minor in "" $(seq $newest_python -1 $oldest_python); do
    name=python3${minor:+.$minor}
    if usable_python "$name"; then
      command -v "$name"
      return
    fi
  done
  return 1
}

our_python() { # prints the environment's Python when it was made already, else one that can make it
  local made=$repo/.venv/bin/python
  if usable_python "$made"; then echo "$made"; else find_python; fi
}

need_python() { # prints a usable Python, after it was installed where that helps
  find_python && return
  local there
  if there=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null); then
    fail "python3 is Python $there, and the locked packages work with 3.$oldest_python to 3.$newest_python: install one of these beside it (as python3.13 and python3.13-venv); ./run finds it by that name"
  fi
  need_packages python3 python3-venv
  find_python || fail "no Python 3.$oldest_python to 3.$newest_python was found"
}

# An environment with the locked packages. A set-up that was cut short, or one of an older lock, is done again.
install_locked() { # VENV LOCK_FILE
  local venv=$1 lock=$2 stamp wanted python
  stamp=$venv/.stamp-$(basename "$lock")
  wanted=$(cat "$repo/requirements-uv.txt" "$lock" | sha256sum)
  if [ -x "$venv/bin/python" ] && [ ! -e "$venv/.unfinished" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  python=$(need_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null || need_packages "$(basename "$python")-venv"
  local free
  free=$(df -Pm "$repo" | awk 'NR == 2 {print $4}')
  [ "$free" -ge 9000 ] || [ -e "$stamp" ] ||
    fail "only $free MB are free at $repo; the Python packages need 9000 MB (torch alone takes most): make room and run it again"
  [ ! -e "$venv" ] || [ -O "$venv" ] ||
    fail "$venv belongs to another user (was ./run started with sudo once?): sudo chown -R $(id -un) $repo"
  say "Python packages of $(basename "$lock") into $venv"
  mkdir -p "$venv"
  touch "$venv/.unfinished"
  { usable_python "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; } || { "$python" -m venv --clear "$venv" && touch "$venv/.unfinished"; } ||
    fail "no environment could be made in $venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$repo/requirements-uv.txt" </dev/null ||
    fail "pip could not install uv (is there a network?)"
  "$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" --require-hashes --build-constraints "$lock" \
    -r "$lock" </dev/null ||
    fail "the Python packages could not be installed (is there a network?); run it again to go on"
  echo "$wanted" >"$stamp"
  rm "$venv/.unfinished"
}

# Prometheus and its promtool, for tests: those of the PATH, else taken out of Debian's package. Installing that would start
# a service on the machine. Prints the folder of the two.
need_prometheus() { # FOLDER
  local work
  if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    dirname "$(command -v promtool)"
    return
  fi
  if [ ! -x "$1/usr/bin/promtool" ]; then
    command -v apt-get >/dev/null || fail "please install: prometheus"
    say "Prometheus out of Debian's package into $1"
    mkdir -p "$1"
    work=$(mktemp -d "$1/.new.XXXX")
    if ! (cd "$work" && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } >log 2>&1 </dev/null); then
      tail -n 5 "$work/log" >&2
      rm -r "$work"
      fail "apt-get could not download prometheus (is there a network?)"
    fi
    dpkg-deb -x "$work"/prometheus_*.deb "$work"
    mkdir -p "$1/usr"
    [ -e "$1/usr/bin" ] || mv "$work/usr/bin" "$1/usr/bin"
    rm -r "$work"
  fi
  echo "$1/usr/bin"
}
