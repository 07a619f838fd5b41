package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"runtime"
)

func TestZZ(t *testing.T) {
	rep := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i))
		}
		return b.String()
	}
	for name, s := range map[string]string{
		"4096 keys": rep(4095, func(i int) string { return fmt.Sprintf("k%d=1\n", i) }),
		"4096 keys in one table": "[secrets]\n"+rep(4090, func(i int) string { return fmt.Sprintf("k%d=1\n", i) }),
		"2000 tables": rep(2047, func(i int) string { return fmt.Sprintf("[k%d]\n", i) })+"a=1",
		"dotted": rep(4000, func(i int) string { return "abcdefghijklmno." })+"a=1",
		"dotted header": "["+rep(4000, func(i int) string { return "abcdefghijklmno." })+"a]",
		"hidden inline": `x = ["""a"""", {` + rep(9000, func(i int) string { return fmt.Sprintf("k%d=1,", i) }) + "}]\n",
		"hidden inline2": `x = ['''a'''', {` + rep(9000, func(i int) string { return fmt.Sprintf("k%d=1,", i) }) + "}]\n",
		"hidden depth": `x = ["""a"""", ` + strings.Repeat("[", 30000)+strings.Repeat("]", 30000) + "]\n",
		"hidden dotted": `x = ["""a"""", {` + strings.Repeat("a.", 30000)+"a=1}" + "]\n",
		"array": "x=[" + strings.Repeat("1,",32000)+"]",
		"inline entries": "secrets={"+rep(511, func(i int) string { return fmt.Sprintf(`k%d={provider="env",ref="a",required=false,description="%s"},`, i, strings.Repeat("x", 50)) })+"}",
		"aot": rep(2047, func(i int) string { return "[[a]]\n" }),
		"64K [": strings.Repeat("[", 65536),
		"6M [": strings.Repeat("[", 6<<20),
		"expansions": "[env]\nA=\"" + strings.Repeat("${B}", 16000)+"\"",
	} {
		if len(s) > MaxFile && name != "6M [" { t.Log(name, "too big", len(s)) }
		var m1, m2 runtime.MemStats
		runtime.ReadMemStats(&m1)
		start := time.Now()
		l, err := Parse(File{Path: "/x/.keyzero.toml", Data: []byte(s)})
		d := time.Since(start)
		runtime.ReadMemStats(&m2)
		e := fmt.Sprint(err)
		if len(e) > 150 { e = e[:150] }
		t.Log(name, d, (m2.TotalAlloc-m1.TotalAlloc)>>20, "MiB", e)
		if l != nil {
			start = time.Now()
			_, err = Merge(User{}, []*Layer{l}, "")
			e := fmt.Sprint(err)
			if len(e) > 150 { e = e[:150] }
			t.Log("   merge", time.Since(start), e)
		}
	}
}
