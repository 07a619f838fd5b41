package rest

import (
	"sync"

	"github.com/getkeyzero/kz/resolve"
)

// Groups calls ask for each group of numbers of results, at most eight at the same
// time, and ask fills in these results. A crash costs the group's results and no others,
// as in [resolve.Each]; its text may hold a value and is not passed on.
func Groups[K comparable](results []resolve.Result, groups map[K][]int, ask func(key K, of []int)) {
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for key, of := range groups {
		slots <- struct{}{} // soon free, for ask returns soon after its ctx is done
		wg.Go(func() {
			defer func() {
				if recover() != nil {
					for _, i := range of {
						results[i] = resolve.Result{Err: resolve.ErrCrashed}
					}
				}
				<-slots
			}()
			ask(key, of)
		})
	}
	wg.Wait()
}
