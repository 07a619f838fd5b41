// Kz-fetch asks the stores that need a network or heavy cryptography. It is run by
// kz, and nothing of it is linked into kz, which runs at prompts.
package main

import (
	"os"

	"github.com/getkeyzero/kz/fetch"
	"github.com/getkeyzero/kz/resolve"
)

func main() { os.Exit(fetch.Main(kinds)) }

// kinds has the stores that kz-fetch asks, by the types that config knows.
var kinds = fetch.Kinds{}

// kind is what a store's package has.
func kind[P resolve.Provider](make func(resolve.Setup) (P, error), present func(resolve.Setup) string) fetch.Kind {
	return fetch.Kind{New: func(s resolve.Setup) (resolve.Provider, error) { return make(s) }, Present: present}
}
