package clock

import (
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	at := func(boot string, since, wall time.Duration) Stamp { return Stamp{boot, since, int64(wall)} }
	start := at("a", time.Hour, 100*time.Hour)
	for what, test := range map[string]struct {
		now  Stamp
		want time.Duration
		ok   bool
	}{
		"at once":                {start, 0, true},
		"a minute":               {at("a", 61*time.Minute, 100*time.Hour+time.Minute), time.Minute, true},
		"the clock set back":     {at("a", 61*time.Minute, 10*time.Hour), time.Minute, true},
		"the clock set forward":  {at("a", 61*time.Minute, 105*time.Hour), 5 * time.Hour, true},
		"another boot":           {at("b", 61*time.Minute, 100*time.Hour+time.Minute), 0, false},
		"an unnamed second boot": {at("a", time.Minute, 100*time.Hour+time.Minute), 0, false},
	} {
		if got, ok := start.Age(test.now); got != test.want || ok != test.ok {
			t.Errorf("%s: %v, %v; want %v, %v", what, got, ok, test.want, test.ok)
		}
	}
}

func TestNow(t *testing.T) {
	a := Now()
	time.Sleep(20 * time.Millisecond)
	if age, ok := a.Age(Now()); !ok || age < 20*time.Millisecond || age > time.Minute {
		t.Errorf("after 20ms: %v, %v", age, ok)
	}
	if a.Boot == "" || a.Since <= 0 {
		t.Errorf("Now = %+v", a)
	}
}
