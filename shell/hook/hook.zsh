# kz: load and unload the variables of the nearest .keyzero.toml.
#
# This runs amid other people's settings. Names of ours begin with _kz, for the
# text evaluated below assigns names that we cannot foresee; a backslash before
# a word keeps aliases away from it, global ones too; and emulate, undone on
# return, gives us the options and traps that we expect.

# At every prompt and change of directory. As long as nothing changed it starts
# no process.
_kz_hook() {
  \builtin \emulate -L zsh
  _kz_calm && _kz_fresh || _kz_same || (( _kz_tries > 1 )) || _kz_run
}

# True if nothing has changed since _kz_same was true, which defines it anew.
_kz_calm() {
  \builtin \false
}

# kz defines this anew, with tests of the files that it depends on.
_kz_fresh() {
  \builtin \true
}

# True if all is as kz last found it.
_kz_same() {
  \builtin \local _kz_found=
  _kz_calmed= # until _kz_settle
  [[ $PWD == "$_kz_pwd" ]] || _kz_pwd=$PWD _kz_tries=0
  _kz_find
  [[ "$_kz_found:$KEYZERO_ENV:$NODE_ENV:$RAILS_ENV:$APP_ENV:$KZ_LOG" == "$_kz_config:$_kz_loaded" ]] || \builtin \return 1
  # By a clock of the shell's own; one that was set back shows too.
  if [[ -n $_kz_ttl ]]; then
    _kz_clock
    (( _kz_now < _kz_since || _kz_now - _kz_since >= _kz_ttl )) && \builtin \return 1
  fi
  _kz_fresh && _kz_settle "${#_kz_up}"
}

# Finds the nearest configuration, and the places before it where there is none. A
# pattern would look through all of a path to find its last slash.
_kz_find() {
  \builtin \local _kz_dir=${PWD%/}
  _kz_up=()
  while [[ ! -e $_kz_dir/.keyzero.toml && ! -L $_kz_dir/.keyzero.toml ]]; do
    _kz_up+=("$_kz_dir/.keyzero.toml")
    [[ $_kz_dir == /?* && $_kz_dir != "$HOME" ]] || \builtin \return
    _kz_dir=${_kz_dir:h}
    _kz_dir=${_kz_dir:#/}
  done
  _kz_found=$_kz_dir/.keyzero.toml
}

# Has _kz_calm tell the same of this directory by one test without a loop or a call,
# in less time. Names of files stay out of what is evaluated, so that it also serves
# for others in which there is as much to test. It fails while _kz_calmed is empty.
_kz_settle() {
  \builtin \setopt no_aliases
  \builtin \local _kz_i _kz_kind="$1:${_kz_config:+config}:${_kz_ttl:+ttl}" _kz_tests
  if [[ $_kz_kind != "$_kz_calms" ]]; then
    _kz_tests='"$PWD//$KEYZERO_ENV:$NODE_ENV:$RAILS_ENV:$APP_ENV:$KZ_LOG" == "$_kz_calmed"'
    for (( _kz_i = 1; _kz_i <= $1; _kz_i++ )); do
      _kz_tests+=" && ! -e \$_kz_up[$_kz_i] && ! -L \$_kz_up[$_kz_i]"
    done
    _kz_tests+=${_kz_config:+' && -e $_kz_config'}
    _kz_tests+=${_kz_ttl:+' && EPOCHSECONDS -ge _kz_since && EPOCHSECONDS -lt _kz_since+_kz_ttl'}
    _kz_calms= # should the next line be the last
    \builtin \eval "_kz_calm() { [[ $_kz_tests ]]; }"
    _kz_calms=$_kz_kind
  fi
  [[ -n $_kz_ttl && ${(t)EPOCHSECONDS} != *special* ]] || _kz_calmed=$PWD//$_kz_loaded
}

# Notes what decides, besides files, about what is loaded.
_kz_choose() {
  _kz_loaded="$KEYZERO_ENV:$NODE_ENV:$RAILS_ENV:$APP_ENV:$KZ_LOG"
}

# Without its module zsh knows only how long it has been running.
_kz_clock() {
  (( ${+EPOCHSECONDS} )) || \builtin \zmodload -F zsh/datetime p:EPOCHSECONDS 2>/dev/null
  _kz_now=$SECONDS
  [[ ${(t)EPOCHSECONDS} != *special* ]] || _kz_now=$EPOCHSECONDS # and not a variable of that name
}

# Nothing may show a value meanwhile, and no alias stand before the reserved word
# typeset, which alone takes arrays. kz sets _kz_tries to 0 with the last line of
# its text; without that it was interrupted.
_kz_run() {
  \builtin \emulate -L zsh
  \builtin \setopt no_xtrace no_verbose no_all_export no_aliases
  \builtin \trap - DEBUG
  (( _kz_tries += 1 ))
  if [[ ! -x $_kz_self ]]; then
    _kz_gone
    \builtin \return
  fi
  # In a subshell $$ is the shell around it, whose files are not to be touched.
  \builtin \local _kz_pid=$$
  (( ZSH_SUBSHELL )) && _kz_pid=0
  \builtin \eval "$("$_kz_self" hook-env --shell zsh --pid "$_kz_pid" --said "$_kz_said" "$@")"
  (( _kz_tries )) && \builtin \return
  _kz_choose
  if [[ -n $_kz_ttl ]]; then
    _kz_clock
    _kz_since=$_kz_now
  fi
}

# Without kz, what it loaded goes all the same, until kz is back.
_kz_gone() {
  [[ $_kz_said == gone ]] || \builtin \print -ru2 -- "kz: ${(q+)_kz_self}: not found${_kz_names[1]:+; what it had loaded is unset}"
  if (( ${#_kz_names} )); then
    _kz_drop "${_kz_names[@]}"
    \builtin \unset __KZ_STATE
  fi
  _kz_said=gone _kz_loaded= _kz_tries=0 _kz_ttl= _kz_names=()
}

# kz has these called with names of variables. What a user has traced with functions
# -t turns xtrace on again for itself.
#
# To have one ready that is set next. zsh ends the function that unsets a readonly
# variable, so its type is asked first.
_kz_take() {
  \builtin \local _kz_type=${(tP)1}
  if [[ $_kz_type == *readonly* || $_kz_type == *special* ]]; then
    [[ $_kz_type == *readonly* ]] && _kz_type=readonly || _kz_type=special
    \builtin \print -ru2 -- "kz: $1 is $_kz_type in this shell and stays as it is"
    \builtin \return 1
  fi
  \builtin \unset "$1"
}

# NAME=value of all that are new, in one call: that takes a third of the time of one
# for each. None was there before unless something was kept.
_kz_set() {
  \builtin \setopt local_options no_xtrace
  if [[ -z $_kz_keeps ]]; then
    \builtin \export "$@"
    \builtin \return
  fi
  \builtin \local _kz_pair _kz_name
  for _kz_pair; do
    _kz_name=${_kz_pair%%=*}
    if [[ -z ${(tP)_kz_name} ]] || _kz_take "$_kz_name"; then \builtin \export "$_kz_pair"; fi
  done
}

# To keep what only this shell knows of them. What was kept before an interrupt
# stays. typeset -p hides the value of a hidden variable.
_kz_keep() {
  \builtin \setopt local_options no_xtrace
  \builtin \local _kz_name _kz_type
  for _kz_name; do
    _kz_type=${(tP)_kz_name}
    [[ -n $_kz_type ]] || \builtin \continue
    _kz_keeps=1
    if [[ $_kz_type == *hideval* ]]; then
      \builtin \typeset -g +H "$_kz_name"
      \builtin \typeset -g "_kz_was_$_kz_name=$(\builtin \typeset -p "$_kz_name") && \builtin \typeset -g -H $_kz_name"
      \builtin \typeset -g -H "$_kz_name"
    else
      \builtin \typeset -g "_kz_was_$_kz_name=$(\builtin \typeset -p "$_kz_name")"
    fi
  done
}

# To unset them, and put back what was kept: nearly always there is nothing.
_kz_drop() {
  \builtin \setopt local_options no_xtrace
  \builtin \local _kz_name _kz_type _kz_was _kz_care=$_kz_keeps
  for _kz_name; do
    _kz_type=${(tP)_kz_name}
    [[ $_kz_type == *readonly* || $_kz_type == *special* ]] && _kz_care=1
  done
  if [[ -z $_kz_care ]]; then
    \builtin \unset "$@"
    \builtin \return
  fi
  for _kz_name; do
    _kz_was=_kz_was_$_kz_name
    if _kz_take "$_kz_name" && [[ -n ${(P)_kz_was} ]]; then
      \builtin \eval "${(P)_kz_was}"
      \builtin \unset "$_kz_was"
    fi
  done
}

# The same, for those of which something is kept still.
_kz_undo() {
  \builtin \local _kz_one _kz_kept
  for _kz_one; do
    _kz_kept=_kz_was_$_kz_one
    [[ -z ${(P)_kz_kept} ]] || _kz_drop "$_kz_one"
  done
}

# To forget what was kept of them, for they are the user's.
_kz_forget() {
  \builtin \unset "${@/#/_kz_was_}"
}

# Unloads, and takes the hook out of this shell.
_kz_off() {
  \builtin \emulate -L zsh
  _kz_run --off
  precmd_functions=(${precmd_functions:#_kz_hook})
  chpwd_functions=(${chpwd_functions:#_kz_hook})
  \builtin \unset _kz_self _kz_pwd _kz_keeps _kz_up _kz_calms _kz_calmed _kz_loaded _kz_config _kz_names _kz_ttl _kz_now _kz_since _kz_said _kz_tries ${(k)parameters[(I)_kz_was_*]}
  \builtin \unfunction _kz_hook _kz_calm _kz_fresh _kz_same _kz_find _kz_settle _kz_choose _kz_clock _kz_run _kz_gone _kz_take _kz_set _kz_keep _kz_drop _kz_undo _kz_forget _kz_off
}

# A shell that inherited nothing has nothing to ask kz until it meets a
# configuration. First in the lists, so that prompts see what was loaded.
() {
  \builtin \emulate -L zsh
  \builtin \typeset -ga precmd_functions chpwd_functions _kz_up _kz_names
  \builtin \typeset -gi _kz_tries
  \builtin \typeset -g _kz_self=__KZ_SELF__ _kz_pwd= _kz_calms= _kz_calmed= _kz_loaded=: _kz_config= _kz_ttl= _kz_now _kz_since _kz_said
  [[ -n $__KZ_STATE ]] || _kz_choose
  precmd_functions=(_kz_hook ${precmd_functions:#_kz_hook})
  chpwd_functions=(_kz_hook ${chpwd_functions:#_kz_hook})
}
