package ec2test

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Limits of EC2.
const (
	minPage    = 5
	maxPage    = 1000
	maxValues  = 200
	requestMax = 1 << 20
)

const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// refusal is an error of EC2.
type refusal struct {
	status        int
	code, message string
}

// ServeHTTP is EC2's endpoint.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, requestMax))
	if err != nil {
		return
	}
	caller, signed := signedBy(r, a.region)
	if !signed {
		answerError(w, refusal{http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"})
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		answerError(w, refusal{http.StatusBadRequest, "InvalidRequest", "The request received was invalid."})
		return
	}
	q, wrong := readQuestion(string(body))
	if wrong.code != "" {
		answerError(w, wrong)
		return
	}
	fault := a.note(Call{caller, q.ids, q.page})
	switch {
	case fault.Drop:
		hangUp(w)
	case fault.Code != "":
		answerError(w, refusal{cmp.Or(fault.Status, http.StatusBadRequest), fault.Code, fault.Message})
	case fault.Body != "":
		w.WriteHeader(cmp.Or(fault.Status, http.StatusOK))
		_, _ = io.WriteString(w, fault.Body)
	default:
		rows, more := a.found(q.ids, q.page, q.size)
		if fault.Blind {
			rows = slices.DeleteFunc(rows, func(r row) bool { return r.ID != caller })
		}
		answerPage(w, rows, more, q.page)
	}
}

// question is a request that makes sense.
type question struct {
	ids        []string
	page, size int
}

// readQuestion reads a form as strictly as EC2 does.
func readQuestion(body string) (question, refusal) {
	q := question{size: maxPage}
	form, err := url.ParseQuery(body)
	switch {
	case err != nil:
		return q, refusal{http.StatusBadRequest, "InvalidRequest", err.Error()}
	case form.Get("Action") != "DescribeInstances":
		return q, refusal{http.StatusBadRequest, "InvalidAction", fmt.Sprintf("The action %s is not valid for this web service.", form.Get("Action"))}
	case form.Get("Version") != "2016-11-15":
		return q, refusal{http.StatusBadRequest, "NoSuchVersion", fmt.Sprintf("The requested version (%s) of service AmazonEC2 does not exist", form.Get("Version"))}
	case form.Get("Filter.1.Name") != "instance-id":
		return q, refusal{http.StatusBadRequest, "InvalidParameterValue", "The filter is not known here"}
	}
	for i := 1; form.Has("Filter.1.Value." + strconv.Itoa(i)); i++ {
		q.ids = append(q.ids, form.Get("Filter.1.Value."+strconv.Itoa(i)))
	}
	if len(q.ids) == 0 || len(q.ids) > maxValues {
		return q, refusal{http.StatusBadRequest, "FilterLimitExceeded", fmt.Sprintf("A filter has 1 to %d values", maxValues)}
	}
	if text := form.Get("MaxResults"); text != "" {
		if q.size, err = strconv.Atoi(text); err != nil || q.size < minPage || q.size > maxPage {
			return q, refusal{http.StatusBadRequest, "InvalidParameterValue", "MaxResults is out of its range"}
		}
	}
	if text := form.Get("NextToken"); text != "" {
		if _, err := fmt.Sscanf(text, "page-%d", &q.page); err != nil {
			return q, refusal{http.StatusBadRequest, "InvalidNextToken", "The token is not valid"}
		}
	}
	// Every parameter that is none of these is one too many.
	if extra := len(form) - len(q.ids) - 3 - count(form, "MaxResults", "NextToken"); extra != 0 {
		return q, refusal{http.StatusBadRequest, "UnknownParameter", "The request has parameters that are not recognized"}
	}
	return q, refusal{}
}

func count(form url.Values, names ...string) (n int) {
	for _, name := range names {
		if form.Has(name) {
			n++
		}
	}
	return n
}

// row is an instance in an answer.
type row struct {
	ID    string `xml:"instanceId"`
	State string `xml:"instanceState>name"`
}

// answerPage writes a page in EC2's own shape: each instance in a reservation
// of its own, as those of an Auto Scaling group often are.
func answerPage(w http.ResponseWriter, rows []row, more bool, page int) {
	type reservation struct {
		ID        string `xml:"reservationId"`
		Instances []row  `xml:"instancesSet>item"`
	}
	type set struct {
		Items []reservation `xml:"item"`
	}
	out := struct {
		XMLName      xml.Name `xml:"DescribeInstancesResponse"`
		Namespace    string   `xml:"xmlns,attr"`
		RequestID    string   `xml:"requestId"`
		Reservations set      `xml:"reservationSet"`
		NextToken    string   `xml:"nextToken,omitempty"`
	}{Namespace: namespace, RequestID: "00000000-0000-0000-0000-000000000000"}
	for _, r := range rows {
		out.Reservations.Items = append(out.Reservations.Items, reservation{"r-" + r.ID, []row{r}})
	}
	if more {
		out.NextToken = fmt.Sprintf("page-%d", page+1)
	}
	answer(w, http.StatusOK, out)
}

func answerError(w http.ResponseWriter, r refusal) {
	type fault struct {
		Code, Message string
	}
	answer(w, r.status, struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []fault  `xml:"Errors>Error"`
		RequestID string
	}{Errors: []fault{{r.code, r.message}}, RequestID: "00000000-0000-0000-0000-000000000000"})
}

func answer(w http.ResponseWriter, status int, document any) {
	body, err := xml.Marshal(document)
	if err != nil {
		hangUp(w)
		return
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, xml.Header+string(body))
}

// hangUp closes the connection without an answer.
func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }
