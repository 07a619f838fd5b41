# shellcheck shell=bash
# kz: load and unload the variables of the nearest .keyzero.toml.
#
# This runs amid other people's settings. Names of ours begin with _kz, for the
# text evaluated below assigns names that we cannot foresee; the backslash keeps
# aliases away from builtin, after which an assignment is split like any word;
# test, unlike [[, compares case under nocasematch; and nothing here may fail or
# read an unset name, for errexit and nounset.

_kz_self=__KZ_SELF__

# At every prompt. As long as nothing changed it starts no process. Options that
# would show a value, export ours or end the shell are off meanwhile; bash 4.4
# gives them back on return, and after an interrupt too.
_kz_hook() {
  \builtin local _kz_status="$?"
  case $- in
    *[aekuvxET]*) if \builtin local - 2>/dev/null; then \builtin set +aekuvxET; fi ;;
  esac
  if ! { _kz_calm && _kz_fresh; } && ! _kz_same && \builtin test "${_kz_tries:-0}" -lt 2; then _kz_run; fi
  \builtin return "$_kz_status"
}

# True if nothing has changed since _kz_same was true, which defines it anew.
_kz_calm() {
  \builtin false
}

# kz defines this anew, with tests of the files that it depends on.
_kz_fresh() {
  \builtin true
}

# True if all is as kz last found it.
_kz_same() {
  \builtin local _kz_found=''
  _kz_calmed='' # until _kz_settle
  if ! \builtin test "$PWD" = "${_kz_pwd-}"; then _kz_pwd=$PWD _kz_tries=0; fi
  _kz_find
  if ! \builtin test "$_kz_found:${KEYZERO_ENV-}:${NODE_ENV-}:${RAILS_ENV-}:${APP_ENV-}:${KZ_LOG-}" = "${_kz_config-}:${_kz_loaded-}"; then \builtin return 1; fi
  # By a clock of the shell's own; one that was set back shows too.
  if [[ -n ${_kz_ttl-} ]]; then
    _kz_clock
    if ((_kz_now < _kz_since || _kz_now - _kz_since >= _kz_ttl)); then \builtin return 1; fi
  fi
  _kz_fresh && _kz_settle "${#_kz_up[@]}"
}

# Finds the nearest configuration, and the places before it where there is none:
# above HOME there are none. To compare lengths takes less than to compare paths.
_kz_find() {
  \builtin local _kz_dir="${PWD%/}" _kz_rest _kz_end
  _kz_up=() _kz_rest=$_kz_dir/
  _kz_rest=${_kz_rest#"${HOME-}/"} _kz_end=$((${#_kz_dir} - ${#_kz_rest}))
  if [[ $_kz_dir != /* ]]; then _kz_end=${#_kz_dir}; fi
  while [[ ! -e $_kz_dir/.keyzero.toml && ! -L $_kz_dir/.keyzero.toml ]]; do
    _kz_up+=("$_kz_dir/.keyzero.toml")
    if ((${#_kz_dir} == 0 || ${#_kz_dir} == _kz_end)); then \builtin return; fi
    _kz_dir=${_kz_dir%/*}
  done
  _kz_found=$_kz_dir/.keyzero.toml
}

# Has _kz_calm tell the same of this directory by one test without a loop or a call,
# in half the time. Names of files stay out of what is evaluated, so that it also
# serves for others in which there is as much to test. Under nocasematch, where ==
# is not exact, the test fails; and so it does while _kz_calmed is empty.
# shellcheck disable=SC2016  # to be expanded when the test is made
_kz_settle() {
  \builtin local _kz_i _kz_kind="$1:${_kz_config:+config}:${_kz_ttl:+ttl}" _kz_tests='a != A'
  if [[ $_kz_kind != "${_kz_calms-}" ]]; then
    _kz_tests+=' && "$PWD//${KEYZERO_ENV-}:${NODE_ENV-}:${RAILS_ENV-}:${APP_ENV-}:${KZ_LOG-}" == "$_kz_calmed"'
    for ((_kz_i = 0; _kz_i < $1; _kz_i++)); do
      _kz_tests+=" && ! -e \${_kz_up[$_kz_i]} && ! -L \${_kz_up[$_kz_i]}"
    done
    _kz_tests+=${_kz_config:+' && -e $_kz_config'}
    _kz_tests+=${_kz_ttl:+' && ${EPOCHSECONDS:-${SECONDS:-0}} -ge _kz_since && ${EPOCHSECONDS:-${SECONDS:-0}} -lt _kz_since+_kz_ttl'}
    _kz_calms='' # should the next line be the last
    \builtin eval "_kz_calm() { [[ $_kz_tests ]]; }"
    _kz_calms=$_kz_kind
  fi
  _kz_calmed=$PWD//$_kz_loaded
}

# Notes what decides, besides files, about what is loaded.
_kz_choose() {
  _kz_loaded="${KEYZERO_ENV-}:${NODE_ENV-}:${RAILS_ENV-}:${APP_ENV-}:${KZ_LOG-}"
}

# bash before 5.0 knows only how long it has been running.
_kz_clock() {
  _kz_now="${EPOCHSECONDS:-${SECONDS:-0}}"
}

_kz_run() {
  _kz_tries=$((${_kz_tries:-0} + 1))
  \builtin declare -f +t _kz_eval _kz_keep _kz_drop # a trap that follows everywhere would see values
  if [[ -x $_kz_self ]]; then
    _kz_eval "$@"
  else
    _kz_gone
  fi
}

# A function of its own: a DEBUG trap does not follow into it. kz sets
# _kz_tries to 0 with the last line; without that it was interrupted.
_kz_eval() {
  # In a subshell $$ is the shell around it, whose files are not to be touched.
  \builtin local _kz_pid="$$"
  if ! \builtin test "$BASH_SUBSHELL" = 0; then _kz_pid=0; fi
  \builtin eval "$("$_kz_self" hook-env --shell bash --pid "$_kz_pid" --said "${_kz_said-}" "$@")"
  if ! \builtin test "$_kz_tries" = 0; then \builtin return; fi
  _kz_choose
  if [[ -n $_kz_ttl ]]; then
    _kz_clock
    _kz_since=$_kz_now
  fi
}

# Without kz, what it loaded goes all the same, until kz is back.
_kz_gone() {
  if ! \builtin test "${_kz_said-}" = gone; then
    \builtin printf 'kz: %q: not found' "$_kz_self" >&2
    if [[ -n ${_kz_names[*]-} ]]; then \builtin printf '; what it had loaded is unset' >&2; fi
    \builtin printf '\n' >&2
  fi
  if [[ -n ${_kz_names[*]-} ]]; then
    _kz_drop "${_kz_names[@]}"
    \builtin unset -v __KZ_STATE
  fi
  _kz_said=gone _kz_loaded='' _kz_tries=0 _kz_ttl='' _kz_names=()
}

# kz has these called with names of variables. To have one ready that is set next.
_kz_take() {
  if ! _kz_unset "$1" 2>/dev/null; then
    \builtin printf 'kz: %s is readonly in this shell and stays as it is\n' "$1" >&2
    \builtin return 1
  fi
}

# NAME=value of all that are new, in one call: that takes half as long as one for
# each. What at most this shell knew needs no care unless something of it was kept.
_kz_set() {
  \builtin local _kz_pair _kz_was
  # shellcheck disable=SC2163  # the pairs, and not variables that hold them
  if [[ -z ${!_kz_was_*} ]]; then
    \builtin export "$@"
    \builtin return
  fi
  for _kz_pair; do
    _kz_was=_kz_was_${_kz_pair%%=*}
    # shellcheck disable=SC2163
    if [[ -z ${!_kz_was-} ]] || _kz_take "${_kz_pair%%=*}"; then \builtin export "$_kz_pair"; fi
  done
}

# First a reference, which unset -v would take for what it refers to.
_kz_unset() {
  \builtin unset -n "$1" || \builtin true
  \builtin unset -v "$1"
}

# To keep what only this shell knows of them. What was kept before an interrupt stays.
_kz_keep() {
  \builtin local _kz_name
  for _kz_name; do
    if \builtin declare -p "$_kz_name"; then
      \builtin eval "_kz_was_$_kz_name=\$(\builtin declare -p \"\$_kz_name\")"
    fi
  done >/dev/null 2>&1
}

# To unset them, and put back what was kept: attributes first and then an
# assignment, because no array can follow \builtin.
_kz_drop() {
  \builtin local _kz_name _kz_was _kz_text
  \builtin unset -n "$@" || \builtin true
  # Nearly always that is all there is to do.
  if \builtin unset -v "$@" && [[ -z ${!_kz_was_*} ]]; then \builtin return; fi
  for _kz_name; do
    if _kz_unset "$_kz_name"; then
      _kz_was="_kz_was_$_kz_name"
      if [[ -n ${!_kz_was-} ]]; then
        _kz_text=${!_kz_was#declare }
        if [[ $_kz_text != --*=* ]]; then \builtin declare -g "${_kz_text%% *}" "$_kz_name"; fi
        if [[ $_kz_text == *=* ]]; then \builtin eval "${_kz_text#* }"; fi
        \builtin unset -v "$_kz_was"
      fi
    else
      \builtin printf 'kz: %s is readonly in this shell and stays as it is\n' "$_kz_name" >&3
    fi
  done 3>&2 2>/dev/null
}

# The same, for those of which something is kept still.
_kz_undo() {
  \builtin local _kz_one _kz_kept
  for _kz_one; do
    _kz_kept="_kz_was_$_kz_one"
    if [[ -n ${!_kz_kept-} ]]; then _kz_drop "$_kz_one"; fi
  done
}

# To forget what was kept of them, for they are the user's.
_kz_forget() {
  \builtin unset -v "${@/#/_kz_was_}"
}

# Unloads, and takes the hook out of this shell.
_kz_off() {
  \builtin local _kz_i
  if \builtin local - 2>/dev/null; then \builtin set +aekuvxET; fi
  _kz_run --off
  for _kz_i in "${!PROMPT_COMMAND[@]}"; do
    PROMPT_COMMAND[_kz_i]=${PROMPT_COMMAND[_kz_i]/'_kz_hook && '/} # others may have joined theirs to it
    PROMPT_COMMAND[_kz_i]=${PROMPT_COMMAND[_kz_i]#$'\\builtin true\n'}
    if \builtin test "${PROMPT_COMMAND[_kz_i]}" = '\builtin true'; then \builtin unset -v "PROMPT_COMMAND[_kz_i]"; fi
  done
  \builtin unset -v _kz_self _kz_pwd _kz_up _kz_calms _kz_calmed _kz_loaded _kz_config _kz_names _kz_ttl _kz_now _kz_since _kz_said _kz_tries "${!_kz_was_@}"
  \builtin unset -f _kz_hook _kz_calm _kz_fresh _kz_same _kz_find _kz_settle _kz_choose _kz_clock _kz_run _kz_eval _kz_gone _kz_take _kz_set _kz_unset _kz_keep _kz_drop _kz_undo _kz_forget _kz_off
}

# A shell that inherited nothing has nothing to ask kz until it meets a
# configuration. First in the list, so that prompts see what was loaded. An
# element of its own, where bash 5.1 has such, leaves PIPESTATUS to the others.
# What it returns is the status before; && keeps that from being a failure, which
# would run ERR traps and end the shell under errexit.
# shellcheck disable=SC2128,SC2178
\builtin unset -v _kz_pwd _kz_calms _kz_loaded _kz_config _kz_ttl _kz_tries
if [[ -z ${__KZ_STATE-} ]]; then
  _kz_choose
  _kz_config=''
fi
# Under allexport.
\builtin export -n _kz_self _kz_calms _kz_calmed _kz_loaded _kz_config _kz_ttl _kz_now _kz_since
\builtin export -nf _kz_hook _kz_calm _kz_fresh _kz_same _kz_find _kz_settle _kz_choose _kz_clock _kz_run _kz_eval _kz_gone _kz_take _kz_set _kz_unset _kz_keep _kz_drop _kz_undo _kz_forget _kz_off
case ${PROMPT_COMMAND[*]-} in
  *_kz_hook*) ;;
  *)
    if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
      PROMPT_COMMAND=('_kz_hook && \builtin true' ${PROMPT_COMMAND[@]+"${PROMPT_COMMAND[@]}"})
    else
      # shellcheck disable=SC2178
      PROMPT_COMMAND=$'_kz_hook && \\builtin true\n'${PROMPT_COMMAND-}
    fi
    ;;
esac
