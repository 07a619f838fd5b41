package main

import (
	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/seal/holder"
)

func keysLine(about holder.About) string {
	return "keys: " + about.Name + ": " + about.Against + "\n"
}

func newDoctor(inv *invocation) *cobra.Command {
	return &cobra.Command{Use: "doctor"}
}
