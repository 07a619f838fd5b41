# Read the test's text, then set the numbered prompt.

# The event comes once a prompt, while fish_prompt also runs at each repaint.
# It is registered first, lest a Control-C in the test's own handler skip it.
function _shelltest_count --on-event fish_prompt
    builtin set -ga _shelltest x
end

source (status dirname)/rc

set -g fish_greeting

function fish_title
end

function fish_prompt
    builtin echo -n "<kz:"(builtin count $_shelltest)"> "
end
