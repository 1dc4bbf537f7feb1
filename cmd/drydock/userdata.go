package main

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
)

// userDataLimit is what EC2 takes as the user data of an instance, in bytes
// before EC2's own base64.
const userDataLimit = 16 << 10

// userDataFlags are the flags of `drydock user-data`.
type userDataFlags struct {
	source, name, config, table string
}

// newUserDataCommand prints what a new host's EC2 user data needs.
func newUserDataCommand(env environment) *cobra.Command {
	var f userDataFlags
	cmd := &cobra.Command{
		Use:   "user-data --source IMAGE [--config FILE | --table T] [--name NAME]",
		Short: "Print the EC2 user data that gives a host its agent",
		Long: `Print the part of a host's EC2 user data that runs the agent in a Bottlerocket host
container, with the host settings in FILE ("-" is standard input), or else with no
setting but the table of the lock.

The settings are checked as a host would check them, and the whole against the 16 KiB
that EC2 takes. It needs no AWS account and no network. Bottlerocket reads user data at
the first boot alone; "apiclient apply" takes the same text on a host that runs.`,
		Example: `  drydock user-data --source 111122223333.dkr.ecr.eu-north-1.amazonaws.com/drydock@sha256:…
  drydock user-data --source … --config settings.toml >> user-data.toml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%s: no argument is taken; the image goes to --source", args[0])
			}
			return nil
		},
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.config != "" && cmd.Flags().Changed("table") {
				return misused("--table and --config: the file names the table, as [lock] table")
			}
			block, advice, err := f.block(env)
			if err != nil {
				return err
			}
			if advice != "" {
				fmt.Fprintln(env.stderr, "warning: "+advice)
			}
			_, err = io.WriteString(env.stdout, block)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", "", "image of the agent: REGISTRY/REPOSITORY@DIGEST, or with a tag")
	flags.StringVar(&f.config, "config", "", "file with the host settings (TOML)")
	flags.StringVar(&f.table, "table", cmp.Or(env.getenv(envTable), agent.DefaultConfig().Lock.Table),
		"DynamoDB table of the lock, without a file ($"+envTable+")")
	flags.StringVar(&f.name, "name", "drydock", "name of the host container; the journal's unit is host-containers@NAME")
	return cmd
}

// block is the text, and what an operator should think about.
func (f *userDataFlags) block(env environment) (block, advice string, err error) {
	advice, err = checkSource(f.source)
	if err != nil {
		return "", "", err
	}
	if err := checkContainerName(f.name); err != nil {
		return "", "", err
	}
	settings, name := fmt.Appendf(nil, "[lock]\ntable = %q\n", f.table), "--table"
	if f.config != "" {
		if settings, name, err = readText(env, f.config); err != nil {
			return "", "", err
		}
	}
	if _, err := parseSettings(name, settings); err != nil {
		return "", "", err
	}
	block = fmt.Sprintf(`[settings.host-containers.%s]
enabled = true
superpowered = false
source = %q
user-data = %q
`, f.name, f.source, base64.StdEncoding.EncodeToString(settings))
	if len(block) > userDataLimit {
		return "", "", agent.Faults{{File: name,
			Problem: fmt.Sprintf("makes %d bytes of user data, and EC2 takes %d", len(block), userDataLimit),
			Hint:    "leave out comments and what is the default (drydock config check shows it), or set it for the fleet: drydock policy set"}}
	}
	return block, advice, nil
}

// The parts of an image reference, by the OCI distribution specification.
const (
	refRegistry = `(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]+)?`
	refPart     = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
	refTag      = `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`
	refDigest   = `sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}`
)

// checkSource refuses what no host can pull, and advises against what each
// host may pull anew. The expression is made here because the agent, which is
// the same program, never needs it.
func checkSource(source string) (advice string, err error) {
	if source == "" {
		return "", misused("--source is missing: the image of the agent, as REGISTRY/REPOSITORY@sha256:DIGEST")
	}
	if _, _, ok := strings.Cut(source, "://"); ok {
		return "", misused("--source: %q is a URL; an image has no scheme before its registry", source)
	}
	form := regexp.MustCompile(`^(` + refRegistry + `)/((?:` + refPart + `/)*` + refPart + `)(?::(` + refTag + `))?(?:@(` + refDigest + `))?$`)
	parts := form.FindStringSubmatch(source)
	switch {
	case parts == nil && strings.Contains(source, "@"):
		return "", misused("--source: %q is no image: REGISTRY/REPOSITORY@sha256: and 64 hexadecimal digits", source)
	case parts == nil:
		return "", misused("--source: %q is no image: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST", source)
	case !strings.ContainsAny(parts[1], ".:") && parts[1] != "localhost":
		return "", misused("--source: %q names no registry, and hosts know no default one", source)
	}
	if tag, digest := parts[3], parts[4]; digest == "" {
		return tagAdvice(parts[1]+"/"+parts[2], tag), nil
	}
	return "", nil
}

// tagAdvice says what a tag means on a host and how to do without.
func tagAdvice(image, tag string) string {
	text := "the tag " + tag + " may move"
	if tag == "" || tag == "latest" {
		text = "without a tag of its own the image is whatever is newest"
	}
	return text + ", and a host pulls it at every start of its agent: pin it as " + image +
		"@sha256:DIGEST (docker buildx imagetools inspect prints the digest, and so does aws ecr describe-images)"
}

// checkContainerName refuses what Bottlerocket would, and the containers that
// are Bottlerocket's own.
func checkContainerName(name string) error {
	switch {
	case !regexp.MustCompile(`^[A-Za-z0-9-]{1,76}$`).MatchString(name):
		return misused("--name: %q: a host container's name has 1 to 76 letters, digits and dashes", name)
	case name == "admin" || name == "control" || name == "current":
		return misused("--name: %q has a meaning of its own on Bottlerocket hosts", name)
	}
	return nil
}

// encodes says what makes the base64 of settings.
const encodes = "drydock user-data --source IMAGE --config FILE prints it"

// parseSettings reads host settings. What went wrong with their base64 is
// said as such: as faults of TOML it would say nothing.
func parseSettings(name string, data []byte) (agent.Config, error) {
	c, err := agent.ParseConfig(name, data)
	if err == nil {
		return c, nil
	}
	if !utf8.Valid(data) {
		return c, agent.Faults{{File: name, Problem: "is no text: some of its bytes are no UTF-8",
			Hint: "the setting user-data takes the base64 of the settings: " + encodes}}
	}
	decoded, wrong := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if wrong != nil {
		return c, err
	}
	if _, inner := agent.ParseConfig(name, decoded); inner == nil {
		return c, agent.Faults{{File: name, Problem: "is base64 of settings, not settings",
			Hint: "encode them once: " + encodes}}
	}
	return c, err
}
