// Kz-fetch asks the stores that need a network or heavy cryptography. It is run by
// kz, and nothing of it is linked into kz, which runs at prompts.
package main

import (
	"os"

	"github.com/getkeyzero/kz/fetch"
	"github.com/getkeyzero/kz/resolve"
)

func main() { os.Exit(fetch.Main(makers)) }

// makers has the stores that kz-fetch asks, by the types that config knows.
var makers = fetch.Makers{}

// of makes a maker of the New of a store's package.
func of[P resolve.Provider](make func(resolve.Setup) (P, error)) func(resolve.Setup) (resolve.Provider, error) {
	return func(s resolve.Setup) (resolve.Provider, error) { return make(s) }
}
