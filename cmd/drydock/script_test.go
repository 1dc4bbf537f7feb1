package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

const (
	testFleet   = "arn:aws:ecs:eu-north-1:111122223333:cluster/web"
	testTable   = "drydock"
	testAccount = "111122223333"

	testOperator = "arn:aws:iam::" + testAccount + ":user/op"
)

// TestScripts runs the program as its users do: a process with arguments,
// environment, files, and AWS behind loopback sockets. The scripts get nothing
// of this process's environment.
//
// Besides the commands of testscript they have
//
//	ends CODE CMD... exec that expects an exit code
//	record FILE      store FILE as the fleet's lock record, over the one before
//	readme HEADING FILE  write the commands under a heading of packaging/README.md
//	events           print the event rows of operators, without the time
//	rows FILE        write the host rows in FILE, a JSON array
//	fill FILE...     replace $NAME in files by the environment's value
//	policy           print the policy text of the lock record
//	dynamo ANSWER    let DynamoDB answer every call so: denied, down, well
//	spawn ARGS...    start the program in the background
//	await [-N] REGEXP  wait until it has logged a line like that, or N of them
//	terminate        send it SIGTERM; it must end with 0 within 5 s
//	logged N REGEXP  after its end: so many lines are like that
//
// In FILE, ${3m} stands for the time 3 minutes ago.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ends": ends, "fill": fill, "readme": readme, "record": record, "rows": rows, "policy": policy, "events": events, "dynamo": answers,
			"spawn": spawn, "await": await, "terminate": terminate, "logged": logged,
		},
	})
}

// world is what one script runs in.
type world struct {
	dynamo *dynamotest.Server
	agent  *process
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

func setup(env *testscript.Env) error {
	w := &world{dynamo: dynamotest.New()}
	env.Values["world"] = w
	serve := func(h http.Handler) string {
		server := httptest.NewServer(h)
		env.Defer(server.Close)
		return server.URL
	}
	dynamoURL := serve(w.dynamo)
	name := fmt.Sprintf("i-%x", os.Getpid()) + strings.NewReplacer("/", "", "-", "").Replace(env.WorkDir)
	env.Vars = append(env.Vars,
		"AWS_ENDPOINT_URL_DYNAMODB="+dynamoURL, "DYNAMODB="+dynamoURL,
		"AWS_ENDPOINT_URL_STS="+serve(http.HandlerFunc(callerIdentity)),
		"IMDS="+serve(imdstest.New(imdstest.Host{Instance: name, Region: "eu-north-1", Account: testAccount})),
		"NOWHERE=http://127.0.0.1:9", // discard: nobody listens there
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9",
		"AWS_ACCESS_KEY_ID=operator", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_MAX_ATTEMPTS=1",
		"FLEET="+testFleet,
	)
	env.Defer(func() {
		if w.agent != nil {
			_ = w.agent.cmd.Process.Kill()
		}
	})
	return nil
}

// callerIdentity is all of STS that the program asks.
func callerIdentity(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("Action") != "GetCallerIdentity" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>`+testOperator+`</Arn><UserId>AIDA</UserId><Account>`+testAccount+`</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>`)
}

// times replaces ${3m} by the time 3 minutes ago.
func times(text string) string {
	return os.Expand(text, func(name string) string {
		ago, err := time.ParseDuration(name)
		if err != nil {
			return "${" + name + "}"
		}
		return time.Now().Add(-ago).UTC().Format(time.RFC3339Nano)
	})
}

func (w *world) table() *dynamo.Table { return dynamo.New(w.dynamo.Client("test"), testTable) }

func ends(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("it ended with %d, not %s", code, args[0])
	}
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

func record(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	_, err := w.table().Ensure(context.Background())
	ts.Check(err)
	body := []byte(times(ts.ReadFile(args[0])))
	_, err = w.table().Create(context.Background(), testFleet, body)
	if errors.Is(err, coordination.ErrConflict) {
		var before coordination.Value
		before, err = w.table().Fetch(context.Background(), testFleet)
		ts.Check(err)
		_, err = w.table().Replace(context.Background(), before, body)
	}
	ts.Check(err)
}

func events(ts *testscript.TestScript, _ bool, _ []string) {
	all, err := operatorEvents(worldOf(ts).dynamo)
	ts.Check(err)
	for _, e := range all {
		fmt.Fprintf(ts.Stdout(), "%s by %s host=%s generation=%d to=%s: %s\n", e.Outcome, e.Who, e.Host, e.Generation, e.To, e.What)
	}
}

// operatorEvents reads the rows that operators' acts left, oldest first.
func operatorEvents(server *dynamotest.Server) ([]coordination.Event, error) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	out, err := server.Client("test").Query(context.Background(), &dynamodb.QueryInput{
		TableName:                 aws.String(testTable),
		KeyConditionExpression:    aws.String("#fleet = :fleet AND begins_with(#item, :prefix)"),
		ExpressionAttributeNames:  map[string]string{"#fleet": "fleet", "#item": "item"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":fleet": text(testFleet), ":prefix": text("event#op#")},
	})
	if err != nil {
		return nil, err
	}
	var all []coordination.Event
	for _, item := range out.Items {
		var e coordination.Event
		body, _ := item["body"].(*types.AttributeValueMemberS)
		if err := json.Unmarshal([]byte(body.Value), &e); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func rows(ts *testscript.TestScript, _ bool, args []string) {
	var all []coordination.HostRow
	ts.Check(json.Unmarshal([]byte(times(ts.ReadFile(args[0]))), &all))
	for _, row := range all {
		ts.Check(worldOf(ts).table().PutHost(context.Background(), testFleet, row))
	}
}

func policy(ts *testscript.TestScript, _ bool, _ []string) {
	fleet := coordination.Fleet{ARN: testFleet, Store: worldOf(ts).table()}
	r, err := fleet.Look(context.Background())
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), r.Policy)
	ts.Check(err)
}

func answers(ts *testscript.TestScript, _ bool, args []string) {
	answer, ok := map[string]dynamotest.Answer{
		"denied": dynamotest.Denied, "down": dynamotest.Dropped, "well": dynamotest.Truth,
	}[args[0]]
	if !ok {
		ts.Fatalf("no such answer: %s", args[0])
	}
	worldOf(ts).dynamo.Faults(func(c dynamotest.Call) dynamotest.Fault {
		if c.Caller == "test" {
			return dynamotest.Fault{}
		}
		return dynamotest.Fault{Answer: answer, Lost: answer != dynamotest.Truth}
	})
}

// process is the program in the background, with what it has logged.
type process struct {
	cmd   *exec.Cmd
	ended chan error

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed and replaced at each line
}

func spawn(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath("drydock")
	ts.Check(err)
	p := &process{cmd: exec.Command(path, args...), ended: make(chan error, 1), news: make(chan struct{})}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = environ(ts)
	out, err := p.cmd.StdoutPipe()
	ts.Check(err)
	p.cmd.Stderr = p.cmd.Stdout
	ts.Check(p.cmd.Start())
	worldOf(ts).agent = p
	go p.read(out)
}

// environ is the environment that exec would give.
func environ(ts *testscript.TestScript) []string {
	var all []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_STS",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_MAX_ATTEMPTS", "AWS_REGION"} {
		if value := ts.Getenv(name); value != "" {
			all = append(all, name+"="+value)
		}
	}
	return all
}

func (p *process) read(out io.Reader) {
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
	}
	p.ended <- p.cmd.Wait()
}

// count returns how many lines are like that so far, and a channel that is
// closed at the next line.
func (p *process) count(like *regexp.Regexp) (int, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, line := range p.lines {
		if like.MatchString(line) {
			n++
		}
	}
	return n, p.news
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

func await(ts *testscript.TestScript, _ bool, args []string) {
	want := 1
	if len(args) > 1 {
		n, err := strconv.Atoi(strings.TrimPrefix(args[0], "-"))
		ts.Check(err)
		want, args = n, args[1:]
	}
	p, like := worldOf(ts).agent, regexp.MustCompile(args[0])
	deadline := time.After(30 * time.Second)
	for {
		n, news := p.count(like)
		if n >= want {
			return
		}
		select {
		case <-news:
		case err := <-p.ended:
			ts.Fatalf("it ended (%v) without a line like %q:\n%s", err, args[0], p.text())
		case <-deadline:
			ts.Fatalf("no line like %q within 30 s:\n%s", args[0], p.text())
		}
	}
}

func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	p := worldOf(ts).agent
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-p.ended:
		if err != nil {
			ts.Fatalf("it did not end with 0: %v\n%s", err, p.text())
		}
	case <-time.After(5 * time.Second):
		ts.Fatalf("it did not end within 5 s of SIGTERM:\n%s", p.text())
	}
	ts.Logf("%s", p.text())
}

func logged(ts *testscript.TestScript, _ bool, args []string) {
	p := worldOf(ts).agent
	if n, _ := p.count(regexp.MustCompile(args[1])); fmt.Sprint(n) != args[0] {
		ts.Fatalf("%d lines are like %q, not %s:\n%s", n, args[1], args[0], p.text())
	}
}
