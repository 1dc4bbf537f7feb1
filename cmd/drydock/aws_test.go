package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

// clearAWS takes every setting of the AWS SDK out of the environment.
func clearAWS(t testing.TB) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // so that it is restored
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("HOME", t.TempDir())
}

func envOf(pairs map[string]string) environment {
	return environment{getenv: func(name string) string { return pairs[name] }}
}

// Each call of ECS goes to the Region of its cluster, unless the settings name
// another.
func TestRegionalECS(t *testing.T) {
	api := reflect.TypeFor[containerinstance.API]()
	for i := range api.NumMethod() {
		method := api.Method(i)
		for _, test := range []struct{ configured, want string }{
			{"", "eu-north-1"},
			{"eu-west-1", "eu-west-1"},
		} {
			asked := ""
			door := regionalECS{ecs.New(ecs.Options{
				Region:      test.configured,
				Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
				HTTPClient: client(func(r *http.Request) (*http.Response, error) {
					asked = r.URL.Host
					if scope := r.Header.Get("Authorization"); !strings.Contains(scope, "/"+test.want+"/ecs/") {
						t.Errorf("%s: signed as %q", method.Name, scope)
					}
					return nil, errors.New("no network")
				}),
				Retryer: aws.NopRetryer{},
			})}
			in := reflect.New(method.Type.In(1).Elem())
			fillInput(in.Elem())
			in.Elem().FieldByName("Cluster").Set(reflect.ValueOf(aws.String(testFleet)))
			reflect.ValueOf(door).MethodByName(method.Name).Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
			if want := "ecs." + test.want + ".amazonaws.com"; asked != want {
				t.Errorf("%s with Region %q: asked %q, want %q", method.Name, test.configured, asked, want)
			}
		}
	}
}

// fillInput gives texts to what may be required.
func fillInput(in reflect.Value) {
	for i := range in.NumField() {
		switch field := in.Field(i); {
		case !field.CanSet():
		case field.Kind() == reflect.String:
			field.SetString("ACTIVE")
		case field.Type() == reflect.TypeFor[*string]():
			field.Set(reflect.ValueOf(aws.String("x")))
		case field.Type() == reflect.TypeFor[[]string]():
			field.Set(reflect.ValueOf([]string{"x"}))
		}
	}
}

type client func(*http.Request) (*http.Response, error)

func (c client) Do(r *http.Request) (*http.Response, error) { return c(r) }

// Building the agent asks nobody and needs nobody, and leaves no port empty.
func TestWireAgentAsksNobody(t *testing.T) {
	clearAWS(t)
	var asked atomic.Int64
	world := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer world.Close()
	for _, name := range []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL"} {
		t.Setenv(name, world.URL)
	}
	settings := agent.DefaultConfig()
	settings.Host.Introspection = world.URL
	ports, err := wireAgent(t.Context(), settings, slog.New(slog.DiscardHandler), envOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d calls", n)
	}
	for field, value := range reflect.ValueOf(ports).Fields() {
		if field.Name != "Watchdog" && value.IsZero() {
			t.Errorf("port %s is empty", field.Name)
		}
	}
	if ports.Fleet("table", testFleet) == nil {
		t.Error("no fleet")
	}
}

// A fleet's table is in the Region of its cluster, unless the settings name
// another.
func TestNewFleetRegion(t *testing.T) {
	for _, test := range []struct{ configured, want string }{
		{"", "dynamodb.eu-north-1.amazonaws.com"},
		{"eu-west-1", "dynamodb.eu-west-1.amazonaws.com"},
	} {
		asked := ""
		fleet := newFleet(aws.Config{
			Region:      test.configured,
			Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
			HTTPClient: client(func(r *http.Request) (*http.Response, error) {
				asked = r.URL.Host
				return nil, errors.New("no network")
			}),
			Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		}, "table", testFleet)
		if _, err := fleet.Look(t.Context()); err == nil {
			t.Error("it looked without a network")
		}
		if asked != test.want {
			t.Errorf("Region %q: asked %q, want %q", test.configured, asked, test.want)
		}
	}
}

// The host's CA certificates are those that TLS is judged by.
func TestRoots(t *testing.T) {
	clearAWS(t)
	server := httptest.NewUnstartedServer(dynamotest.New())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	good := filepath.Join(t.TempDir(), "good.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(good, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		file    string
		trusted bool
	}{{good, true}, {good + ".missing", false}} {
		log := slog.New(slog.DiscardHandler)
		config, err := sdk{metadata: imds.New(imds.Options{}), roots: rootsOf(test.file, log, envOf(nil)), log: log}.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = newFleet(config, "table", testFleet).Look(t.Context())
		if got := errors.Is(err, coordination.ErrNoTable); got != test.trusted {
			t.Errorf("%s: answered %v, want %v: %v", test.file, got, test.trusted, err)
		}
	}
}

func TestRootsOf(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.pem")
	if err := os.WriteFile(bad, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file, bundle string
		warns        bool
	}{
		"no such file":         {file: filepath.Join(dir, "missing")},
		"no certificate in it": {file: bad, warns: true},
		"cannot be read":       {file: dir, warns: true},
		"AWS_CA_BUNDLE is set": {file: bad, bundle: "other.pem"},
	} {
		var log bytes.Buffer
		roots := rootsOf(test.file, slog.New(slog.NewTextHandler(&log, nil)), envOf(map[string]string{envRoots: test.bundle}))
		if roots != nil || (log.Len() > 0) != test.warns {
			t.Errorf("%s: %q, logged %q", name, roots, log.String())
		}
	}
}

// Without settings the credentials are those of the instance's role, by
// version 2 of the metadata service alone.
func TestRoleCredentials(t *testing.T) {
	clearAWS(t)
	metadata := imdstest.New(imdstest.Host{Instance: "i-1", AccessKey: "AKIAROLE"})
	server := httptest.NewServer(metadata)
	defer server.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
	config, err := sdk{
		metadata: imds.New(imds.Options{}, containerinstance.IMDSv2Only), log: slog.New(slog.DiscardHandler),
	}.load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := config.Credentials.Retrieve(t.Context())
	if err != nil || keys.AccessKeyID != "AKIAROLE" {
		t.Errorf("%q, %v", keys.AccessKeyID, err)
	}
	if config.Region != "" {
		t.Errorf("Region %q without a setting", config.Region)
	}
}
