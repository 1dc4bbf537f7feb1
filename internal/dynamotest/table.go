package dynamotest

import (
	"regexp"
	"time"
)

// table is one table with its items by hash and range key.
type table struct {
	hash, rng string // names of the key attributes; rng "" without
	request   createTable
	created   time.Time
	ttl       string // attribute, "" when off
	recovery  bool
	items     map[string]map[string]item
}

type attributeDefinition struct{ AttributeName, AttributeType string }

type keyElement struct{ AttributeName, KeyType string }

type createTable struct {
	TableName                 string
	AttributeDefinitions      []attributeDefinition
	KeySchema                 []keyElement
	BillingMode               string
	DeletionProtectionEnabled bool
}

type tableName struct{ TableName string }

type timeToLive struct {
	TableName               string
	TimeToLiveSpecification struct {
		AttributeName string
		Enabled       bool
	}
}

type continuousBackups struct {
	TableName                        string
	PointInTimeRecoverySpecification struct{ PointInTimeRecoveryEnabled bool }
}

// object is an answer in the making.
type object = map[string]any

var validName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// create makes a table with string keys, paid per request.
func (s *Server) create(in request) (any, error) {
	var p createTable
	if err := decode(in.body, &p); err != nil {
		return nil, err
	}
	t, err := newTable(p)
	if err != nil {
		return nil, err
	}
	if s.tables[p.TableName] != nil {
		return nil, inUse("Table already exists: " + p.TableName)
	}
	s.tables[p.TableName] = t
	return object{"TableDescription": s.description(t)}, nil
}

func newTable(p createTable) (*table, error) {
	if !validName.MatchString(p.TableName) {
		return nil, invalid("TableName %q", p.TableName)
	}
	if p.BillingMode != "PAY_PER_REQUEST" {
		return nil, invalid("BillingMode %q is not known to this stand-in", p.BillingMode)
	}
	kinds := make(map[string]string)
	for _, d := range p.AttributeDefinitions {
		kinds[d.AttributeName] = d.AttributeType
	}
	t := &table{request: p, created: time.Now(), items: make(map[string]map[string]item)}
	for i, k := range p.KeySchema {
		if kinds[k.AttributeName] != "S" {
			return nil, invalid("key %s of type %q is not known to this stand-in", k.AttributeName, kinds[k.AttributeName])
		}
		delete(kinds, k.AttributeName)
		switch {
		case i == 0 && k.KeyType == "HASH":
			t.hash = k.AttributeName
		case i == 1 && k.KeyType == "RANGE":
			t.rng = k.AttributeName
		default:
			return nil, invalid("Invalid KeySchema: element %d is %s", i, k.KeyType)
		}
	}
	if t.hash == "" || len(kinds) > 0 {
		return nil, invalid("the number of attributes in KeySchema does not match the number of attributes in AttributeDefinitions")
	}
	return t, nil
}

func (s *Server) describe(in request) (any, error) {
	t, err := s.named(in, &tableName{})
	if err != nil {
		return nil, err
	}
	return object{"Table": s.description(t)}, nil
}

func (s *Server) description(t *table) object {
	count := 0
	for _, items := range t.items {
		count += len(items)
	}
	return object{
		"TableName":                 t.request.TableName,
		"TableStatus":               s.status(t),
		"AttributeDefinitions":      t.request.AttributeDefinitions,
		"KeySchema":                 t.request.KeySchema,
		"BillingModeSummary":        object{"BillingMode": t.request.BillingMode},
		"DeletionProtectionEnabled": t.request.DeletionProtectionEnabled,
		"CreationDateTime":          float64(t.created.UnixMilli()) / 1000,
		"TableArn":                  "arn:aws:dynamodb:eu-north-1:000000000000:table/" + t.request.TableName,
		"ItemCount":                 count,
	}
}

func (s *Server) status(t *table) string {
	if time.Since(t.created) < s.CreateFor {
		return "CREATING"
	}
	return "ACTIVE"
}

// named decodes parameters whose table must exist.
func (s *Server) named(in request, into any) (*table, error) {
	if err := decode(in.body, into); err != nil {
		return nil, err
	}
	t := s.tables[in.Table]
	if t == nil {
		return nil, notFound("Requested resource not found: Table: " + in.Table + " not found")
	}
	return t, nil
}

func (s *Server) describeTTL(in request) (any, error) {
	t, err := s.named(in, &tableName{})
	if err != nil {
		return nil, err
	}
	ttl := object{"TimeToLiveStatus": "DISABLED"}
	if t.ttl != "" {
		ttl = object{"TimeToLiveStatus": "ENABLED", "AttributeName": t.ttl}
	}
	return object{"TimeToLiveDescription": ttl}, nil
}

// setTTL switches TTL on. Items are not removed by it: DynamoDB promises that
// only within days.
func (s *Server) setTTL(in request) (any, error) {
	var p timeToLive
	t, err := s.named(in, &p)
	switch {
	case err != nil:
		return nil, err
	case !p.TimeToLiveSpecification.Enabled || p.TimeToLiveSpecification.AttributeName == "":
		return nil, invalid("switching TTL off is not known to this stand-in")
	case t.ttl != "":
		return nil, invalid("TimeToLive is already enabled")
	case s.status(t) != "ACTIVE":
		return nil, inUse("table " + in.Table + " is not ACTIVE")
	}
	t.ttl = p.TimeToLiveSpecification.AttributeName
	return object{"TimeToLiveSpecification": p.TimeToLiveSpecification}, nil
}

func (s *Server) describeBackups(in request) (any, error) {
	t, err := s.named(in, &tableName{})
	if err != nil {
		return nil, err
	}
	return s.backups(t), nil
}

func (s *Server) backups(t *table) object {
	continuous, recovery := "ENABLED", "DISABLED"
	if time.Since(t.created) < s.BackupsAfter {
		continuous = "DISABLED"
	}
	if t.recovery {
		recovery = "ENABLED"
	}
	return object{"ContinuousBackupsDescription": object{
		"ContinuousBackupsStatus":        continuous,
		"PointInTimeRecoveryDescription": object{"PointInTimeRecoveryStatus": recovery},
	}}
}

func (s *Server) setBackups(in request) (any, error) {
	var p continuousBackups
	t, err := s.named(in, &p)
	switch {
	case err != nil:
		return nil, err
	case !p.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled:
		return nil, invalid("switching point-in-time recovery off is not known to this stand-in")
	case time.Since(t.created) < s.BackupsAfter:
		return nil, noBackups()
	}
	t.recovery = true
	return s.backups(t), nil
}
