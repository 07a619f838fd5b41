# kz: load and unload the variables of the nearest .keyzero.toml.
#
# Names of ours begin with _kz, for the text sourced below assigns names that we
# cannot foresee; builtin keeps functions of the user's away.

set -g _kz_self __KZ_SELF__

# At every prompt and change of directory. As long as nothing changed it starts
# no process.
function _kz_hook --on-event fish_prompt --on-variable PWD
    _kz_same; or set -q _kz_tries[3]; or _kz_run
end

# True if all is as kz last found it.
function _kz_same
    set -l _kz_found ''
    test "$PWD" = "$_kz_pwd"; or _kz_walk
    for _kz_path in $_kz_up
        if test -e $_kz_path -o -L $_kz_path
            set _kz_found $_kz_path
            break
        end
    end
    test "$_kz_found:$KEYZERO_ENV:$NODE_ENV:$RAILS_ENV:$APP_ENV:$KZ_LOG" = "$_kz_config:$_kz_loaded"; or return 1
    # A clock that was set back shows too.
    if test -n "$_kz_ttl"
        set -l _kz_age (_kz_clock); or return 1
        test "$_kz_age" -ge "$_kz_since" -a (builtin math "$_kz_age - $_kz_since") -lt "$_kz_ttl"; or return 1
    end
    _kz_fresh
end

# kz defines this anew, with tests of the files that it depends on.
function _kz_fresh
    builtin true
end

# Lists the places that could hold the nearest configuration: none of them is
# above HOME, whose place among them is counted once. Whatever is in the names,
# split keeps them apart.
function _kz_walk
    set -g _kz_tries 0
    test "$HOME:" = "$_kz_home[1]"; or set -g _kz_home "$HOME:" (count (string split / -- "$HOME/"))
    set -l _kz_dirs ''
    for _kz_name in (string split / -- $PWD)
        set -a _kz_dirs $_kz_dirs[-1]$_kz_name/
    end
    set -l _kz_end 2
    test "$_kz_dirs[$_kz_home[2]]" = "$HOME/"; and set _kz_end $_kz_home[2]
    test "$PWD" = /; and set _kz_dirs '' /
    set -g _kz_up $_kz_dirs[-1..$_kz_end].keyzero.toml
    set -g _kz_pwd $PWD # last: without it the list is made anew
end

# Notes what decides, besides files, about what is loaded.
function _kz_choose
    set -g _kz_loaded "$KEYZERO_ENV:$NODE_ENV:$RAILS_ENV:$APP_ENV:$KZ_LOG"
end

# What fish can tell of the time by itself is the age of a file.
function _kz_clock
    builtin path mtime -R -- $_kz_self
end

# A local fish_trace, empty, so that nothing shows a value meanwhile. kz sets
# _kz_tries to one 0 with the last line of its text; without that it was interrupted.
function _kz_run
    set -l fish_trace
    set -a _kz_tries 1
    if not test -x $_kz_self
        _kz_gone
        return
    end
    $_kz_self hook-env --shell fish --pid $fish_pid --said "$_kz_said" $argv | builtin source
    set -q _kz_tries[2]; and return
    _kz_choose
    test -n "$_kz_ttl"; or return
    contains path (builtin -n); or set -g _kz_ttl # before fish 3.5
    test -n "$_kz_ttl"; and set -g _kz_since (_kz_clock)
end

# Without kz, what it loaded goes all the same, until kz is back.
function _kz_gone
    if test "$_kz_said" != gone
        set -l _kz_rest
        set -q _kz_names[1]; and set _kz_rest '; what it had loaded is unset'
        builtin echo "kz: "(string escape -- $_kz_self)": not found$_kz_rest" >&2
    end
    if set -q _kz_names[1]
        _kz_drop $_kz_names
        set -e -g __KZ_STATE
    end
    set -g _kz_said gone
    set -g _kz_loaded
    set -g _kz_tries 0
    set -g _kz_ttl
    set -g _kz_names
end

# kz has these called with names of variables. To keep what only this shell can tell
# of those that are not loaded yet: scope, elements, and whether they are a path.
# What was kept before an interrupt stays.
function _kz_keep
    for _kz_name in $argv
        set -q $_kz_name; or continue
        set -g _kz_keeps
        set -l _kz_was _kz_was_$_kz_name
        if set -qg $_kz_name
            set -l _kz_path --unpath
            set -qg --path $_kz_name; and set _kz_path --path
            set -g $_kz_was $_kz_path $$_kz_name
        else if set -qU $_kz_name
            set -g $_kz_was universal
        end
    end
end

# To say that one could not be set.
function _kz_stuck
    builtin echo "kz: $argv[1] is readonly in this shell and stays as it is" >&2
end

# To unset them, and put back what was kept.
function _kz_drop
    set -e -g $argv
    set -q _kz_keeps; and _kz_undo $argv # nearly always there is nothing
end

# To put back what is kept still of some that may be unset already.
function _kz_undo
    for _kz_name in $argv
        set -qg _kz_was_$_kz_name; and _kz_put -gu $_kz_name
    end
end

# To forget what was kept of them, for they are the user's.
function _kz_forget
    set -e -g _kz_was_$argv
end

# True if kz is to set the earlier value, because this shell kept none.
function _kz_back
    not _kz_put -gx $argv[1]
end

# Puts back what was kept, if anything. A universal variable shows again by itself.
function _kz_put
    set -l _kz_was _kz_was_$argv[2]
    set -qg $_kz_was; or return 1
    set -l _kz_kept $$_kz_was
    if test $_kz_kept[1] = universal
        set -e -g $argv[2]
    else
        set $argv[1] $_kz_kept[1] $argv[2] $_kz_kept[2..]
    end
    set -e -g $_kz_was
    return 0
end

# Unloads, and takes the hook out of this shell.
function _kz_off
    _kz_run --off
    for _kz_name in (set -ng | string match -r '^_kz_(?:self|pwd|home|up|keeps|loaded|config|names|ttl|since|said|tries|was_.*)$')
        set -e -g $_kz_name
    end
    builtin functions -e _kz_hook _kz_same _kz_fresh _kz_walk _kz_choose _kz_clock _kz_run _kz_gone _kz_keep _kz_stuck _kz_drop _kz_undo _kz_forget _kz_back _kz_put _kz_off
end

# A shell that inherited nothing has nothing to ask kz until it meets a
# configuration.
set -g _kz_pwd
set -g _kz_config
set -g _kz_ttl
set -g _kz_tries 0
if set -q __KZ_STATE
    set -g _kz_loaded :
else
    _kz_choose
end
