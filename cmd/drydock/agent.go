package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/internal/durable"
	"github.com/drydock-ecs/drydock/internal/hint"
	"github.com/drydock-ecs/drydock/internal/journal"
	"github.com/drydock-ecs/drydock/internal/kernel"
)

// stopWithin is how long the agent may take to end once it was told to. The
// host container's runtime kills it after 20 s.
const stopWithin = 4 * time.Second

// userData is the file in the host container's persistent directory into which
// Bottlerocket writes settings.host-containers.<name>.user-data.
func userData() string {
	return filepath.Join(agent.DefaultConfig().Host.StateDir, "user-data")
}

// newAgentCommand is what runs on every host.
func newAgentCommand(env environment) *cobra.Command {
	var file, format string
	cmd := &cobra.Command{
		Use:   "agent [--config FILE] [--log-format text|json]",
		Short: "Update this host, for ever",
		Long: `Run the agent of this host. It ends on SIGTERM, and when the socket of the
Bottlerocket API is dead for a minute, which only a new container cures.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			form := agent.LogFormat(format)
			if form != "" && form != agent.LogText && form != agent.LogJSON {
				return misused("--log-format: %q is neither text nor json", format)
			}
			settings, err := readSettings(file)
			settings.Log.Format = cmp.Or(form, settings.Log.Format)
			log := newLog(settings.Log, env)
			if err != nil {
				return finishAgent(cmd.Context(), settings, log, env, err)
			}
			log.Info("drydock agent", slog.String("version", version()))
			return runAgent(cmd.Context(), settings, log, env, (*agent.Agent).Run)
		},
	}
	cmd.Flags().StringVar(&file, "config", userData(), "file with the host settings (TOML)")
	cmd.Flags().StringVar(&format, "log-format", "", "text or json; goes before log.format of the settings")
	return cmd
}

// readSettings reads the host settings. A host container without user-data
// has no such file, and its agent does not start: see agent.ParseConfig.
func readSettings(file string) (agent.Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		cause := err
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			cause = path.Err // the file is named already
		}
		return agent.DefaultConfig(), agent.Faults{{File: file, Problem: "cannot be read: " + cause.Error(),
			Hint: "give the host container user-data, or name a file with --config"}}
	}
	return parseSettings(file, data)
}

// finishAgent ends an update that has begun under settings that cannot be used,
// by what of them is good. The host must not stay drained until somebody has
// mended them. Without one nothing is touched. The faults are the error, always.
func finishAgent(ctx context.Context, settings agent.Config, log *slog.Logger, env environment, faults error) error {
	intent, err := durable.New(settings.Host.StateDir).Load()
	if err != nil || !agent.Begun(intent) {
		return faults
	}
	log.Info("drydock agent", slog.String("version", version()))
	log.Error("the settings cannot be used: the update that has begun is ended, and none is started",
		slog.String("error", strings.ReplaceAll(faults.Error(), "\n", "; ")), slog.String("hint", "mend the user-data of the host container"))
	if err := runAgent(ctx, settings, log, env, (*agent.Agent).Finish); err != nil || ctx.Err() != nil {
		return err // the next process goes on
	}
	return faults
}

// runAgent runs the agent until ctx ends, or until it has done what it is to do.
func runAgent(ctx context.Context, settings agent.Config, log *slog.Logger, env environment, run func(*agent.Agent, context.Context) error) error {
	saveMemory(env)
	ports, err := wireAgent(ctx, settings, log, env)
	if err != nil {
		return err
	}
	_ = kernel.ForgetProgram() // settings, credentials, wiring: not used again
	a := agent.New(settings, version(), ports)
	return runUntil(ctx, log, func(ctx context.Context) error { return run(a, ctx) })
}

// runUntil runs until ctx ends, which is no error, and not much longer: a call
// that does not notice is left behind. The agent may end anywhere, as the next
// one finds in the intent what must be undone. Its error goes to the log.
func runUntil(ctx context.Context, log *slog.Logger, run func(context.Context) error) error {
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		select {
		case err = <-ended:
		case <-time.After(stopWithin):
		}
	}
	if err == nil {
		return nil
	}
	attrs := []any{slog.Any("error", err)}
	if advice := hint.Of(err); advice != "" {
		attrs = append(attrs, slog.String("hint", advice))
	}
	log.Error("the agent ends", attrs...)
	return errLogged
}

// newLog writes to stdout: what a host container writes to stderr stands on
// the host's console as well.
func newLog(settings agent.LogConfig, env environment) *slog.Logger {
	return journal.New(env.stdout, journal.Options{JSON: settings.Format == agent.LogJSON, Level: settings.Level})
}

// memoryLimit is about what the agent's Go runtime has mapped when it idles:
// near it garbage is collected early and what is freed goes back to the kernel.
// It is a soft limit; a large lock record may go over it.
const memoryLimit = 8 << 20

// startLength is how long the agent may take memory as it likes: collecting
// early from the first moment on would double the time to its first call.
const startLength = time.Second

// saveMemory trades processor time, of which an agent needs some milliseconds
// an hour, for memory, which it takes from the host's tasks: less garbage, and
// the caches of one processor where a large host has those of a hundred.
// GOMEMLIMIT and GOMAXPROCS override it.
func saveMemory(env environment) {
	time.AfterFunc(startLength, func() {
		if env.getenv("GOMAXPROCS") == "" {
			runtime.GOMAXPROCS(1)
		}
		if env.getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(memoryLimit)
		}
		_ = kernel.ForgetProgram() // where it cannot, nothing is lost but memory
	})
}

// notify tells the service manager how things stand. What another phase needs of
// the program is hardly what this one needed.
func notify(state string) {
	journal.Notify(state)
	if strings.HasPrefix(state, "STATUS=") {
		_ = kernel.ForgetProgram() // where it cannot, nothing is lost but memory
	}
}
