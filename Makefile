# What stands after "##" is what `make` shows.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0

FUZZTIME = 10s
VERSION  = $(shell test -e .git && git describe --tags --always --dirty 2>/dev/null || echo devel)
GOBUILD  = CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

PROGRAMS = kz kz-fetch

HOOKS   = shell/hook/hook
SCRIPTS = install.sh .ci/run $(wildcard tools/*) bench/peers bench/driver.bash

.NOTPARALLEL:
.PHONY: help build demo startup bench test check lint lint-go lint-shell fuzz vuln install completions clean kz kz-fetch kz-fetch-sops

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

build: $(PROGRAMS) ## build ./kz and ./kz-fetch (static, version stamped)

kz:
	$(GOBUILD) -o $@ ./cmd/kzhook

kz-fetch:
	$(GOBUILD) -o $@ ./cmd/kzfetch

# A module of its own: the library of SOPS brings those of every cloud with it.
kz-fetch-sops: ## build ./kz-fetch-sops, which reads SOPS files (takes a while)
	cd cmd/kzsops && $(GOBUILD) -o ../../$@ .

demo: kz ## show kz at work, in a temporary home
	tools/demo ./kz

startup: kz ## measure how long kz takes to find nothing to do
	tools/startup ./kz

bench: build ## measure kz beside direnv and mise, and with stores: bench/results.md
	tools/need
	go run ./bench ./kz bench/results.md

test: ## install what the tests need, then run them all
	tools/need
	KZ_NEED_SHELLS=1 KZ_NEED_SERVERS=1 go test -race -shuffle=on -timeout 20m ./...
	cd cmd/kzsops && go build ./... && go test -shuffle=on ./... # or else two of them compile the same at once

check: test lint fuzz ## what CI runs: test, lint, fuzz

lint: lint-go lint-shell ## formatting, vet, staticcheck, shell linters

lint-go:
	@names=$$(gofmt -l .) && test -z "$$names" || { printf 'not as gofmt has it:\n%s\n' "$$names"; exit 1; }
	go vet ./...
	cd cmd/kzsops && go vet ./...
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go vet ./...
	go run $(STATICCHECK) ./...

lint-shell:
	shellcheck $(SCRIPTS) $(HOOKS).bash
	shfmt -d $(SCRIPTS) $(HOOKS).bash
	for script in $(SCRIPTS) $(HOOKS).bash; do bash -n "$$script" || exit; done
	dash -n install.sh
	for script in $(HOOKS).zsh bench/driver.zsh; do zsh -n "$$script" || exit; done
	for script in $(HOOKS).fish bench/driver.fish; do fish --no-execute "$$script" && fish_indent --check "$$script" || exit; done

fuzz: ## run every fuzz target for FUZZTIME (10s)
	KZ_NEED_SHELLS=1 tools/fuzz $(FUZZTIME)

vuln: ## ask the vulnerability database (needs the network)
	go run $(GOVULNCHECK) ./...

install: ## install into PREFIX/bin (~/.local/bin)
	./install.sh $(if $(PREFIX),--dir "$$PREFIX/bin")

completions: build ## write completions/ anew
	mkdir -p completions
	for pair in bash:kz.bash zsh:_kz fish:kz.fish; do \
		file=completions/$${pair#*:}; \
		./kz completion "$${pair%%:*}" >"$$file.new" && mv "$$file.new" "$$file" || { rm -f "$$file.new"; exit 1; }; \
	done

clean: ## remove what was built
	rm -rf kz kz-fetch kz-fetch-sops bin dist
