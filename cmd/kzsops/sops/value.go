//go:build unix

package sops

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/getsops/sops/v3"
)

// value returns a value of SOPS as package tree wants it, without comments.
func value(v any) any {
	switch v := v.(type) {
	case sops.TreeBranch:
		m := map[string]any{}
		for _, item := range v {
			if _, ok := item.Key.(sops.Comment); !ok {
				m[fmt.Sprint(item.Key)] = value(item.Value)
			}
		}
		return m
	case []any:
		list := []any{}
		for _, item := range v {
			if _, ok := item.(sops.Comment); !ok {
				list = append(list, value(item))
			}
		}
		return list
	case float64: // which JSON would write with an exponent
		return json.Number(strconv.FormatFloat(v, 'f', -1, 64))
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return v
}
