package main

import "testing"

const environmentFiles = `
-- app/ --
[secrets]
TOKEN = "dotenv://values#BASE"
[production.secrets]
TOKEN = "dotenv://values#PRODUCTION"
EXTRA = "dotenv://values#EXTRA"
[staging.env]
TOKEN = "stage"
-- app/values --
BASE=base
PRODUCTION=prod
EXTRA=extra
-- own/ --
[env]
NODE_ENV = "production"
TOKEN = "base"
[production.env]
TOKEN = "prod"
`

// The environment is chosen at each prompt, by variables of the shell.
func TestTerminalEnvironments(t *testing.T) {
	const unknown = "kz: KEYZERO_ENV: there is no environment \"prodction\"; did you mean \"production\"?\n" +
		"kz: hint: unset KEYZERO_ENV"
	walks := map[string][]step{
		"set, changed and unset": {
			{"cd app", "kz: +TOKEN (app)", "base"},
			{"export KEYZERO_ENV=production", "kz: +EXTRA ~TOKEN (app/production)", "prod"},
			{"", "", "prod"},
			{"export KEYZERO_ENV=staging", "kz: ~TOKEN -EXTRA (app/staging)", "stage"},
			{"UNSET KEYZERO_ENV", "kz: ~TOKEN (app)", "base"},
			{"cd ..", "kz: -TOKEN", ""},
		},
		// Leaving does not undo what the user chose inside.
		"set inside": {
			{"cd app", "kz: +TOKEN (app)", "base"},
			{"export KEYZERO_ENV=production", "kz: +EXTRA ~TOKEN (app/production)", "prod"},
			{"cd ..", "kz: -EXTRA -TOKEN", ""},
			{"cd app", "kz: +EXTRA +TOKEN (app/production)", "prod"},
		},
		"set outside": {
			{"export KEYZERO_ENV=production", "", ""},
			{"cd app", "kz: +EXTRA +TOKEN (app/production)", "prod"},
			{"cd ..", "kz: -EXTRA -TOKEN", ""},
		},
		"there is none of that name": {
			{"cd app", "kz: +TOKEN (app)", "base"},
			{"export KEYZERO_ENV=prodction", unknown + "\nkz: -TOKEN", ""},
			{"", "", ""},
			{"export KEYZERO_ENV=production", "kz: +EXTRA +TOKEN (app/production)", "prod"},
			{"export KEYZERO_ENV=prodction", unknown + "\nkz: -EXTRA -TOKEN", ""},
			{"UNSET KEYZERO_ENV", "kz: +TOKEN (app)", "base"},
		},
		"another program's variable": {
			{"cd app", "kz: +TOKEN (app)", "base"},
			{"export NODE_ENV=development", "", "base"},
			{"export NODE_ENV=production", "kz: +EXTRA ~TOKEN (app/production)", "prod"},
			{"export KEYZERO_ENV=staging", "kz: ~TOKEN -EXTRA (app/staging)", "stage"},
			{"UNSET KEYZERO_ENV", "kz: +EXTRA ~TOKEN (app/production)", "prod"},
			{"export APP_ENV=staging", "", "prod"},
			{"UNSET NODE_ENV", "kz: ~TOKEN -EXTRA (app/staging)", "stage"},
		},
		// What a project sets does not choose its own environment.
		"a project that sets such a variable": {
			{"cd own", "kz: +NODE_ENV +TOKEN (own)", "base"},
			{"", "", "base"},
			{"export NODE_ENV=production", "", "base"},
			{"cd ..", "kz: -NODE_ENV -TOKEN", ""},
		},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, steps := range walks {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: environmentFiles, after: unsetFunction[shell]})
				d.walk(steps)
				d.alive()
			})
		}
	})
}

// unsetFunction gives shells the same word for the same thing.
var unsetFunction = map[string]string{
	"bash": `UNSET() { unset "$1"; }`,
	"zsh":  `UNSET() { unset "$1" }`,
	"fish": `function UNSET; set -e $argv[1]; end`,
}
