package dynamotest

import (
	"maps"
	"slices"
	"strings"
)

// Limits of key values, in bytes.
const (
	maxHash  = 2048
	maxRange = 1024
)

type getItem struct {
	TableName      string
	Key            item
	ConsistentRead bool
}

type putItem struct {
	TableName                           string
	Item                                item
	ConditionExpression                 *string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           item
	ReturnValuesOnConditionCheckFailure string
}

type updateItem struct {
	TableName                           string
	Key                                 item
	UpdateExpression                    *string
	ConditionExpression                 *string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           item
	ReturnValuesOnConditionCheckFailure string
}

type deleteItem struct {
	TableName string
	Key       item
}

type query struct {
	TableName                 string
	KeyConditionExpression    *string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues item
	ConsistentRead            bool
	Limit                     *int
	ExclusiveStartKey         item
}

// apply performs one operation; operations happen one after another.
func (s *Server) apply(in request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bill(in.Caller).Calls[in.Op]++
	switch in.Op {
	case "CreateTable":
		return s.create(in)
	case "DescribeTable":
		return s.describe(in)
	case "DescribeTimeToLive":
		return s.describeTTL(in)
	case "UpdateTimeToLive":
		return s.setTTL(in)
	case "DescribeContinuousBackups":
		return s.describeBackups(in)
	case "UpdateContinuousBackups":
		return s.setBackups(in)
	case "GetItem":
		return s.get(in)
	case "PutItem":
		return s.put(in)
	case "UpdateItem":
		return s.update(in)
	case "DeleteItem":
		return s.remove(in)
	case "Query":
		return s.query(in)
	}
	return nil, unknownOperation(in.Op)
}

// data is named for operations on items, which need an ACTIVE table.
func (s *Server) data(in request, into any) (*table, error) {
	t, err := s.named(in, into)
	if err == nil && s.status(t) != "ACTIVE" {
		return nil, notFound("Requested resource not found")
	}
	return t, err
}

func (s *Server) get(in request) (any, error) {
	var p getItem
	t, err := s.data(in, &p)
	if err != nil {
		return nil, err
	}
	hash, rng, err := t.key(p.Key)
	if err != nil {
		return nil, err
	}
	found := t.items[hash][rng]
	s.bill(in.Caller).read(found.size(), p.ConsistentRead)
	if found == nil {
		return object{}, nil
	}
	return object{"Item": found}, nil
}

func (s *Server) put(in request) (any, error) {
	var p putItem
	t, err := s.data(in, &p)
	if err != nil {
		return nil, err
	}
	e, err := newExpressions(p.ExpressionAttributeNames, p.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	allowed, err := e.condition(p.ConditionExpression)
	if err != nil {
		return nil, err
	}
	if err := e.finish(); err != nil {
		return nil, err
	}
	hash, rng, err := t.keyIn(p.Item)
	if err != nil {
		return nil, err
	}
	if p.Item.size() > maxItem {
		return nil, invalid("Item size has exceeded the maximum allowed size")
	}
	return s.store(in, t, write{hash, rng, p.Item, allowed, p.ReturnValuesOnConditionCheckFailure})
}

func (s *Server) update(in request) (any, error) {
	var p updateItem
	t, err := s.data(in, &p)
	if err != nil {
		return nil, err
	}
	e, err := newExpressions(p.ExpressionAttributeNames, p.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	set, err := e.update(p.UpdateExpression)
	if err != nil {
		return nil, err
	}
	allowed, err := e.condition(p.ConditionExpression)
	if err != nil {
		return nil, err
	}
	if err := e.finish(); err != nil {
		return nil, err
	}
	hash, rng, err := t.key(p.Key)
	if err != nil {
		return nil, err
	}
	for name := range set {
		if name == t.hash || name == t.rng {
			return nil, invalid("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", name)
		}
	}
	next := maps.Clone(p.Key) // an update of what is not there creates it
	maps.Copy(next, t.items[hash][rng])
	maps.Copy(next, set)
	return s.store(in, t, write{hash, rng, next, allowed, p.ReturnValuesOnConditionCheckFailure})
}

// write is an item on its way into the table.
type write struct {
	hash, rng string
	next      item
	allowed   condition
	onFailure string // ReturnValuesOnConditionCheckFailure
}

// store checks the condition, then the size, and writes the item.
func (s *Server) store(in request, t *table, w write) (any, error) {
	if w.onFailure != "" && w.onFailure != "NONE" && w.onFailure != "ALL_OLD" {
		return nil, invalid("ReturnValuesOnConditionCheckFailure %q", w.onFailure)
	}
	before, bill := t.items[w.hash][w.rng], s.bill(in.Caller)
	if !w.allowed(before) {
		bill.Conflicts++
		bill.write(before, nil)
		if w.onFailure != "ALL_OLD" {
			before = nil
		}
		return nil, conditionFailed(before)
	}
	if w.next.size() > maxItem {
		return nil, invalid("Item size to update has exceeded the maximum allowed size")
	}
	bill.write(before, w.next)
	if t.items[w.hash] == nil {
		t.items[w.hash] = make(map[string]item)
	}
	t.items[w.hash][w.rng] = w.next
	return object{}, nil
}

func (s *Server) remove(in request) (any, error) {
	var p deleteItem
	t, err := s.data(in, &p)
	if err != nil {
		return nil, err
	}
	hash, rng, err := t.key(p.Key)
	if err != nil {
		return nil, err
	}
	s.bill(in.Caller).write(t.items[hash][rng], nil)
	delete(t.items[hash], rng)
	return object{}, nil
}

func (s *Server) query(in request) (any, error) {
	var p query
	t, err := s.data(in, &p)
	if err != nil {
		return nil, err
	}
	e, err := newExpressions(p.ExpressionAttributeNames, p.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	hash, prefix, err := e.keys(p.KeyConditionExpression, t)
	if err != nil {
		return nil, err
	}
	if err := e.finish(); err != nil {
		return nil, err
	}
	after, err := t.start(p.ExclusiveStartKey, hash, prefix)
	if err != nil {
		return nil, err
	}
	if p.Limit != nil && *p.Limit < 1 {
		return nil, invalid("Limit %d is less than 1", *p.Limit)
	}
	found, bytes, more := t.page(hash, prefix, after, p.Limit)
	s.bill(in.Caller).read(bytes, p.ConsistentRead)
	out := object{"Items": found, "Count": len(found), "ScannedCount": len(found)}
	if more {
		last := found[len(found)-1]
		out["LastEvaluatedKey"] = item{t.hash: last[t.hash], t.rng: last[t.rng]}
	}
	return out, nil
}

// page returns the items behind a sort key, in order, up to the limit or to
// the first that fills the page, and whether it stopped for one of them.
func (t *table) page(hash, prefix, after string, limit *int) (found []item, bytes int, more bool) {
	found = []item{}
	items := t.items[hash]
	for _, rng := range slices.Sorted(maps.Keys(items)) {
		if !strings.HasPrefix(rng, prefix) || after != "" && rng <= after {
			continue
		}
		found = append(found, items[rng])
		bytes += items[rng].size()
		if bytes >= maxPage || limit != nil && len(found) == *limit {
			return found, bytes, true
		}
	}
	return found, bytes, false
}

// start returns the sort key to begin behind, "" to begin at the first.
func (t *table) start(from item, hash, prefix string) (string, error) {
	if from == nil {
		return "", nil
	}
	h, rng, err := t.key(from)
	if err != nil {
		return "", err
	}
	if h != hash || !strings.HasPrefix(rng, prefix) {
		return "", invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	return rng, nil
}

// key reads a key: the key attributes and nothing else.
func (t *table) key(from item) (hash, rng string, err error) {
	want := 1
	if t.rng != "" {
		want = 2
	}
	if len(from) != want {
		return "", "", invalid("The provided key element does not match the schema")
	}
	return t.keyIn(from)
}

// keyIn reads the key attributes of an item.
func (t *table) keyIn(it item) (hash, rng string, err error) {
	if err := it.check(); err != nil {
		return "", "", err
	}
	if hash, err = keyPart(it, t.hash, maxHash); err != nil || t.rng == "" {
		return hash, "", err
	}
	rng, err = keyPart(it, t.rng, maxRange)
	return hash, rng, err
}

func keyPart(it item, name string, limit int) (string, error) {
	v, ok := it[name]
	switch {
	case !ok:
		return "", invalid("One or more parameter values were invalid: Missing the key %s in the item", name)
	case v.S == nil:
		return "", invalid("One or more parameter values were invalid: Type mismatch for key %s expected: S actual: %s", name, v)
	case *v.S == "":
		return "", invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
	case len(*v.S) > limit:
		return "", invalid("One or more parameter values were invalid: the value of key %s exceeds %d bytes", name, limit)
	}
	return *v.S, nil
}
