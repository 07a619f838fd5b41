package config
import ("testing";"fmt";"strings")
func BenchmarkKeys(b *testing.B){ var s strings.Builder; for i:=range 4090 { fmt.Fprintf(&s,"k%d=1\n",i)}
 d:=[]byte(s.String()); for b.Loop() { Parse(File{Path:"/x/.keyzero.toml",Data:d}) } }
func BenchmarkLegit(b *testing.B){ var s strings.Builder; s.WriteString("[secrets]\n");for i:=range 512 { fmt.Fprintf(&s,"k%d={provider=\"env\",ref=\"abcdef\",required=false,description=\"%s\"}\n",i,strings.Repeat("x",40))}
 d:=[]byte(s.String()); b.Log(len(d)); for b.Loop() { _,err:=Parse(File{Path:"/x/.keyzero.toml",Data:d}); if err!=nil {b.Fatal(err)} } }
