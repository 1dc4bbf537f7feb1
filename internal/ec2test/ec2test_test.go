package ec2test_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/drydock-ecs/drydock/internal/ec2test"
)

const (
	signature = "AWS4-HMAC-SHA256 Credential=AKIA/20261123/eu-west-1/ec2/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date, Signature=00"
	question  = "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=instance-id&Filter.1.Value.1=i-1&MaxResults=1000"
)

func ask(a *ec2test.Account, method, auth, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", auth)
	r.Header.Set("X-Amz-Date", "20261123T080000Z")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// What the real EC2 would refuse is refused, and is no call.
func TestRefusals(t *testing.T) {
	change := func(name, value string) string {
		form, err := url.ParseQuery(question)
		if err != nil {
			t.Fatal(err)
		}
		form.Set(name, value)
		if value == "" {
			form.Del(name)
		}
		return form.Encode()
	}
	a := ec2test.New("eu-west-1")
	for _, test := range []struct{ name, method, auth, body, code string }{
		{"unsigned", "POST", "", question, "AuthFailure"},
		{"signed for another Region", "POST", strings.Replace(signature, "eu-west-1", "eu-west-2", 1), question, "AuthFailure"},
		{"signed for another service", "POST", strings.Replace(signature, "/ec2/", "/ecs/", 1), question, "AuthFailure"},
		{"body not signed", "POST", strings.Replace(signature, "content-type;", "", 1), question, "AuthFailure"},
		{"GET", "GET", signature, question, "InvalidRequest"},
		{"another action", "POST", signature, change("Action", "RunInstances"), "InvalidAction"},
		{"another version", "POST", signature, change("Version", "2015-01-01"), "NoSuchVersion"},
		{"no filter", "POST", signature, change("Filter.1.Name", ""), "InvalidParameterValue"},
		{"no ids", "POST", signature, change("Filter.1.Value.1", ""), "FilterLimitExceeded"},
		{"a small page", "POST", signature, change("MaxResults", "4"), "InvalidParameterValue"},
		{"a strange token", "POST", signature, change("NextToken", "x"), "InvalidNextToken"},
		{"one parameter more", "POST", signature, change("InstanceId.1", "i-1"), "UnknownParameter"},
	} {
		w := ask(a, test.method, test.auth, test.body)
		if w.Code == http.StatusOK || !strings.Contains(w.Body.String(), "<Code>"+test.code+"</Code>") {
			t.Errorf("%s: %d %s, want %s", test.name, w.Code, w.Body, test.code)
		}
	}
	if n := len(a.Calls()); n > 0 {
		t.Errorf("%d calls are counted", n)
	}
}

func TestAnswer(t *testing.T) {
	a := ec2test.New("eu-west-1")
	a.Set("i-1", "running")
	a.Set("AKIA", "running")
	want := func(name, part string) {
		t.Helper()
		if w := ask(a, "POST", signature, question+"&Filter.1.Value.2=AKIA"); !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: %d %s, want %s", name, w.Code, w.Body, part)
		}
	}
	want("known", "<item><instanceId>i-1</instanceId><instanceState><name>running</name></instanceState></item>")
	a.SetFault(func(ec2test.Call) ec2test.Fault { return ec2test.Fault{Blind: true} })
	want("blind", "<reservationSet><item><reservationId>r-AKIA</reservationId>")
	a.SetFault(nil)
	a.Forget("i-1")
	a.Forget("AKIA")
	want("forgotten", "<reservationSet></reservationSet>")
}
