package ecstest

import (
	"slices"
	"strconv"
	"strings"
)

// match tells whether an instance, as it was at a moment, is wanted.
type match func(*instance, instanceMoment) bool

// parseFilter reads the part of the cluster query language that this package
// knows: terms joined by "and", each a subject (ec2InstanceId or
// agentConnected), an operator (==, !=, in, !in) and a value or [list]. All
// else is an invalid parameter.
func parseFilter(filter string) (match, error) {
	var terms []match
	for term := range strings.SplitSeq(filter, " and ") {
		if strings.TrimSpace(term) == "" {
			continue
		}
		m, err := parseTerm(term)
		if err != nil {
			return nil, err
		}
		terms = append(terms, m)
	}
	return func(i *instance, m instanceMoment) bool {
		return !slices.ContainsFunc(terms, func(term match) bool { return !term(i, m) })
	}, nil
}

func parseTerm(term string) (match, error) {
	fields := strings.Fields(term)
	if len(fields) < 3 {
		return nil, invalid("Invalid filter: %q", term)
	}
	var subject func(*instance, instanceMoment) string
	switch fields[0] {
	case "ec2InstanceId":
		subject = func(i *instance, _ instanceMoment) string { return i.host.ID }
	case "agentConnected":
		subject = func(_ *instance, m instanceMoment) string { return strconv.FormatBool(m.connected) }
	default:
		return nil, invalid("Invalid filter: unknown subject %q", fields[0])
	}
	values, ok := filterValues(fields[1], strings.Join(fields[2:], " "))
	if !ok {
		return nil, invalid("Invalid filter: %q", term)
	}
	wanted := !strings.HasPrefix(fields[1], "!")
	return func(i *instance, m instanceMoment) bool {
		return slices.Contains(values, subject(i, m)) == wanted
	}, nil
}

// filterValues reads what stands to the right of an operator.
func filterValues(operator, right string) ([]string, bool) {
	switch operator {
	case "==", "!=":
		return []string{right}, !strings.ContainsAny(right, " []")
	case "in", "!in":
		list, open := strings.CutPrefix(right, "[")
		list, closed := strings.CutSuffix(list, "]")
		values := strings.Split(list, ",")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		return values, open && closed
	}
	return nil, false
}
