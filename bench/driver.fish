# usage: driver.fish INIT
#
# What driver.bash does, in fish. No builtin of fish tells the time more finely
# than seconds, so it answers with the value alone, and who asked takes the time.

function starts -a program
    set -g bench_program $program
    function bench_start --on-event fish_prompt
        $bench_program | source
    end
end

eval $argv[1]
while read -la bench_words
    switch $bench_words[1]
        case prompt
            for bench_word in $bench_words[2..]
                emit fish_prompt
            end
        case cd
            emit fish_preexec "$bench_words"
            cd $bench_words[2]
            emit fish_prompt
    end
    if set -q BENCH_01
        echo $BENCH_01
    else
        echo -
    end
end
