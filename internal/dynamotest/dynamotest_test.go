package dynamotest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	scope        = "AWS4-HMAC-SHA256 Credential=ada/20260203/eu-north-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00"
	drydockTable = `{"TableName":"drydock","AttributeDefinitions":[{"AttributeName":"fleet","AttributeType":"S"},{"AttributeName":"item","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"fleet","KeyType":"HASH"},{"AttributeName":"item","KeyType":"RANGE"}],"BillingMode":"PAY_PER_REQUEST"}`
	lockKey = `"Key":{"fleet":{"S":"f"},"item":{"S":"lock"}}`
)

// post sends one request and returns status and body.
func post(t *testing.T, s *Server, op, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+op)
	r.Header.Set("Authorization", scope)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if got, want := w.Header().Get("X-Amz-Crc32"), fmt.Sprint(crc32.ChecksumIEEE(w.Body.Bytes())); got != want {
		t.Errorf("%s: checksum %s, want %s", op, got, want)
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s: body %q is no JSON", op, w.Body)
	}
	return w.Code, w.Body.String()
}

// well posts what must be accepted.
func well(t *testing.T, s *Server, op, body string) string {
	t.Helper()
	code, answer := post(t, s, op, body)
	if code != http.StatusOK {
		t.Fatalf("%s: %d %s", op, code, answer)
	}
	return answer
}

func withTable(t *testing.T) *Server {
	t.Helper()
	s := New()
	well(t, s, "CreateTable", drydockTable)
	return s
}

// TestStrict: whatever is not known is an error that names it.
func TestStrict(t *testing.T) {
	put := func(rest string) string {
		return `{"TableName":"drydock","Item":{"fleet":{"S":"f"},"item":{"S":"i"}` + rest + `}`
	}
	update := func(expression, rest string) string {
		return `{"TableName":"drydock",` + lockKey + `,"UpdateExpression":"` + expression + `"` + rest + `}`
	}
	query := func(rest string) string { return `{"TableName":"drydock"` + rest + `}` }
	const names, values = `,"ExpressionAttributeNames":{"#a":"a"}`, `,"ExpressionAttributeValues":{":v":{"S":"v"}}`
	refused(t, []refusal{
		{"Scan", `{"TableName":"drydock"}`, "UnknownOperationException;Scan"},
		{"TransactWriteItems", `{}`, "UnknownOperationException;TransactWriteItems"},
		{"GetItem", `{"TableName":"drydock",` + lockKey + `,"ProjectionExpression":"a"}`, "ValidationException;ProjectionExpression"},
		{"GetItem", `{"TableName":"drydock",` + lockKey + `,"ConsistentRead":"yes"}`, "ValidationException;ConsistentRead"},
		{"GetItem", `{"TableName":"drydock",` + lockKey + `}{}`, "ValidationException;more than one"},
		{"GetItem", `not JSON`, "ValidationException;invalid character"},
		{"GetItem", `{"TableName":"drydock","Key":{"fleet":{"S":"f"}}}`, "ValidationException;does not match the schema"},
		{"GetItem", `{"TableName":"drydock","Key":{"fleet":{"S":"f"},"other":{"S":"i"}}}`, "ValidationException;Missing the key item"},
		{"GetItem", `{"TableName":"other",` + lockKey + `}`, "ResourceNotFoundException;other"},
		{"PutItem", put(`,"a":{"BOOL":true}}`), "ValidationException;BOOL"},
		{"PutItem", put(`,"a":{"M":{}}}`), "ValidationException;M"},
		{"PutItem", put(`,"a":{}}`), "ValidationException;attribute a"},
		{"PutItem", put(`,"a":{"S":"x","N":"1"}}`), "ValidationException;attribute a"},
		{"PutItem", put(`,"a":{"N":"1.5"}}`), "ValidationException;1.5"},
		{"PutItem", put(`,"a":{"N":"007"}}`), "ValidationException;007"},
		{"PutItem", put(`},"ReturnValues":"ALL_OLD"`), "ValidationException;ReturnValues"},
		{"PutItem", put(`},"ReturnValuesOnConditionCheckFailure":"SOME"`), "ValidationException;SOME"},
		{"PutItem", put(`},"ConditionExpression":"attribute_exists(#a)"` + names), "ValidationException;attribute_exists"},
		{"PutItem", put(`},"ConditionExpression":"attribute_not_exists(a)"`), "ValidationException;attribute_not_exists(a)"},
		{"PutItem", put(`},"ConditionExpression":"attribute_not_exists(#b)"` + names), "ValidationException;#b"},
		{"PutItem", put(`},"ConditionExpression":"#a = :w"` + names + values), "ValidationException;:w"},
		{"PutItem", put(`},"ConditionExpression":"#a = :v OR #a = :v"` + names + values), "ValidationException;OR"},
		{"PutItem", put(`},"ConditionExpression":"#a < :v"` + names + values), "ValidationException"},
		{"PutItem", put(`},"ConditionExpression":""`), "ValidationException"},
		{"PutItem", put(`}` + names), "ValidationException;#a"},
		{"PutItem", put(`}` + values), "ValidationException;:v"},
		{"PutItem", put(`},"ExpressionAttributeNames":{}`), "ValidationException;must not be empty"},
		{"PutItem", `{"TableName":"drydock","Item":{"fleet":{"S":"f"}}}`, "ValidationException;Missing the key item"},
		{"PutItem", `{"TableName":"drydock","Item":{"fleet":{"S":"f"},"item":{"N":"1"}}}`, "ValidationException;Type mismatch"},
		{"PutItem", `{"TableName":"drydock","Item":{"fleet":{"S":"f"},"item":{"S":""}}}`, "ValidationException;empty string"},
		{"PutItem", `{"TableName":"drydock","Item":{"fleet":{"S":"` + strings.Repeat("f", 2049) + `"},"item":{"S":"i"}}}`, "ValidationException;2048"},
		{"UpdateItem", update("SET #a = :v", names+values+`,"ReturnValues":"ALL_NEW"`), "ValidationException;ReturnValues"},
		{"UpdateItem", update("SET #a = :v + :v", names+values), "ValidationException;+"},
		{"UpdateItem", update("SET #a = if_not_exists(#a, :v)", names+values), "ValidationException;if_not_exists"},
		{"UpdateItem", update("SET #a = :v #a = :v", names+values), "ValidationException"},
		{"UpdateItem", update("SET #a = :v,", names+values), "ValidationException"},
		{"UpdateItem", update("SET #a = :v, #a = :v", names+values), "ValidationException;overlap"},
		{"UpdateItem", update("SET", ""), "ValidationException"},
		{"UpdateItem", update("ADD #a :v", names+values), "ValidationException;ADD"},
		{"UpdateItem", update("REMOVE #a", names), "ValidationException;REMOVE"},
		{"UpdateItem", update("SET #a = :v", `,"ExpressionAttributeNames":{"#a":"fleet"}`+values), "ValidationException;part of the key"},
		{"UpdateItem", `{"TableName":"drydock",` + lockKey + `}`, "ValidationException;UpdateExpression"},
		{"Query", query(``), "ValidationException;KeyConditionExpression"},
		{"Query", query(`,"KeyConditionExpression":"#a = :v"` + names + values), "ValidationException;#a = :v"},
		{"Query", query(`,"KeyConditionExpression":"#a = :v AND begins_with(#a, :v)"` + names + values), "ValidationException;fleet and item"},
		{"Query", query(`,"FilterExpression":"#a = :v"` + names + values), "ValidationException;FilterExpression"},
		{"Query", query(`,"IndexName":"x"`), "ValidationException;IndexName"},
	})
}

func TestStrictTables(t *testing.T) {
	refused(t, []refusal{
		{"CreateTable", strings.Replace(drydockTable, "PAY_PER_REQUEST", "PROVISIONED", 1), "ValidationException;PROVISIONED"},
		{"CreateTable", strings.Replace(drydockTable, `Type":"S"`, `Type":"B"`, 1), "ValidationException;B"},
		{"CreateTable", strings.Replace(drydockTable, "RANGE", "HASH", 1), "ValidationException;HASH"},
		{"CreateTable", strings.Replace(drydockTable, `"drydock"`, `"a/b"`, 1), "ValidationException;a/b"},
		{"CreateTable", strings.Replace(drydockTable, `{"TableName"`, `{"Tags":[],"TableName"`, 1), "ValidationException;Tags"},
		{"CreateTable", drydockTable, "ResourceInUseException;drydock"},
		{"UpdateTimeToLive", `{"TableName":"drydock","TimeToLiveSpecification":{"AttributeName":"e","Enabled":false}}`, "ValidationException;off"},
		{"UpdateContinuousBackups", `{"TableName":"drydock","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true,"RecoveryPeriodInDays":7}}`, "ValidationException;RecoveryPeriodInDays"},
	})
}

// refusal is a call and what its error must name: type and word.
type refusal struct{ op, body, want string }

func refused(t *testing.T, tests []refusal) {
	t.Helper()
	for _, test := range tests {
		code, body := post(t, withTable(t), test.op, test.body)
		kind, word, _ := strings.Cut(test.want, ";")
		if code != http.StatusBadRequest || !strings.Contains(body, "#"+kind+`"`) || !strings.Contains(unescape(body), word) {
			t.Errorf("%s %s: %d %s, want %s", test.op, test.body, code, body, test.want)
		}
	}
}

// unescape undoes JSON's escapes of < > & and quotes.
func unescape(body string) string {
	var e struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal([]byte(body), &e)
	return e.Message
}

func TestEnvelope(t *testing.T) {
	tests := []struct {
		name   string
		change func(*http.Request)
		want   string
	}{
		{"method", func(r *http.Request) { r.Method = http.MethodGet }, "UnknownOperationException"},
		{"path", func(r *http.Request) { r.URL.Path = "/x" }, "UnknownOperationException"},
		{"content type", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-amz-json-1.1") }, "UnknownOperationException"},
		{"service", func(r *http.Request) { r.Header.Set("X-Amz-Target", "AmazonSSM.GetItem") }, "UnknownOperationException"},
		{"unsigned", func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException"},
		{"signed for another", func(r *http.Request) { r.Header.Set("Authorization", strings.Replace(scope, "/dynamodb/", "/ecs/", 1)) }, "InvalidSignatureException"},
		{"too long", func(r *http.Request) { r.Body = http.MaxBytesReader(nil, r.Body, 1) }, "SerializationException"},
	}
	for _, test := range tests {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{}`))
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.GetItem")
		r.Header.Set("Authorization", scope)
		test.change(r)
		w := httptest.NewRecorder()
		withTable(t).ServeHTTP(w, r)
		if w.Code < 400 || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s, want %s", test.name, w.Code, w.Body, test.want)
		}
	}
}

// TestItems walks one item through its operations and looks at the answers on
// the wire.
func TestItems(t *testing.T) {
	s := withTable(t)
	if got := well(t, s, "GetItem", `{"TableName":"drydock",`+lockKey+`}`); got != `{}` {
		t.Errorf("get of nothing: %s", got)
	}
	well(t, s, "UpdateItem", `{"TableName":"drydock",`+lockKey+`,"UpdateExpression":"SET #a=:v , #b = :w",
		"ExpressionAttributeNames":{"#a":"a","#b":"b"},"ExpressionAttributeValues":{":v":{"S":"x"},":w":{"N":"-12"}}}`)
	want := `{"Item":{"a":{"S":"x"},"b":{"N":"-12"},"fleet":{"S":"f"},"item":{"S":"lock"}}}`
	if got := well(t, s, "GetItem", `{"TableName":"drydock",`+lockKey+`}`); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	condition := `"ConditionExpression":"#a = :v","ExpressionAttributeNames":{"#a":"a"},"ExpressionAttributeValues":{":v":{"S":"y"}}`
	put := `{"TableName":"drydock","Item":{"fleet":{"S":"f"},"item":{"S":"lock"}},` + condition
	if _, got := post(t, s, "PutItem", put+`}`); !strings.Contains(got, "ConditionalCheckFailedException") || strings.Contains(got, "Item") {
		t.Errorf("failed condition: %s", got)
	}
	if _, got := post(t, s, "PutItem", put+`,"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`); !strings.Contains(got, `"Item":{"a":{"S":"x"}`) {
		t.Errorf("failed condition with the item: %s", got)
	}
	well(t, s, "DeleteItem", `{"TableName":"drydock",`+lockKey+`}`)
	well(t, s, "DeleteItem", `{"TableName":"drydock",`+lockKey+`}`)
	if got := well(t, s, "GetItem", `{"TableName":"drydock",`+lockKey+`}`); got != `{}` {
		t.Errorf("get of what was deleted: %s", got)
	}
}

func TestQueryPages(t *testing.T) {
	s := withTable(t)
	for _, sortKey := range []string{"host#3", "host#1", "lock", "host#2", "event#1"} {
		well(t, s, "PutItem", `{"TableName":"drydock","Item":{"fleet":{"S":"f"},"item":{"S":"`+sortKey+`"}}}`)
	}
	query := func(rest string) string {
		return `{"TableName":"drydock","KeyConditionExpression":"#f = :f AND begins_with(#i, :p)","ExpressionAttributeNames":{"#f":"fleet","#i":"item"},
			"ExpressionAttributeValues":{":f":{"S":"f"},":p":{"S":"host#"}}` + rest + `}`
	}
	start := func(sortKey string) string {
		return `,"ExclusiveStartKey":{"fleet":{"S":"f"},"item":{"S":"` + sortKey + `"}}`
	}
	row := func(n string) string { return `{"fleet":{"S":"f"},"item":{"S":"host#` + n + `"}}` }
	tests := []struct{ rest, want string }{
		{``, `{"Count":3,"Items":[` + row("1") + `,` + row("2") + `,` + row("3") + `],"ScannedCount":3}`},
		{`,"Limit":2`, `{"Count":2,"Items":[` + row("1") + `,` + row("2") + `],"LastEvaluatedKey":` + row("2") + `,"ScannedCount":2}`},
		{`,"Limit":2` + start("host#2"), `{"Count":1,"Items":[` + row("3") + `],"ScannedCount":1}`},
		{start("host#3"), `{"Count":0,"Items":[],"ScannedCount":0}`},
	}
	for _, test := range tests {
		if got := well(t, s, "Query", query(test.rest)); got != test.want {
			t.Errorf("query %s: %s\nwant %s", test.rest, got, test.want)
		}
	}
	for _, rest := range []string{`,"Limit":0`, start("lock"), `,"ExclusiveStartKey":{"fleet":{"S":"f"}}`} {
		if code, got := post(t, s, "Query", query(rest)); code != http.StatusBadRequest {
			t.Errorf("query %s: %s", rest, got)
		}
	}
}

// TestUsage: what calls cost, by caller.
func TestUsage(t *testing.T) {
	s := withTable(t)
	s.ResetUsage()
	put := func(bytes int) string {
		return `{"TableName":"drydock","Item":{"fleet":{"S":"f"},"item":{"S":"lock"},"a":{"S":"` + strings.Repeat("x", bytes) + `"}}}`
	}
	steps := []struct {
		op, body      string
		reads, writes float64
	}{
		{"PutItem", put(2000), 0, 2},
		{"PutItem", put(10), 0, 2}, // the larger of before and after
		{"PutItem", put(5000), 0, 5},
		{"GetItem", `{"TableName":"drydock","ConsistentRead":true,` + lockKey + `}`, 2, 0},
		{"GetItem", `{"TableName":"drydock",` + lockKey + `}`, 1, 0},
		{"GetItem", `{"TableName":"drydock","ConsistentRead":true,"Key":{"fleet":{"S":"f"},"item":{"S":"none"}}}`, 1, 0},
		{"PutItem", strings.TrimSuffix(put(1), "}") + `,"ConditionExpression":"attribute_not_exists(#f)","ExpressionAttributeNames":{"#f":"fleet"}}`, 0, 5},
	}
	for _, step := range steps {
		before := s.Usage("ada")
		post(t, s, step.op, step.body)
		after := s.Usage("ada")
		if r, w := after.Reads-before.Reads, after.Writes-before.Writes; r != step.reads || w != step.writes {
			t.Errorf("%.100s costs %v reads, %v writes; want %v, %v", step.body, r, w, step.reads, step.writes)
		}
	}
	all := s.Usage()
	if all.Calls["PutItem"] != 4 || all.Conflicts != 1 || s.Usage("bob").Writes != 0 {
		t.Errorf("usage %+v", all)
	}
}

// get is a read by an SDK client, once.
func get(ctx context.Context, client *dynamodb.Client) error {
	_, err := client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("drydock"), Key: map[string]types.AttributeValue{
		"fleet": &types.AttributeValueMemberS{Value: "f"}, "item": &types.AttributeValueMemberS{Value: "lock"},
	}})
	return err
}

func once(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// TestFaultsOnARealConnection: dropped and hung answers look to a client as
// they would on a network.
func TestFaultsOnARealConnection(t *testing.T) {
	s := withTable(t)
	listener := httptest.NewServer(s)
	defer listener.Close()
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-north-1", BaseEndpoint: aws.String(listener.URL),
		Credentials: credentials.NewStaticCredentialsProvider("bob", "secret", ""),
	}, once)
	var answer atomic.Int64
	var seen atomic.Pointer[Call]
	s.Faults(func(call Call) Fault {
		seen.Store(&call)
		return Fault{Answer: Answer(answer.Load())}
	})
	if err := get(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if call := *seen.Load(); call.Caller != "bob" || call.Op != "GetItem" || call.Table != "drydock" || call.Item != "lock" || call.Write {
		t.Errorf("call %+v", call)
	}
	for _, test := range []struct {
		answer Answer
		want   string
	}{{Throttled, "ThrottlingException"}, {Denied, "AccessDeniedException"}, {Failed, "InternalServerError"}, {Dropped, "EOF"}} {
		answer.Store(int64(test.answer))
		if err := get(t.Context(), client); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v", test, err)
		}
	}
	answer.Store(int64(Hung))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := get(ctx, client); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hung: %v", err)
	}
}

// TestDirect: the client without a socket sees the same, in virtual time.
func TestDirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withTable(t)
		client := s.Client("bob", once)
		for _, test := range []struct {
			fault Fault
			want  string
		}{
			{Fault{}, ""},
			{Fault{Lost: true}, "connection reset"},
			{Fault{Answer: Dropped}, "connection reset"},
			{Fault{Answer: Hung}, "deadline exceeded"},
			{Fault{Latency: time.Minute}, "deadline exceeded"},
			{Fault{Latency: time.Second}, ""},
		} {
			s.Faults(func(Call) Fault { return test.fault })
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			err := get(ctx, client)
			cancel()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: %v, want %q", test.fault, err, test.want)
			}
		}
	})
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withTable(t)
		s.Cut("bob", true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := get(ctx, s.Client("bob")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who is cut off: %v", err)
		}
		if err := get(t.Context(), s.Client("ada")); err != nil {
			t.Errorf("another: %v", err)
		}
		s.Cut("bob", false)
		if err := get(t.Context(), s.Client("bob")); err != nil {
			t.Errorf("after the cut: %v", err)
		}
		if n := s.Usage("bob").Calls["GetItem"]; n != 1 {
			t.Errorf("%d calls of bob arrived", n)
		}
	})
}

// TestTableIsUsableWhenActive: before that there is nothing to find.
func TestTableIsUsableWhenActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		s.CreateFor = time.Minute
		well(t, s, "CreateTable", drydockTable)
		if err := get(t.Context(), s.Client("ada")); err == nil {
			t.Error("a table that is CREATING answers")
		}
		time.Sleep(time.Minute)
		if err := get(t.Context(), s.Client("ada")); err != nil {
			t.Error(err)
		}
	})
}
