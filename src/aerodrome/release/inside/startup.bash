# Run a startup script as MWAA does: sourced, so that its exports are this shell's, and so that its `exit` ends this shell.
# `startup` runs it with the script as its argument; every variable of the end goes to the descriptor AERODROME_CHANNEL,
# and before it a note for each thing that MWAA would do and we do not, and for each command that failed.

__aerodrome_script=$1
__aerodrome_line=0
__aerodrome_now=0
__aerodrome_noted=0
__aerodrome_words=
__aerodrome_ours='command "$@"'
set --

__aerodrome_end() {
  trap - DEBUG ERR
  AERODROME_STATUS=$1 AERODROME_LINE=$__aerodrome_line AERODROME_END=$2 command /usr/bin/env -0 >&"$AERODROME_CHANNEL"
  builtin exit "$1"
}

# Kind, line and words. Told at once, for a subshell's variables are lost; not without end.
__aerodrome_note() {
  ((++__aerodrome_noted <= 200)) || return 0
  builtin printf 'AERODROME_NOTE=%s\t%s\t%s\0' "$1" "$2" "${*:3}" >&"$AERODROME_CHANNEL"
} 2>/dev/null

# A command that ends with another status than 0, and nothing of the script looks at it. What a function of ours ran for
# the script is told in the script's own words, in which variables are not filled in: they may hold secrets.
__aerodrome_failed() {
  [[ $4 == "$__aerodrome_script" ]] || return 0
  if [[ $3 == "$__aerodrome_ours" ]]; then set -- "$1" "$2" "$__aerodrome_words"; fi
  __aerodrome_note failed "$2" "$1" "$3"
}

# Pip outside of a virtual environment would write to the version itself, which is everybody's and not the script's.
__aerodrome_pip() {
  local program
  program=$(builtin type -P "$1")
  if [[ ${2-} == install && $program != "$AIRFLOW_HOME"/* && $program != "${VIRTUAL_ENV:-/nowhere}"/* ]]; then
    __aerodrome_note pip "$__aerodrome_now" "${*:3}"
    return 0
  fi
  command "$@"
}

__aerodrome_packages() {
  __aerodrome_note packages "$__aerodrome_now" "$*"
}

sudo() {
  while [[ ${1-} == -* ]]; do shift; done
  case ${1-} in
    yum | dnf | microdnf | apt | apt-get | amazon-linux-extras) __aerodrome_packages "$@" ;;
    *) __aerodrome_note sudo "$__aerodrome_now" "$*" && command "$@" ;;
  esac
}
yum() { __aerodrome_packages yum "$@"; }
dnf() { __aerodrome_packages dnf "$@"; }
microdnf() { __aerodrome_packages microdnf "$@"; }
apt() { __aerodrome_packages apt "$@"; }
apt-get() { __aerodrome_packages apt-get "$@"; }
amazon-linux-extras() { __aerodrome_packages amazon-linux-extras "$@"; }
pip() { __aerodrome_pip pip "$@"; }
pip3() { __aerodrome_pip pip3 "$@"; }

# Functions, subshells and sourced files inherit the traps by -T and -E; the script's own lines are told from those of
# files that it sources. The trap of EXIT is itself such a command, so the line before the last is the one that ended
# the script.
set -TE
trap '__aerodrome_end "$?" exit' EXIT
trap '__aerodrome_failed "$?" "$LINENO" "$BASH_COMMAND" "${BASH_SOURCE[0]}"' ERR
trap '[[ ${BASH_SOURCE[0]} == "$__aerodrome_script" && $BASH_COMMAND != __aerodrome_* && $BASH_COMMAND != "$__aerodrome_ours" ]] && __aerodrome_words=$BASH_COMMAND && __aerodrome_line=$__aerodrome_now && __aerodrome_now=$LINENO' DEBUG
source "$__aerodrome_script"
# The status of the last command is nobody's verdict: a script may end with a test that is false.
__aerodrome_end 0 through
