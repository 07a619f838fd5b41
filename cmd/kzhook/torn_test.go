package main

import (
	"os/exec"
	"strings"
	"testing"
)

// A shell may be interrupted between any two statements of what kz tells it, and
// within one that makes a variable ready and then sets it. Wherever that is, the
// next prompt brings what the directory asks for, and leaving takes all back: what
// the shell had, exported or not, list or number, is as it was.
func TestTornAnywhere(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, "bash", seat{noHook: true, files: "-- app/ --\n[env]\n" + tornNames + "-- other/ --\n[env]\nA = \"x\"\nC = \"y\"\nD = \"z\"\nG = \"g\"\n"})
		d.age("app", "other", ".local")
		d.program("bin/cutkz", cutKZ)
		script := tornPosix
		if shell == "fish" {
			script = tornFish
		}
		d.file("torn", strings.ReplaceAll(script, "OWN", ownDeclarations[shell]))
		args := map[string][]string{"bash": {"--norc", "--noprofile"}, "zsh": {"-f"}, "fish": {"--no-config"}}[shell]
		cmd := exec.Command(shell, append(args, d.path("torn"))...)
		cmd.Dir = d.home
		cmd.Env = []string{
			"HOME=" + d.home, "XDG_RUNTIME_DIR=" + d.path("run"), "PATH=" + d.path("bin") + ":/usr/bin:/bin", "LANG=C.UTF-8",
			"KZ_LOG=none", "B=outer b", "F=", "SHELL_NAME=" + shell,
		}
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "wrong") || !strings.Contains(string(out), "cuts: 2") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

const tornNames = "A = \"kz a\"\nB = \"kz b\"\nC = \"kz c\"\nD = \"kz d\"\nE = \"kz e\"\nF = \"kz f\"\n"

// ownDeclarations make variables that no child sees: a text, a list, a number.
var ownDeclarations = map[string]string{
	"bash": "C='plain c'; D=(d1 'd 2'); declare -i E=7",
	"zsh":  "C='plain c'; D=(d1 'd 2'); typeset -i E=7",
	"fish": "set -g C 'plain c'; set -g D d1 'd 2'; set -g --path E /e1 /e2",
}

// cutKZ is kz, of whose statements those after the number in ~/cut are missing.
// With a second word there the last one only makes its variable ready, or sets the
// first half of many and makes the next one ready, or does not put anything back.
const cutKZ = `#!/bin/bash
read -r n half <~/cut
if [[ $1 != hook-env || -z $n ]]; then exec kz "$@"; fi
: >~/cut
text=$(kz "$@")
wc -l <<<"$text" >~/lines
text=$(head -n "$n" <<<"$text")
if [[ -n $half ]]; then
  last=${text##*$'\n'}
  text=${text%"$last"}
  case $last in
    '_kz_set '*)
      eval "words=(${last})"
      k=$((${#words[@]} / 2))
      next=${words[k + 1]}
      last=$(printf '%q ' "${words[@]:0:k+1}")$'\n'"_kz_take ${next%%=*}"
      ;;
    '_kz_drop '*)
      if [[ $SHELL_NAME = fish ]]; then last="set -e -g ${last#* }"; else last="unset ${last#* }"; fi
      ;;
    *' && '*) last=${last% && *} ;;
    *) last=true ;;
  esac
  text+=$last
fi
printf '%s\n' "$text"
`

const tornPosix = `
OWN
: >~/cut
text=$(kz hook --shell $SHELL_NAME)
eval "${text/bin\/kz/bin/cutkz}"
own() {
  if [[ $SHELL_NAME = zsh ]]; then typeset -p A B C D E F G; else declare -p A B C D E F G; fi 2>&1 | sed 's/.*not found.*\|.*no such.*/none/'
}
loaded() { printenv A B C D E F | tr '\n' ','; }
go() { cd "$1" && if [[ $SHELL_NAME = bash ]]; then _kz_hook; fi; }
check() { # WHEN HAVE WANT
  if [[ $2 != "$3" ]]; then echo "wrong after $n statements $half, $1: $2"; fi
}
before=$(own)
want='kz a,kz b,kz c,kz d,kz e,kz f,'
for half in '' half; do
  for ((n = 0; ; n++)); do
    echo "$n $half" >~/cut
    go ~/app
    lines=$(<~/lines)
    _kz_hook
    check inside "$(loaded)" "$want"
    go ~
    check 'and outside' "$(own)" "$before"

    echo "$n $half" >~/cut
    go ~/app
    go ~
    check 'outside at once' "$(own)" "$before"

    go ~/app
    echo "$n $half" >~/cut
    go ~
    _kz_hook
    check 'leaving' "$(own)" "$before"

    go ~/app
    echo "$n $half" >~/cut
    go ~/other
    _kz_hook
    check 'elsewhere' "$(printenv A B C D F G | tr '\n' ',')" 'x,outer b,y,z,,g,'
    go ~
    check 'and outside from elsewhere' "$(own)" "$before"
    if ((n > lines + 1)); then break; fi
  done
  cuts=$((cuts + 1))
done
echo "cuts: $cuts, $n statements"
`

const tornFish = `
OWN
true >~/cut
kz hook --shell fish | string replace bin/kz bin/cutkz | source
function own
    for name in A B C D E F G
        set -S $name
    end 2>&1
end
function check
    test "$argv[2]" = "$argv[3]"; or echo "wrong after $n statements $half, $argv[1]: $argv[2]"
end
function loaded
    printenv A B C D E F | tr '\n' ','
end
set -g before (own | string collect)
set -g want 'kz a,kz b,kz c,kz d,kz e,kz f,'
set -g n 0
set -g half
while true
    echo $n $half >~/cut
    cd ~/app
    set -g lines (cat ~/lines)
    _kz_hook
    check inside (loaded) $want
    cd ~
    check 'and outside' (own | string collect) $before

    echo $n $half >~/cut
    cd ~/app
    cd ~
    check 'outside at once' (own | string collect) $before

    cd ~/app
    echo $n $half >~/cut
    cd ~
    _kz_hook
    check leaving (own | string collect) $before

    cd ~/app
    echo $n $half >~/cut
    cd ~/other
    _kz_hook
    check elsewhere (printenv A B C D F G | tr '\n' ',') 'x,outer b,y,z,,g,'
    cd ~
    check 'and outside from elsewhere' (own | string collect) $before
    set n (math $n + 1)
    test $n -gt (math $lines + 1); or continue
    test "$half" = half; and break
    set half half
    set n 0
end
echo "cuts: 2, $n statements"
`
