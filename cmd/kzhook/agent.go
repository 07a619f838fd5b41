package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/getkeyzero/kz/environ"
)

// agentMarks are the variables by which coding agents show that a command is
// theirs and not their user's. A star stands for any ending. An agent can drop
// them, so they only ever take something away.
var agentMarks = []string{
	"CLAUDECODE", "CLAUDE_CODE_*", "CURSOR_AGENT", "CURSOR_TRACE_ID", "CODEX_*", "GEMINI_CLI", "AI_AGENT", "AGENT",
	"AIDER_*", "OPENCODE", "OPENCODE_*", "AMP_*", "CLINE_*", "ROO_*", "GOOSE_*", "AUGMENT_AGENT",
	"COPILOT_AGENT_*", "REPLIT_AGENT", "WINDSURF_AGENT", "QWEN_CODE", "CRUSH", "DEVIN_*",
}

// agentMark returns the variable of env that shows an agent at work, or "".
func agentMark(env environ.Env) string {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		for _, mark := range agentMarks {
			head, star := strings.CutSuffix(mark, "*")
			if env[name] != "" && (name == mark || star && strings.HasPrefix(name, head)) {
				return name
			}
		}
	}
	return ""
}
