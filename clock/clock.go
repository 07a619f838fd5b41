// Package clock tells how old something is, by a clock that counts the time in
// which the machine sleeps and that nobody can set back.
package clock

import "time"

// A Stamp is a moment of one boot of one machine.
type Stamp struct {
	Boot  string        `json:"b"` // names the boot; "" where the system has no name for it
	Since time.Duration `json:"s"` // since that boot, sleep included
	Wall  int64         `json:"w"` // what the wall clock said, in nanoseconds since 1970
}

// Now returns the present moment.
func Now() Stamp {
	return Stamp{Boot: bootID(), Since: sinceBoot(), Wall: time.Now().UnixNano()}
}

// After reports whether s was later than other, of the same boot.
func (s Stamp) After(other Stamp) bool { return s.Boot == other.Boot && s.Since > other.Since }

// Age returns how long before now s was, or false if that cannot be told: after
// a reboot. Of the two clocks it is the one that says more, so that setting the
// wall clock back makes nothing younger.
func (s Stamp) Age(now Stamp) (time.Duration, bool) {
	if s.Boot != now.Boot || now.Since < s.Since {
		return 0, false
	}
	return max(now.Since-s.Since, time.Duration(now.Wall-s.Wall)), true
}
