package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/ec2test"
	"github.com/drydock-ecs/drydock/internal/ecstest"
	"github.com/drydock-ecs/drydock/internal/hint"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

const (
	checkedHost   = "i-0checked"
	checkedRegion = "eu-north-1"
)

// checkedWorld is a host in good order, with AWS around it.
type checkedWorld struct {
	dir    string
	api    *apitest.Host
	imds   *imdstest.Service
	ecs    *ecstest.Cluster
	db     *dynamotest.Server
	ec2    *ec2test.Account
	config agent.Config
	front  func(http.Handler) *httptest.Server // makes the server of DynamoDB
}

func newCheckedWorld(t *testing.T) *checkedWorld {
	t.Helper()
	w := &checkedWorld{
		dir:  t.TempDir(),
		imds: imdstest.New(imdstest.Host{Instance: checkedHost, Region: checkedRegion, Account: testAccount}),
		ecs:  ecstest.New(ecstest.Config{Region: checkedRegion, Account: testAccount}),
		db:   dynamotest.New(), ec2: ec2test.New(checkedRegion), config: agent.DefaultConfig(), front: httptest.NewServer,
	}
	w.api = apitest.New(apitest.Config{Version: "1.50.0"})
	t.Cleanup(w.api.Close)
	t.Cleanup(w.ecs.Close)
	if err := w.ecs.AddHost(ecstest.Host{ID: checkedHost}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.api.ListenUnix(w.path("api.sock")); err != nil {
		t.Fatal(err)
	}
	w.ec2.Set(checkedHost, "running")
	w.config.Host.APISocket, w.config.Host.StateDir = w.path("api.sock"), w.dir
	table := w.table()
	if _, err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	body, err := coordination.NewRecord("test", "slots = 1\n").Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Create(t.Context(), w.ecs.ARN(), body); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *checkedWorld) path(name string) string { return filepath.Join(w.dir, name) }

func (w *checkedWorld) table() *dynamo.Table { return dynamo.New(w.db.Client("test"), testTable) }

// preflight opens all doors and looks. What it prints is without what is
// another each time.
func (w *checkedWorld) preflight(t *testing.T, settings string) (code int, lines []string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	serve := func(make func(http.Handler) *httptest.Server, h http.Handler) string {
		server := make(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	w.config.Host.Introspection = serve(httptest.NewServer, w.ecs.Agent(checkedHost))
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_MAX_ATTEMPTS": "1",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": serve(httptest.NewServer, w.imds),
		"AWS_ENDPOINT_URL_ECS":              serve(httptest.NewServer, w.ecs),
		"AWS_ENDPOINT_URL_EC2":              serve(httptest.NewServer, w.ec2),
		"AWS_ENDPOINT_URL_DYNAMODB":         serve(w.front, w.db),
	} {
		t.Setenv(name, value)
	}
	if settings == "" {
		settings = w.config.TOML()
	}
	if err := os.WriteFile(w.path("settings.toml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := runIn(t, "", "preflight", "--config", w.path("settings.toml"))
	if stderr != "" {
		t.Errorf("it says %s", stderr)
	}
	for old, new := range map[string]string{w.dir: "DIR", w.ecs.ARN(): "FLEET"} {
		out = strings.ReplaceAll(out, old, new)
	}
	out = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(out, "LOCAL")
	out = regexp.MustCompile(`container-instance/\S+`).ReplaceAllString(out, "container-instance/ID")
	return code, strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

func TestPreflight(t *testing.T) {
	w := newCheckedWorld(t)
	before, err := w.table().Fetch(t.Context(), w.ecs.ARN())
	if err != nil {
		t.Fatal(err)
	}
	w.config.Drain.OnTimeout = agent.OnTimeoutForce
	code, lines := w.preflight(t, "")
	want := []string{
		"ok           settings: DIR/settings.toml",
		"ok           state: DIR, no intent yet",
		"ok           Bottlerocket API: Bottlerocket 1.50.0, aws-ecs-2",
		"ok           instance: i-0checked in eu-north-1a",
		"ok           role: credentials of EC2RoleProvider",
		"ok           way to AWS: LOCAL answers",
		"ok           clock: within 2m0s of AWS's",
		"ok           ECS agent: arn:aws:ecs:eu-north-1:111122223333:container-instance/ID",
		"ok           ecs:DescribeContainerInstances: the container instance is ACTIVE",
		"ok           ecs:UpdateContainerInstancesState: allowed",
		"ok           ecs:ListTasks: allowed",
		"ok           ecs:DescribeTasks: allowed",
		"ok           ecs:DescribeServices: allowed",
		"ok           ecs:GetTaskProtection: allowed",
		"ok           ecs:StopTask: allowed",
		"ok           lock record in table drydock: dynamodb:GetItem is allowed, FLEET",
		"ok           dynamodb:UpdateItem: allowed",
		"ok           dynamodb:PutItem: allowed",
		"ok           ec2:DescribeInstances: allowed",
		"no problems",
	}
	var got []string
	for _, line := range lines {
		if !strings.Contains(line, "  drydock: ") && !strings.Contains(line, "roots of trust") { // another on each machine
			got = append(got, line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || code != 0 {
		t.Errorf("it ends with %d\n%s", code, diff)
	}
	// Nothing has changed.
	after, err := w.table().Fetch(t.Context(), w.ecs.ARN())
	if err != nil || after.Token != before.Token || string(after.Body) != string(before.Body) {
		t.Errorf("the record is another: %v", err)
	}
	if rows, err := w.table().Hosts(t.Context(), w.ecs.ARN()); err != nil || len(rows) > 0 {
		t.Errorf("there are rows: %v, %v", rows, err)
	}
	if status := w.ecs.Status(checkedHost); status != "ACTIVE" {
		t.Errorf("the container instance is %s", status)
	}
	if entries, err := os.ReadDir(w.dir); err != nil || len(entries) != 2 { // settings and socket
		t.Errorf("the state directory holds %v, %v", entries, err)
	}
}

// dated is a server whose clock is off.
func dated(off time.Duration) func(http.Handler) *httptest.Server {
	return func(h http.Handler) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			h.ServeHTTP(w, r)
		}))
	}
}

func denied(op string) func(ecstest.Call) ecstest.Fault {
	return func(c ecstest.Call) ecstest.Fault {
		if c.Op != op {
			return ecstest.Fault{}
		}
		return ecstest.Fault{Lose: true, Err: &ecstypes.AccessDeniedException{}}
	}
}

// Each bad day has one line that says what is wrong, one below it that says
// what to do, and what cannot be known for it is not made up.
func TestPreflightOnBadDays(t *testing.T) {
	for name, test := range map[string]struct {
		spoil    func(t *testing.T, w *checkedWorld)
		settings string
		want     []string // patterns: the problem, what to do, and others
		problems int      // 0: not counted, as the defaults name paths that are not this test's
	}{
		"settings of garbage": {nil, "\xff\xfe\x00", []string{`^PROBLEM +settings: DIR/settings.toml: is no text`, `^ +the setting user-data takes the base64`}, 0},
		"settings encoded twice": {nil, "W2xvY2tdCnRhYmxlID0gInByb2QiCg==\n",
			[]string{`^PROBLEM +settings: .*is base64 of settings`, `^ +encode them once`}, 0},
		"no role": {func(_ *testing.T, w *checkedWorld) { w.imds.SetRole(false) }, "",
			[]string{`^PROBLEM +role: get credentials: `, `^ +attach an instance profile`, `^not checked +permissions on ECS: there are no credentials$`, `^not checked +table drydock: there are no`, `^not checked +ec2:Desc`}, 1},
		"no metadata": {func(_ *testing.T, w *checkedWorld) { w.imds.SetDown(true) }, "",
			[]string{`^PROBLEM +instance: `, `^ +enable the instance metadata service`, `^not checked +clock: `, `^not checked +ec2:DescribeInstances: there are no credentials`}, 2},
		"a table in another Region": {func(_ *testing.T, w *checkedWorld) { w.config.Lock.Table = "elsewhere" }, "",
			[]string{`^PROBLEM +table elsewhere: there is none in eu-north-1, the Region of this host's fleet: no such table$`, `^ +a table in another Region does not count: drydock init --slots 1 --fleet FLEET --table elsewhere makes it there`}, 1},
		"no record": {func(t *testing.T, w *checkedWorld) { w.config.Cluster = ""; w.db.Faults(nil); dropRecord(t, w) }, "",
			[]string{`^PROBLEM +lock record in table drydock: .*no lock record`, `^ +check --fleet and --table, or run: drydock init`}, 1},
		"a proxy that opens TLS": {func(_ *testing.T, w *checkedWorld) { w.front = quietTLS }, "",
			[]string{`^PROBLEM +way to AWS: .*certificate signed by unknown authority: no CA certificate here vouches for its issuer "O=Acme Co"$`, `^ +if a proxy opens TLS, .*settings.pki`, `^not checked +clock: `, `^not checked +table drydock: AWS cannot be reached$`}, 1},
		"AWS is not there": {func(_ *testing.T, w *checkedWorld) {
			w.front = func(h http.Handler) *httptest.Server { s := httptest.NewServer(h); s.Close(); return s }
		}, "", []string{`^PROBLEM +way to AWS: .*connection refused`, `^ +give the host a route to DynamoDB`}, 1},
		"clock ahead": {func(_ *testing.T, w *checkedWorld) { w.front = dated(-3 * time.Hour) }, "",
			[]string{`^PROBLEM +clock: this host's clock is 3h0m0s ahead of that of AWS$`, `^ +let the host reach its time servers: settings.ntp`}, 1},
		"clock behind": {func(_ *testing.T, w *checkedWorld) { w.front = dated(26 * time.Hour) }, "",
			[]string{`^PROBLEM +clock: this host's clock is 26h0m0s behind that of AWS$`}, 1},
		"no drain": {func(_ *testing.T, w *checkedWorld) { w.ecs.SetFault(denied("UpdateContainerInstancesState")) }, "",
			[]string{`^PROBLEM +ecs:UpdateContainerInstancesState: `, `^ +allow ecs:UpdateContainerInstancesState on this cluster`, `^not checked +ecs:StopTask: `}, 1},
		"no writes": {func(_ *testing.T, w *checkedWorld) {
			w.db.Faults(func(c dynamotest.Call) dynamotest.Fault {
				if !c.Write {
					return dynamotest.Fault{}
				}
				return dynamotest.Fault{Answer: dynamotest.Denied}
			})
		}, "", []string{`^PROBLEM +dynamodb:UpdateItem: `, `^ +allow dynamodb:UpdateItem on table drydock`, `^PROBLEM +dynamodb:PutItem: `, `^ +allow dynamodb:PutItem on table drydock`}, 2},
		"another account's role": {func(_ *testing.T, w *checkedWorld) { w.ec2.Forget(checkedHost) }, "",
			[]string{`^PROBLEM +ec2:DescribeInstances: EC2 does not show this instance as running`}, 1},
		"ECS agent down": {func(_ *testing.T, w *checkedWorld) { w.ecs.HostDown(checkedHost) }, "",
			[]string{`^PROBLEM +ECS agent: `, `^ +see .journalctl -u ecs.`, `^not checked +permissions on ECS: which container instance`, `^not checked +table drydock: which fleet`}, 1},
		"dead socket": {func(_ *testing.T, w *checkedWorld) { w.api.Close() }, "",
			[]string{`^PROBLEM +Bottlerocket API: `, `^ +run it as a Bottlerocket host container`}, 1},
		"no state": {func(_ *testing.T, w *checkedWorld) { w.config.Host.StateDir = w.path("none") }, "",
			[]string{`^PROBLEM +state: look for the directory of the intent: `, `host.state_dir$`}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCheckedWorld(t)
			if test.spoil != nil {
				test.spoil(t, w)
			}
			code, lines := w.preflight(t, test.settings)
			next, problems := 0, 0
			for _, line := range lines {
				if strings.HasPrefix(line, "PROBLEM ") {
					problems++
				}
				if next < len(test.want) && regexp.MustCompile(test.want[next]).MatchString(line) {
					next++
				}
			}
			if next < len(test.want) || code != 1 || test.problems > 0 && problems != test.problems ||
				lines[len(lines)-1] != fmt.Sprintf("problems: %d", problems) {
				t.Errorf("it ends with %d and %d problems, want %d and these lines, of which %d are there:\n%s\ngot:\n%s", code, problems, test.problems, next, strings.Join(test.want, "\n"), strings.Join(lines, "\n"))
			}
		})
	}
}

// The right to ask EC2 need not be given, and what that means is said.
func TestPreflightWithoutEvidence(t *testing.T) {
	w := newCheckedWorld(t)
	w.ec2.SetFault(func(ec2test.Call) ec2test.Fault { return ec2test.Fault{Status: 403, Code: "UnauthorizedOperation"} })
	code, lines := w.preflight(t, "")
	said := slices.ContainsFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "not checked  ec2:DescribeInstances: the role may not, which is allowed") && strings.Contains(line, "drydock release")
	})
	if code != 0 || !said {
		t.Errorf("it ends with %d and says\n%s", code, strings.Join(lines, "\n"))
	}
}

// quietTLS is a server whose certificate nobody knows, as a proxy's may be.
func quietTLS(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	server.StartTLS()
	return server
}

func dropRecord(t *testing.T, w *checkedWorld) {
	t.Helper()
	w.db = dynamotest.New()
	if _, err := w.table().Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A certificate's dates tell of a clock that is years off, as after a reset.
func TestExplainWay(t *testing.T) {
	now := time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{NotBefore: now.AddDate(9, 0, 0), NotAfter: now.AddDate(10, 0, 0)}
	err := explainWay(fmt.Errorf("tls: %w", x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}), now)
	const want = "this host's clock says 2017-01-01 00:00:00, and the certificate holds from 2026-01-01 00:00:00 to 2027-01-01 00:00:00"
	if !strings.HasSuffix(err.Error(), want) || hint.Of(err) != clockMend {
		t.Errorf("%v, %q", err, hint.Of(err))
	}
	err = explainWay(&net.OpError{Op: "proxyconnect", Err: errors.New("refused")}, now)
	if !strings.Contains(hint.Of(err), "settings.network.https-proxy") {
		t.Errorf("a proxy: %q", hint.Of(err))
	}
	if err := explainWay(nil, now); err != nil {
		t.Errorf("no error is explained: %v", err)
	}
}
