package main

import (
	"fmt"
	"slices"
)

// targets compares what was measured with what kz is to reach.
func (r *report) targets(b *bench) {
	r.line("\n## Targets\n")
	r.title("", "target", "measured", "met")
	r.target("", "kz hook-env that enters at most 2.5 times an empty Go program, the processes alone", b.median("", "kz", alone), b.median("", "empty Go", alone), 2.5)
	for _, shell := range shells {
		of := func(tool, event string) float64 { return b.median(shell, tool, event) }
		most, times := 0.15, 20.0
		if shell == "fish" {
			most, times = 1, 3
		}
		for _, event := range []string{promptOutside, promptInside} {
			r.target(shell, fmt.Sprintf("%s at most %.2f ms", event, most), of("kz", event), 1, most)
			if peer := slices.Min([]float64{of("direnv", event), of("mise", event)}); peer > 0 {
				r.target(shell, fmt.Sprintf("%s at most 1/%.0f of the better of direnv and mise", event, times), of("kz", event), peer, 1/times)
			}
		}
		r.target(shell, "enter at most 2.5 times a hook that starts an empty Go program", of("kz", enter), of("empty Go", enter), 2.5)
		r.target(shell, "enter at most 1/5 of direnv", of("kz", enter), of("direnv", enter), 1.0/5)
		r.target(shell, "enter at most 1/2 of mise", of("kz", enter), of("mise", enter), 1.0/2)
		r.target(shell, "leave at most as long as direnv", of("kz", leave), of("direnv", leave), 1)
		r.target(shell, "enter with 20 kept values of a store at most 1.5 times with 20 of [env]", of("kz", enterKept), of("kz", enterPlain), 1.5)
		for sizes := range slices.Chunk(b.sizes, 3) {
			r.target(shell, fmt.Sprintf("%d %s at most 1.5 times the straight line through %d and %d",
				sizes[2].size, sizes[2].what, sizes[0].size, sizes[1].size), b.bend(shell, sizes), 1, 1.5)
		}
	}
}

// target holds kz's figure against most times another one.
func (r *report) target(shell, text string, kz, other, most float64) {
	if kz == 0 || other == 0 {
		r.row(shell, text, "", "not measured")
		return
	}
	r.row(shell, text, fmt.Sprintf("%.3g", kz/other), met(kz/other <= most))
}

// bend returns how many times what it would be if it went on growing as from the
// first to the second the time of the last of three sizes is, at worst.
func (b *bench) bend(shell string, sizes []growth) (worst float64) {
	for _, event := range []string{enter, promptInside, leave} {
		var ms, n [3]float64
		for i, g := range sizes {
			ms[i], n[i] = b.median(shell, "kz", g.event(event)), float64(g.size)
		}
		if slices.Min(ms[:]) == 0 {
			return 0
		}
		line := ms[0] + max(0, ms[1]-ms[0])*(n[2]-n[0])/(n[1]-n[0])
		worst = max(worst, ms[2]/line)
	}
	return worst
}

func met(ok bool) string {
	if ok {
		return "yes"
	}
	return "**no**"
}
