package aws

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

// A service is one of the two stores.
type service string

const (
	manager    service = "sm"  // Secrets Manager
	parameters service = "ssm" // SSM Parameter Store
)

// An item is what one request can ask for. References that differ in nothing but their
// keys have the same item.
type item struct {
	service service
	region  string // of its ARN, "" for the one that is set
	id      string // a name or an ARN
	stage   string // of Secrets Manager, "" for AWSCURRENT
	version string // of Secrets Manager an id; of SSM a number or a label
}

// arn reports whether the item is named by its ARN, which holds an account too.
func (i item) arn() bool { return strings.HasPrefix(i.id, "arn:") }

// plain reports whether the item is the current version of what has the name.
func (i item) plain() bool { return i.stage == "" && i.version == "" }

// made reports whether a text is of one to most letters, digits and the other characters.
func made(text, others string, most int) bool {
	return text != "" && len(text) <= most && strings.IndexFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(others, r))
	}) < 0
}

// What names may have, by AWS's own rules.
func isSecretName(text string) bool    { return made(text, "/_+=.@-", 512) }
func isParameterName(text string) bool { return made(text, "/_.-", 1011) }
func isStage(text string) bool         { return made(text, "/_+=.@-", 256) }
func isSelector(text string) bool      { return made(text, "_.-", 100) }

// isVersionID leaves to stages whatever is shorter than AWS's ids.
func isVersionID(text string) bool { return len(text) >= 32 && made(text, "-", 64) }

// parse reads a reference: sm://NAME, ssm://NAME, a NAME of Secrets Manager or an
// ARN, and behind it #KEY and ?VERSION in any order. A key that has a # or ? is left
// to the field of the config.
func parse(path string) (of item, key string, err error) {
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return item{}, "", resolve.Errorf(resolve.Malformed, "the reference has control characters or is not UTF-8")
	}
	name, key, query, err := cut(path)
	if err != nil {
		return item{}, "", err
	}
	of, err = named(name)
	if err == nil && query != "" {
		err = of.choose(query)
	}
	return of, key, err
}

// cut splits a reference at its # and its ?.
func cut(path string) (name, key, query string, err error) {
	name, rest := path, ""
	if at := strings.IndexAny(path, "#?"); at >= 0 {
		name, rest = path[:at], path[at:]
	}
	for rest != "" {
		part := &key
		if rest[0] == '?' {
			part = &query
		}
		end := strings.IndexAny(rest[1:], "#?") + 1
		if end == 0 {
			end = len(rest)
		}
		if end == 1 || *part != "" {
			return "", "", "", resolve.Errorf(resolve.Malformed, "want at most one #KEY and one ?VERSION behind the name")
		}
		*part, rest = rest[1:end], rest[end:]
	}
	return name, key, query, nil
}

// named reads what stands before the # and the ?.
func named(text string) (item, error) {
	scheme, name, ok := strings.Cut(text, "://")
	if !ok {
		scheme, name = "", text
	}
	switch {
	case strings.HasPrefix(name, "arn:"):
		return byARN(scheme, name)
	case scheme == "" || scheme == string(manager):
		if isSecretName(name) {
			return item{service: manager, id: name}, nil
		}
		return item{}, resolve.Errorf(resolve.Malformed, "%q is not a name of Secrets Manager", name)
	case scheme == string(parameters):
		return parameter(name)
	}
	return item{}, resolve.Errorf(resolve.Malformed, "want sm://NAME, ssm://NAME or an ARN")
}

// parameter reads NAME or NAME:VERSION. A name that has levels begins with a slash,
// whether it is written or not.
func parameter(text string) (item, error) {
	name, version, chosen := strings.Cut(text, ":")
	if !isParameterName(name) || chosen && !isSelector(version) {
		return item{}, resolve.Errorf(resolve.Malformed, "%q is not a name of a parameter", text)
	}
	if strings.Contains(name, "/") && !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	return item{service: parameters, id: name, version: version}, nil
}

// byARN reads arn:PARTITION:SERVICE:REGION:ACCOUNT:WHAT. Its region becomes a part of
// the name of the host that is asked.
func byARN(scheme, text string) (item, error) {
	parts := strings.SplitN(text, ":", 6)
	if len(parts) < 6 || parts[1] != "aws" && !strings.HasPrefix(parts[1], "aws-") || !made(parts[3], "-", 32) || !made(parts[4], "", 12) {
		return item{}, errARN
	}
	i := item{region: parts[3], id: text}
	secret, isSecret := strings.CutPrefix(parts[5], "secret:")
	name, isParameter := strings.CutPrefix(parts[5], "parameter/")
	switch {
	case parts[2] == "secretsmanager" && isSecret && isSecretName(secret) && scheme != string(parameters):
		i.service = manager
	case parts[2] == "ssm" && isParameter && scheme != string(manager):
		p, err := parameter(name)
		i.service, i.version, i.id = parameters, p.version, strings.TrimSuffix(text, ":"+p.version)
		return i, err
	default:
		return item{}, errARN
	}
	return i, nil
}

var errARN = resolve.Errorf(resolve.Malformed, "not the ARN of a secret or of a parameter, or not of what stands before it")

// choose reads which version is meant.
func (i *item) choose(query string) error {
	kind, text, ok := strings.Cut(query, "=")
	switch {
	case !ok && i.service == parameters, !ok && isVersionID(query):
		kind, text = "version", query
	case !ok:
		kind, text = "stage", query
	}
	switch {
	case i.service == parameters && (kind == "version" || kind == "label") && i.version == "" && isSelector(text):
		i.version = text
	case i.service == manager && kind == "version" && isVersionID(text):
		i.version = text
	case i.service == manager && kind == "stage" && text == "AWSCURRENT": // which a batch has
	case i.service == manager && kind == "stage" && isStage(text):
		i.stage = text
	case i.service == manager:
		return resolve.Errorf(resolve.Malformed, "want ?stage=STAGE or ?version=ID")
	default:
		return resolve.Errorf(resolve.Malformed, "want one of ?version=NUMBER, ?label=LABEL")
	}
	return nil
}
