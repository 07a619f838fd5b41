#!/bin/sh
# Installs kz into ~/.local/bin: see usage below.
#
# All of it is in functions and the last line calls the first, so that a copy
# which lost its end does nothing. It runs in dash, bash, busybox ash, and zsh
# as sh.

usage() {
  cat <<'END'
usage: install.sh [--dir DIR] [--sops]

Installs kz with its helper kz-fetch, without sudo, and prints the line for your shell's startup file.
It edits no startup file itself. kz comes from the checkout that this script
lies in, which takes Go; or else from a release archive beside this script,
kz_VERSION_OS_ARCH.tar.gz, with SHA256SUMS or kz_VERSION_OS_ARCH.tar.gz.sha256.

  --dir DIR   install into DIR, not into $KZ_INSTALL_DIR or ~/.local/bin
  --sops      build the helper that reads SOPS files too, which takes longer
  --help      show this

To remove kz, take the line out of the startup file and delete kz, kz-fetch
and kz-fetch-sops from that directory.
END
}

main() {
  set -eu
  unset CDPATH
  work=
  trap clean EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM

  arguments "$@"
  find_source
  open_dir
  if [ -n "$archive" ]; then unpack; else build; fi
  version=$("$work/kz" --version 2>/dev/null) || die 1 'the new kz does not run on this machine: nothing is changed'
  place kz-fetch-sops
  place kz-fetch
  place kz
  printf 'installed %s into %s\n' "$version" "$dir"
  advise
}

# die ends the script. The statuses are those of kz itself: 2 for usage, 10 for
# bytes that are not what they should be, 1 for the rest.
die() { # die STATUS MESSAGE
  printf 'kz: install: %s\n' "$2" >&2
  exit "$1"
}

clean() {
  [ -z "$work" ] || rm -rf "$work"
}

have() {
  command -v "$1" >/dev/null 2>&1
}

arguments() {
  dir=${KZ_INSTALL_DIR-}
  sops=no
  while [ $# -gt 0 ]; do
    case $1 in
      --dir)
        [ $# -ge 2 ] || die 2 '--dir: it takes a directory'
        dir=$2
        shift
        ;;
      --dir=*) dir=${1#--dir=} ;;
      --sops) sops=yes ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) die 2 "unknown argument \"$1\": see install.sh --help" ;;
    esac
    shift
  done
  [ -n "$dir" ] || dir=\~/.local/bin
  case $dir in
    /*) ;;
    \~/*) # --dir= and make leave a tilde as it is
      [ -n "${HOME-}" ] || die 1 'HOME is not set: use --dir'
      dir=$HOME/${dir#\~/}
      ;;
    *) dir=$PWD/$dir ;;
  esac
}

# find_source sets here, and archive if that is where kz comes from.
find_source() {
  [ -f "$0" ] || die 1 'run it as a file, for what it installs lies beside it'
  case $0 in
    */*) here=${0%/*}/ ;;
    *) here=. ;;
  esac
  here=$(cd "$here" && pwd -P)

  archive=
  if [ -f "$here/go.mod" ] && [ -d "$here/cmd/kzhook" ]; then return; fi
  platform
  set -- "$here"/kz_*_"$os"_"$arch".tar.gz
  [ -f "$1" ] || die 1 "$here: neither a checkout of kz nor an archive for $os/$arch"
  [ $# -eq 1 ] || die 1 "$here: more than one archive for $os/$arch"
  archive=$1
  name=${archive##*/}
}

platform() {
  os=$(uname -s | tr '[:upper:]' '[:lower:]')
  arch=$(uname -m)
  case $arch in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
  esac
}

# open_dir makes a private directory inside the target: on the same file
# system, a rename puts a program into place at once.
open_dir() {
  why=$(mkdir -p "$dir" 2>&1) || die 1 "$why"
  dir=$(cd "$dir" && pwd)
  for program in kz kz-fetch kz-fetch-sops; do
    [ ! -d "$dir/$program" ] || die 1 "$dir/$program: is a directory"
  done
  work=$(mktemp -d "$dir/.kz-install.XXXXXX" 2>/dev/null) || die 1 "$dir: cannot be written to"
}

build() {
  have go || die 1 "go: not found: building $here takes Go"
  version=devel
  if [ -e "$here/.git" ] && have git; then
    version=$(git -C "$here" describe --tags --always --dirty 2>/dev/null) || version=devel
  fi
  build_one kz kzhook
  [ ! -d "$here/cmd/kzfetch" ] || build_one kz-fetch kzfetch
  [ "$sops" = no ] || build_one kz-fetch-sops kzsops
}

build_one() { # build_one PROGRAM FOLDER
  (
    cd "$here/cmd/$2"
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$work/$1" .
  ) || die 1 "$here/cmd/$2: does not build"
}

# unpack checks and opens one and the same copy of the archive.
unpack() {
  have tar || die 1 'tar: not found'
  want_digest
  why=$(cp "$archive" "$work/archive" 2>&1) || die 1 "$why"
  digest=$(sha256 <"$work/archive")
  digest=${digest%% *}
  [ "$digest" = "$want" ] || die 10 "$name: its SHA-256 is $digest, and ${sums##*/} says $want"

  names=$(tar -tzf "$work/archive" 2>/dev/null) || die 10 "$name: not a .tar.gz"
  ! printf '%s\n' "$names" | grep -Eq '^/|(^|/)\.\.(/|$)' ||
    die 10 "$name: holds a path that leads out of it"
  take kz || die 10 "$name: holds no program kz"
  take kz-fetch || rm -f "$work/kz-fetch"
  take kz-fetch-sops || rm -f "$work/kz-fetch-sops"
}

sha256() {
  if have sha256sum; then sha256sum; else shasum -a 256; fi
}

# want_digest sets want to what the archive's SHA-256 should be, and sums to the
# file that says so.
want_digest() {
  have sha256sum || have shasum ||
    die 10 "$name: cannot be checked: neither sha256sum nor shasum is here"
  sums=$here/SHA256SUMS
  nameless=no # in its own file, a digest needs no name
  if ! [ -f "$sums" ]; then
    sums=$archive.sha256
    nameless=yes
  fi
  [ -f "$sums" ] || die 10 "$name: cannot be checked: no SHA256SUMS beside it"

  want=
  while read -r digest file || [ -n "$digest" ]; do
    case $nameless,${file#\*} in # an asterisk before a name says "binary"
      *,"$name" | yes,) ;;
      *) continue ;;
    esac
    [ -z "$want" ] || die 10 "${sums##*/}: has $name twice"
    want=$digest
  done <"$sums"
  [ -n "$want" ] || die 10 "$name: cannot be checked: ${sums##*/} does not name it"
  case $want in
    *[!0-9a-f]*) want= ;;
  esac
  [ ${#want} -eq 64 ] || die 10 "${sums##*/}: what it has for $name is no SHA-256"
}

# take reads one file of the archive as a stream: whatever else is in there, and
# whatever it links to, no path of its choosing is written.
take() { # take PROGRAM
  member=$(printf '%s\n' "$names" | grep -xE "(\./)?$1") || return 1
  tar -xzOf "$work/archive" "$member" >"$work/$1" 2>/dev/null || return 1
  [ -s "$work/$1" ] || return 1
  chmod 755 "$work/$1"
}

place() { # place PROGRAM
  [ -f "$work/$1" ] || return 0
  chmod 755 "$work/$1"
  why=$(mv -f "$work/$1" "$dir/$1" 2>&1) || die 1 "$why"
}

# advise prints what the user has left to do.
advise() {
  kz=kz
  on_path || kz=$dir/kz
  case ${SHELL-} in
    */zsh) advise_shell zsh ;;
    */bash) advise_shell bash ;;
    */fish) advise_shell fish ;;
    *)
      for shell in bash zsh fish; do
        advise_shell "$shell"
      done
      ;;
  esac
}

# on_path tells whether the word kz starts the kz that was installed.
on_path() {
  found=$(command -v kz 2>/dev/null) || return 1
  case $found in
    /*) ;;
    *) return 1 ;;
  esac
  [ "$(cd "${found%/*}/" && pwd -P)" = "$(cd "$dir" && pwd -P)" ]
}

advise_shell() { # advise_shell SHELL
  case $1 in
    zsh) file=${ZDOTDIR:-\~}/.zshrc ;;
    bash) file=\~/.bashrc ;;
    fish) file=${XDG_CONFIG_HOME:-\~/.config}/fish/config.fish ;;
  esac
  case $1 in
    fish)
      start="$(fish_word "$kz") hook --shell fish | source"
      path="set -gx PATH $(fish_word "$dir") \$PATH"
      ;;
    *)
      start="eval \"\$($(sh_word "$kz") hook --shell $1)\""
      path="export PATH=$(sh_word "$dir"):\"\$PATH\""
      ;;
  esac
  printf '\nadd to the end of %s:\n\n    %s\n' "$file" "$start"
  [ "$kz" = kz ] || printf '\nand before it, so that the word kz starts this kz:\n\n    %s\n' "$path"
}

# plain tells whether a word needs no quotes in any shell.
plain() {
  case $1 in
    *[!A-Za-z0-9/._+,@%-]*) return 1 ;;
  esac
}

sh_word() {
  if plain "$1"; then printf '%s' "$1"; else printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")"; fi
}

fish_word() {
  if plain "$1"; then printf '%s' "$1"; else printf "'%s'" "$(printf '%s\n' "$1" | sed "s/[\\\\']/\\\\&/g")"; fi
}

main "$@"
