# Read the test's text, then set the numbered prompt.

source "$ZDOTDIR/rc"

# Backslashes, because the test may have aliases of these names. An associative
# array, because all_export exports scalars at each assignment, and ksh_arrays
# would renumber a plain one.
\builtin \setopt prompt_subst
\builtin \unsetopt prompt_sp prompt_cr
\builtin \typeset -gA _shelltest
_shelltest[n]=0
_shelltest[new]=1
PROMPT='<kz:$((_shelltest[n] += _shelltest[new], _shelltest[new] = 0, _shelltest[n]))> '
RPROMPT=

# zsh expands the prompt anew when the window changes and when the screen is
# cleared, too: only what comes after a line or a Control-C is a new one. Both
# functions are needed, for a Control-C in an earlier precmd function skips this one.
_shelltest_new() {
  _shelltest[new]=1
}
\builtin \zle -N zle-line-finish _shelltest_new
precmd_functions+=(_shelltest_new)
