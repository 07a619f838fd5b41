package config

import (
	"fmt"
	"strings"
	"testing"
)

// Each line of the table refuses names, in any case.
func TestDangerousTable(t *testing.T) {
	lines := 0
	for line := range strings.Lines(dangerousTable) {
		pattern := strings.TrimSpace(line)
		if pattern == "" || strings.HasPrefix(pattern, "#") {
			continue
		}
		lines++
		t.Run(pattern, func(t *testing.T) {
			if strings.ContainsAny(pattern, " \t#") || !ValidName(strings.ReplaceAll(pattern, "*", "x")) {
				t.Fatalf("%q is no pattern of names", pattern)
			}
			for _, star := range []string{"", "X", "_9", "LONG_NAME", "_CONFIG_FILE"} {
				name := strings.ReplaceAll(pattern, "*", star)
				mixed := strings.ToUpper(name[:len(name)/2]) + strings.ToLower(name[len(name)/2:])
				for _, n := range []string{name, strings.ToUpper(name), strings.ToLower(name), mixed} {
					if Dangerous(n) == "" {
						t.Errorf("Dangerous(%q) finds nothing", n)
					}
					_, err := Merge(User{}, []*Layer{layer(t, "project", fmt.Sprintf("[env]\n%s = ''\n", n))}, "")
					if err == nil {
						t.Errorf("a project may set %s", n)
					}
				}
			}
			if exact := strings.ReplaceAll(pattern, "*", ""); !strings.Contains(pattern, "*") && Dangerous(exact) != pattern {
				t.Errorf("Dangerous(%q) = %q, want its own line", exact, Dangerous(exact))
			}
		})
	}
	if lines < 150 {
		t.Errorf("the table has %d lines", lines)
	}
}

// That these are refused does not depend on which lines there are.
func TestDangerous(t *testing.T) {
	const refused = `
		LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT DYLD_INSERT_LIBRARIES _RLD_LIST LIBPATH SHLIB_PATH GLIBC_TUNABLES GCONV_PATH MALLOC_CHECK_ NLSPATH LOCPATH TZDIR
		RES_OPTIONS HOSTALIASES LOCALDOMAIN PATH IFS ENV BASH_ENV BASH_FUNC_ls SHELLOPTS BASHOPTS PS0 PS1 PS2 PS3 PS4 PROMPT RPROMPT PROMPT_COMMAND ZDOTDIR FPATH CDPATH
		GLOBIGNORE NULLCMD READNULLCMD HISTFILE SHELL TERM TERM_PROGRAM TERMINFO TERMINFO_DIRS TMPDIR HOME USER LOGNAME PWD OLDPWD fish_function_path fish_user_paths
		NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS PYTHONPATH PYTHONSTARTUP PYTHONHOME PERL5LIB PERL5OPT PERLLIB RUBYOPT RUBYLIB GEM_HOME GEM_PATH BUNDLE_GEMFILE
		JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH DOTNET_STARTUP_HOOKS COMPLUS_ProfAPI GOFLAGS GOENV GOPROXY GONOSUMDB RUSTC_WRAPPER RUSTFLAGS CARGO_HOME
		npm_config_registry NPM_CONFIG_PREFIX PIP_INDEX_URL UV_INDEX LUA_PATH LUA_INIT R_PROFILE R_PROFILE_USER PHPRC PHP_INI_SCAN_DIR
		GIT_SSH_COMMAND GIT_CONFIG_GLOBAL GIT_DIR SSH_AUTH_SOCK SSH_ASKPASS GPG_AGENT_INFO GNUPGHOME EDITOR VISUAL PAGER LESSOPEN LESS MANPAGER BROWSER SUDO_ASKPASS
		DOCKER_HOST DOCKER_CONFIG KUBECONFIG MAKEFLAGS TF_CLI_CONFIG_FILE OPENSSL_CONF SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE CURL_HOME REQUESTS_CA_BUNDLE
		HTTP_PROXY https_proxy ALL_PROXY no_proxy FTP_PROXY KZ_LOG KZ_TRUST_DIGEST KEYZERO_ENV KEYZERO_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS
		OP_CONNECT_HOST OP_SESSION_x VAULT_ADDR VAULT_TOKEN BAO_ADDR AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_WEB_IDENTITY_TOKEN_FILE AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3
		AWS_CA_BUNDLE AWS_SDK_LOAD_CONFIG SOPS_AGE_KEY_FILE AGE_KEY CODEX_HOME CLAUDE_CONFIG_DIR ANTHROPIC_BASE_URL OPENAI_BASE_URL __KZ_STATE _kz_self __kz_state
		_ STATUS REPLY precmd_functions chpwd_functions`
	names := strings.Fields(refused)
	if len(names) < 100 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range names {
		if Dangerous(name) == "" || Dangerous(strings.ToLower(name)) == "" || Dangerous(strings.ToUpper(name)) == "" {
			t.Errorf("Dangerous(%q) = %q, in lower case %q, in upper case %q", name, Dangerous(name), Dangerous(strings.ToLower(name)), Dangerous(strings.ToUpper(name)))
		}
	}
	const passed = `
		AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_DEFAULT_REGION AWS_PROFILE DATABASE_URL REDIS_URL GITHUB_TOKEN GH_TOKEN GITLAB_TOKEN
		STRIPE_KEY STRIPE_SECRET_KEY API_KEY SECRET_KEY_BASE JWT_SECRET SENTRY_DSN LOG_LEVEL DEBUG PORT HOST APP_ENV NODE_ENV RAILS_ENV NODE_TOKEN NPM_TOKEN PYPI_TOKEN
		ANTHROPIC_API_KEY OPENAI_API_KEY SLACK_BOT_TOKEN GOOGLE_APPLICATION_CREDENTIALS GCP_PROJECT AZURE_CLIENT_SECRET SMTP_PASSWORD PGPASSWORD PGHOST MYSQL_PWD
		CLOUDFLARE_API_TOKEN DIGITALOCEAN_TOKEN HEROKU_API_KEY TWILIO_AUTH_TOKEN SENDGRID_API_KEY SUPABASE_URL FIREBASE_TOKEN TF_VAR_region PASSWORD TOKEN USERS HOMEPAGE
		PATHS MYPATH APP_PATH DATABASE_HOME SHELL_COLOR LD DYLD KZ XDG A a _A MY_KZ_X NOT_LD_PRELOAD PROXY_URL MYPROXY GITHUB_REPO GITEA_TOKEN ENVIRONMENT APP_USER`
	for _, name := range strings.Fields(passed) {
		for _, n := range []string{name, strings.ToLower(name)} {
			if got := Dangerous(n); got != "" {
				t.Errorf("Dangerous(%q) = %q, want that projects may set it", n, got)
			}
		}
	}
}

func TestMatches(t *testing.T) {
	for what, test := range map[string]struct {
		name, pattern string
		want          bool
	}{
		"equal":                      {"PATH", "PATH", true},
		"longer":                     {"PATHS", "PATH", false},
		"shorter":                    {"PAT", "PATH", false},
		"a star at the end":          {"LD_X", "LD_*", true},
		"a star for nothing":         {"LD_", "LD_*", true},
		"without what precedes it":   {"LD", "LD_*", false},
		"in the middle of a name":    {"XLD_X", "LD_*", false},
		"a star at the start":        {"HTTP_PROXY", "*_PROXY", true},
		"a star at the start only":   {"_PROXY", "*_PROXY", true},
		"more after the end":         {"HTTP_PROXY_X", "*_PROXY", false},
		"two stars":                  {"AWS_A_CONFIG_B", "AWS_*CONFIG*", true},
		"two stars for nothing":      {"AWS_CONFIG", "AWS_*CONFIG*", true},
		"two stars, out of order":    {"CONFIG_AWS_", "AWS_*CONFIG*", false},
		"a star in the middle":       {"AWS_X_FILE", "AWS_*_FILE", true},
		"twice what follows":         {"AWS_X_FILE_FILE", "AWS_*_FILE", true},
		"what overlaps":              {"AWS_FILE", "AWS_*_FILE", false},
		"one letter for two parts":   {"AB", "A*AB", false},
		"a lone star":                {"ANY", "*", true},
		"the empty name":             {"", "*", true},
		"the empty name and pattern": {"", "", true},
	} {
		t.Run(what, func(t *testing.T) {
			if got := matches(test.name, test.pattern); got != test.want {
				t.Errorf("matches(%q, %q) = %v, want %v", test.name, test.pattern, got, test.want)
			}
		})
	}
}

// What steers where a store's credentials go, and who signs in, is not a project's to set:
// a kz inside kz run could not tell it from the user's own.
func TestDangerousNamesOfStores(t *testing.T) {
	for _, name := range []string{
		"VAULT_ADDR", "BAO_ADDR", "VAULT_NAMESPACE", "DOPPLER_API_HOST", "DOPPLER_CONFIG_DIR", "INFISICAL_API_URL", "INFISICAL_DOMAIN",
		"GCE_METADATA_HOST", "CLOUDSDK_CONFIG", "CLOUDSDK_PYTHON", "AZURE_AUTHORITY_HOST", "AZURE_CONFIG_DIR", "AZURE_EXTENSION_DIR", "IDENTITY_ENDPOINT",
		"IMDS_ENDPOINT", "MSI_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ENDPOINT_URL_STS", "AWS_CONFIG_FILE",
		"OP_CONNECT_HOST", "BWS_SERVER_URL", "BITWARDENCLI_APPDATA_DIR", "RBW_PROFILE", "PASSWORD_STORE_DIR", "PASSWORD_STORE_GPG_OPTS",
		"PASSWORD_STORE_ENABLE_EXTENSIONS", "GOPASS_HOMEDIR", "SOPS_AGE_KEY_CMD", "ACTIONS_ID_TOKEN_REQUEST_URL", "KUBERNETES_SERVICE_HOST", "CREDENTIALS_DIRECTORY",
	} {
		if Dangerous(name) == "" {
			t.Errorf("a project may set %s", name)
		}
	}
	// These are credentials of programs, which secrets are for.
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "GOOGLE_APPLICATION_CREDENTIALS", "DOPPLER_TOKEN", "INFISICAL_TOKEN"} {
		if pattern := Dangerous(name); pattern != "" {
			t.Errorf("a project may not set %s (%s)", name, pattern)
		}
	}
}
