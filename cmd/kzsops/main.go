// Kz-fetch-sops decrypts files of SOPS for kz. It is a program of its own, as is its module:
// the library links every cloud's SDK, and takes 18 ms to start.
package main

import (
	"os"

	"github.com/getkeyzero/kz/cmd/kzsops/sops"
	"github.com/getkeyzero/kz/fetch"
	"github.com/getkeyzero/kz/resolve"
	light "github.com/getkeyzero/kz/resolve/sops"
)

func main() {
	os.Exit(fetch.Main(fetch.Kinds{"sops": {
		New:     func(s resolve.Setup) (resolve.Provider, error) { return sops.New(s) },
		Present: light.Present,
	}}))
}
