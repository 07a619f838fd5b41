package main

import (
	"fmt"
	"strings"
	"testing"
)

// A value of 64 KiB arrives; one that is larger is refused in a line, and
// nothing else of its project is loaded.
func TestTerminalLargeValues(t *testing.T) {
	sizes := map[int]string{
		64 << 10:   "",
		64<<10 + 1: "the value has 65537 bytes, more than 65536",
		128 << 10:  "the value has 131072 bytes, more than 65536",
		1 << 20:    "the value has 1048576 bytes, more than 65536",
		1<<20 + 1:  "the program printed more than 1048576 bytes",
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		var files strings.Builder
		for size := range sizes {
			fmt.Fprintf(&files, "-- app%d/ --\n[secrets]\nLARGE = \"store://%d\"\n[env]\nTOKEN = \"kz\"\n", size, size)
		}
		d := sit(t, shell, seat{files: files.String()})
		d.store(`head -c "$1" /dev/zero | tr '\0' "'"`)
		for size, refused := range sizes {
			want := "kz: LARGE: store: " + refused + "; nothing is loaded"
			if refused == "" {
				want = fmt.Sprintf("kz: +LARGE +TOKEN (app%d)", size)
			}
			d.expect(fmt.Sprintf("cd ~/app%d", size), want)
			d.expect("", "")
			if refused == "" {
				d.has("TOKEN=kz", "LARGE="+strings.Repeat("'", size))
			} else {
				d.has("TOKEN", "LARGE", "__KZ_STATE")
			}
			d.alive()
			d.Run("cd ~")
			d.has("TOKEN", "LARGE", "__KZ_STATE")
		}
	})
}

// What the user had is put back, if it is not too large to remember; if it is,
// nothing is loaded, for a state that large would keep every program from starting.
func TestTerminalLargeValuesBefore(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		for sizes, remembered := range map[[2]int]bool{{60 << 10, 10}: true, {60 << 10, 60 << 10}: false, {110 << 10, 10}: false} {
			a, b := strings.Repeat("a", sizes[0]), strings.Repeat("b", sizes[1])
			d := sit(t, shell, seat{files: "-- app/ --\n[env]\nA = \"kz\"\nB = \"kz\"\n", env: []string{"A=" + a, "B=" + b}})
			if remembered {
				d.expect("cd app", "kz: ~A ~B (app)")
				d.has("A=kz", "B=kz")
			} else {
				d.expect("cd app", "kz: the values to put back later are too large to keep")
				d.has("A="+a, "B="+b, "__KZ_STATE")
			}
			d.expect("", "")
			d.Run("cd ~")
			d.has("A="+a, "B="+b, "__KZ_STATE")
		}
	})
}

// 512 variables load, and 600 are refused.
func TestTerminalManyVariables(t *testing.T) {
	entries := func(n int) string {
		var config strings.Builder
		config.WriteString("[env]\n")
		for i := range n {
			fmt.Fprintf(&config, "V%d = \"value %d\"\n", i, i)
		}
		return config.String()
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n" + entries(512) + "-- many/.keyzero.toml --\n" + entries(600), settings: "[trust]\nprefixes = [\"~\"]"})
		for range 2 {
			d.Run("cd ~/app")
			env := d.Env()
			for i := range 512 {
				if name := fmt.Sprintf("V%d", i); env[name] != fmt.Sprintf("value %d", i) {
					t.Fatalf("%s is %q", name, env[name])
				}
			}
			d.expect("", "")
			d.Run("cd ~")
			for name := range d.Env() {
				if strings.HasPrefix(name, "V") || strings.HasPrefix(name, "__KZ") {
					t.Fatalf("%s is left", name)
				}
			}
		}
		got := d.says("cd many")
		if !strings.Contains(got, "more than 512") || strings.Count(got, "\n") > 1 {
			t.Errorf("of 600 variables kz says %q", got)
		}
		d.expect("", "")
		d.has("V0", "V599", "__KZ_STATE")
		d.alive()
	})
}
