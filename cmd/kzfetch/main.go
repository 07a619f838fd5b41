// Kz-fetch asks the stores that need a network or heavy cryptography. It is run by
// kz, and nothing of it is linked into kz, which runs at prompts.
package main

import (
	"os"

	"github.com/getkeyzero/kz/fetch"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/age"
	"github.com/getkeyzero/kz/resolve/aws"
	"github.com/getkeyzero/kz/resolve/azure"
	"github.com/getkeyzero/kz/resolve/bitwarden"
	"github.com/getkeyzero/kz/resolve/doppler"
	"github.com/getkeyzero/kz/resolve/gcp"
	"github.com/getkeyzero/kz/resolve/hashicorp"
	"github.com/getkeyzero/kz/resolve/infisical"
	"github.com/getkeyzero/kz/resolve/onepassword"
)

func main() { os.Exit(fetch.Main(kinds)) }

// kinds has the stores that kz-fetch asks, by the types that config knows.
var kinds = fetch.Kinds{
	"1password": kind(onepassword.New, onepassword.Present),
	"age":       kind(age.New, age.Present),
	"aws":       kind(aws.New, aws.Present),
	"azure":     kind(azure.New, azure.Present),
	"bitwarden": kind(bitwarden.New, bitwarden.Present),
	"doppler":   kind(doppler.New, doppler.Present),
	"gcp":       kind(gcp.New, gcp.Present),
	"hashicorp": kind(hashicorp.New, hashicorp.Present),
	"infisical": kind(infisical.New, infisical.Present),
}

// kind is what a store's package has.
func kind[P resolve.Provider](make func(resolve.Setup) (P, error), present func(resolve.Setup) string) fetch.Kind {
	return fetch.Kind{New: func(s resolve.Setup) (resolve.Provider, error) { return make(s) }, Present: present}
}
