package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// reachWithin is for one unsigned request.
const reachWithin = 10 * time.Second

// awsCheck is the part of a preflight that is about AWS. What is not known yet
// is empty, and what needs it is not checked.
type awsCheck struct {
	*preflight
	settings agent.Config
	config   aws.Config
	host     *apiclientx.Client
	instance *containerinstance.EC2
	door     *containerinstance.Door

	identity agent.Identity
	self     agent.Self // ARN is empty when only the fleet is known
	blocked  string     // why no signed call can be made; "" when it can
}

func openAWS(ctx context.Context, p *preflight, settings agent.Config) (*awsCheck, error) {
	metadata := imds.New(imds.Options{}, containerinstance.IMDSv2Only)
	config, err := sdk{metadata: metadata, roots: p.roots(), log: slog.New(slog.DiscardHandler)}.load(ctx)
	if err != nil {
		return nil, err
	}
	host := &apiclientx.Client{Socket: settings.Host.APISocket}
	return &awsCheck{
		preflight: p, settings: settings, config: config, host: host,
		instance: containerinstance.NewEC2(metadata),
		door: containerinstance.New(containerinstance.Options{
			API:      regionalECS{ecs.NewFromConfig(config)},
			Local:    containerinstance.NewLocalAgent(settings.Host.Introspection),
			Cluster:  settings.Cluster,
			Settings: host.ECSCluster,
		}),
	}, nil
}

// identify asks which instance this is and for its role's credentials.
func (a *awsCheck) identify(ctx context.Context) {
	identity, err := a.instance.Identity(ctx)
	a.identity = identity
	a.verdict("instance", fmt.Sprintf("%s in %s", identity.Instance, identity.Zone), err)
	credentials, err := a.config.Credentials.Retrieve(ctx)
	if err != nil {
		a.blocked = "there are no credentials"
		err = hint.Wrap(fmt.Errorf("get credentials: %w", err),
			"attach an instance profile with drydock's policy to the EC2 instance, and let its metadata service answer (IMDSv2)")
	}
	a.verdict("role", "credentials of "+credentials.Source, err)
}

// region is where the fleet is, as the agent finds it.
func (a *awsCheck) region() string { return cmp.Or(a.config.Region, a.identity.Region) }

// reach makes an unsigned request of DynamoDB's endpoint, whatever it answers:
// that is the way to AWS, TLS and proxies included, and AWS's time.
func (a *awsCheck) reach(ctx context.Context) {
	const what = "way to AWS"
	if a.region() == "" {
		a.skip(what, "the Region is not known")
		a.skip("clock", "AWS was not asked")
		a.blocked = cmp.Or(a.blocked, "the Region is not known")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	answer, asked, err := a.knock(ctx)
	if err != nil {
		a.problem(what, err)
		a.skip("clock", "AWS did not answer")
		a.blocked = cmp.Or(a.blocked, "AWS cannot be reached")
		return
	}
	a.ok(what, answer.Request.URL.Host+" answers")
	skew, dated := skewOf(answer, asked, time.Now())
	if !dated {
		a.skip("clock", "the answer has no date")
		return
	}
	a.verdict("clock", "within "+skewMax.String()+" of AWS's", clockFault(skew))
}

// knock sends the request and says when. The body is of no interest.
func (a *awsCheck) knock(ctx context.Context) (*http.Response, time.Time, error) {
	config := a.config.Copy()
	config.Region = a.region()
	options := dynamodb.NewFromConfig(config).Options()
	endpoint, err := options.EndpointResolverV2.ResolveEndpoint(ctx, dynamodb.EndpointParameters{
		Region: &config.Region, Endpoint: options.BaseEndpoint,
		UseFIPS:      aws.Bool(options.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(options.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.URI.String(), nil)
	if err != nil {
		return nil, time.Time{}, err
	}
	asked := time.Now()
	answer, err := options.HTTPClient.Do(request)
	if err != nil {
		return nil, asked, hint.Wrap(err, "give the host a route to DynamoDB: a gateway endpoint in the route table of its subnet, a NAT, or a proxy in settings.network.https-proxy")
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16))
	_ = answer.Body.Close()
	return answer, asked, nil
}

// findFleet asks the local ECS agent, and without an answer the settings.
func (a *awsCheck) findFleet(ctx context.Context) {
	const what = "ECS agent"
	self, err := a.door.Self(ctx)
	if err == nil {
		a.self = self
		a.ok(what, self.ARN)
		return
	}
	a.problem(what, err)
	name := a.settings.Cluster
	if name == "" {
		name, _ = a.host.ECSCluster(ctx) // that it does not answer is said already
	}
	switch {
	case strings.HasPrefix(name, "arn:"):
		a.self.Cluster = name
	case name != "" && a.identity.Account != "":
		a.self.Cluster = agent.ClusterARN(a.region(), a.identity.Account, name)
	}
}

// checkECS tries every action of ECS that the agent needs.
func (a *awsCheck) checkECS(ctx context.Context) {
	if why := cmp.Or(a.blocked, missing(a.self.ARN, "which container instance this is, is not known")); why != "" {
		a.skip("permissions on ECS", why)
		return
	}
	instance, err := a.door.Look(ctx, a.self)
	if err == nil && instance.Status == "" {
		err = hint.Wrap(errors.New("ECS does not know this container instance"), "restart the host's ECS agent: systemctl restart ecs")
	}
	a.verdict("ecs:DescribeContainerInstances", "the container instance is "+instance.Status, err)
	for _, probe := range a.door.Probe(ctx, a.self) {
		a.verdict("ecs:"+probe.Action, "allowed", probe.Err)
	}
	if a.settings.Drain.OnTimeout != agent.OnTimeoutForce && a.settings.Drain.StandaloneTasks != agent.StandaloneStop {
		a.skip("ecs:StopTask", "these settings stop no tasks; a policy of the fleet may")
		return
	}
	probe := a.door.ProbeStop(ctx, a.self)
	a.verdict("ecs:"+probe.Action, "allowed", probe.Err)
}

// checkTable reads the lock record and tries what writes.
func (a *awsCheck) checkTable(ctx context.Context) {
	table := a.settings.Lock.Table
	if why := cmp.Or(a.blocked, missing(a.self.Cluster, "which fleet this is, is not known")); why != "" {
		a.skip("table "+table, why)
		return
	}
	config := a.config.Copy()
	config.Region = cmp.Or(a.config.Region, regionOf(a.self.Cluster))
	store := dynamo.New(dynamodb.NewFromConfig(config), table)
	fleet := coordination.Fleet{ARN: a.self.Cluster, Store: store, Rows: store}
	record, err := fleet.Look(ctx)
	if errors.Is(err, coordination.ErrNoTable) {
		a.problem("table "+table, hint.Wrap(fmt.Errorf("there is none in %s, the Region of this host's fleet: %w", config.Region, coordination.ErrNoTable),
			"a table in another Region does not count: "+commandFor(table, a.self.Cluster, "init", "--slots", "1")+" makes it there; or name another in the host settings: [lock] table"))
		return
	}
	if err == nil {
		_, err = agent.ParsePolicy(record.Policy)
		err = hint.Wrap(err, "mend the policy: "+commandFor(table, a.self.Cluster, "policy", "set", "FILE"))
	}
	a.verdict("lock record in table "+table, "dynamodb:GetItem is allowed, "+a.self.Cluster, explainRecord(err, table, a.self.Cluster))
	a.verdict("dynamodb:UpdateItem", "allowed", store.ProbeUpdate(ctx, a.self.Cluster))
	if a.identity.Instance == "" {
		a.skip("dynamodb:PutItem", "which instance this is, is not known")
		return
	}
	a.verdict("dynamodb:PutItem", "allowed", store.ProbePut(ctx, a.self.Cluster, a.identity.Instance))
}

// checkEvidence asks EC2 about this instance, as about a lost one.
func (a *awsCheck) checkEvidence(ctx context.Context) {
	const what = "ec2:DescribeInstances"
	if why := cmp.Or(a.blocked, missing(a.identity.Instance, "which instance this is, is not known")); why != "" {
		a.skip(what, why)
		return
	}
	states, err := newEvidence(a.config, a.instance).Instances(ctx, []string{a.identity.Instance})
	if errors.Is(err, containerinstance.ErrNoRight) {
		a.skip(what, "the role may not, which is allowed: the slot of a host that is terminated waits for an operator's drydock release")
		return
	}
	if err == nil && states[a.identity.Instance] != "running" {
		err = hint.Wrap(fmt.Errorf("EC2 does not show this instance as running (%q), so it says nothing of others", states[a.identity.Instance]),
			"check that the instance's role is of its own account")
	}
	a.verdict(what, "allowed", err)
}

// missing is why, where a needed text is empty.
func missing(text, why string) string {
	if text == "" {
		return why
	}
	return ""
}
