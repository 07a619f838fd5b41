# usage: driver.zsh INIT
#
# What driver.bash does, in zsh, which calls chpwd_functions by itself.

zmodload zsh/datetime

starts() {
  bench_program=$1
  precmd_functions=(bench_start)
}

bench_start() { eval "$("$bench_program")"; }

bench_prompt() {
  local bench_function
  for bench_function in precmd $precmd_functions; do
    if (( $+functions[$bench_function] )); then $bench_function; fi
  done
}

bench_took() {
  local bench_text
  printf -v bench_text ' %.0f' $(( (EPOCHREALTIME - $1) * 1e6 ))
  bench_times+=$bench_text
}

eval "$1"
while read -r bench_verb bench_rest; do
  bench_times=
  case $bench_verb in
    prompt)
      for _ in ${=bench_rest}; do
        bench_from=$EPOCHREALTIME
        bench_prompt
        bench_took $bench_from
      done
      ;;
    cd)
      bench_from=$EPOCHREALTIME
      cd $bench_rest || exit
      bench_prompt
      bench_took $bench_from
      ;;
  esac
  echo "${BENCH_01:--}$bench_times"
done
