#!/usr/bin/env bash
# usage: driver.bash INIT
#
# A shell that evaluates INIT, which sets up a hook, and then does what it is
# told on stdin, as at a terminal: "prompt 1 1 1" stands for three prompts, "cd
# DIR" for that command and the prompt after it. It answers each with the value
# that is loaded and the microseconds that each took.

# A hook that starts the program $1.
starts() {
  bench_program=$1
  PROMPT_COMMAND=(bench_start)
}

bench_start() { eval "$("$bench_program")"; }

bench_prompt() {
  local bench_command
  for bench_command in "${PROMPT_COMMAND[@]}"; do eval "$bench_command"; done
}

eval "$1"
while read -r bench_verb bench_rest; do
  bench_times=
  case $bench_verb in
    prompt)
      for _ in $bench_rest; do
        bench_from=${EPOCHREALTIME/./}
        bench_prompt
        bench_times+=" $((${EPOCHREALTIME/./} - bench_from))"
      done
      ;;
    cd)
      bench_from=${EPOCHREALTIME/./}
      cd "$bench_rest" || exit
      bench_prompt
      bench_times=" $((${EPOCHREALTIME/./} - bench_from))"
      ;;
  esac
  echo "${BENCH_01:--}$bench_times"
done
