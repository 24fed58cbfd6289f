# Run a startup script as MWAA does: sourced, so that its exports are this shell's, and so that its `exit` ends this shell.
# `startup` runs it with the script as its argument; every variable of the end goes to the descriptor AERODROME_CHANNEL.

__aerodrome_script=$1
__aerodrome_line=0
__aerodrome_now=0
set --

__aerodrome_end() {
  trap - DEBUG
  AERODROME_STATUS=$1 AERODROME_LINE=$__aerodrome_line AERODROME_END=$2 command /usr/bin/env -0 >&"$AERODROME_CHANNEL"
  builtin exit "$1"
}

# Functions and sourced files inherit the trap by -T; the script's own lines are told from those of files that it sources.
# The trap of EXIT is itself such a command, so the line before the last is the one that ended the script.
set -T
trap '__aerodrome_end "$?" exit' EXIT
trap '[[ ${BASH_SOURCE[0]} == "$__aerodrome_script" ]] && __aerodrome_line=$__aerodrome_now && __aerodrome_now=$LINENO' DEBUG
source "$__aerodrome_script"
# The status of the last command is nobody's verdict: a script may end with a test that is false.
__aerodrome_end 0 through
