# shellcheck shell=bash
# Read the test's text, then set the numbered prompt.

# shellcheck disable=SC1091
. "${BASH_SOURCE[0]%/*}/rc"

# An array, because set -a exports scalars at each assignment.
_shelltest=(0)
# shellcheck disable=SC2016,SC2034
PS1='<kz:$((_shelltest[0]+=1))> '
