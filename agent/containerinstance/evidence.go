package containerinstance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/internal/ec2api"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// InstanceAPI is every call of EC2 that an agent makes: *ec2api.Client is one.
// The IAM action has the same name with the prefix "ec2:". It knows no
// resources and no condition keys but the Region.
type InstanceAPI interface {
	DescribeInstances(context.Context, *ec2api.DescribeInstancesInput) (*ec2api.DescribeInstancesOutput, error)
}

var _ InstanceAPI = (*ec2api.Client)(nil)

// EvidenceAttempts is how often one call of EC2 is made at most, the first
// time included. Evidence is asked for again anyway.
const EvidenceAttempts = 3

// evidenceTimeout is for one question, however many pages its answer has.
const evidenceTimeout = 30 * time.Second

// Evidence is what EC2 knows of instances. It keeps no state but the Region
// and may be used by several goroutines.
type Evidence struct {
	identity func(context.Context) (agent.Identity, error)
	open     func(region string) InstanceAPI
}

var _ agent.Evidence = (*Evidence)(nil)

// NewEvidence returns the evidence of the Region that the host's identity
// names, whatever the settings say: there are the fleet's instances. Open opens
// EC2 in a Region. NewEvidence calls nobody.
func NewEvidence(identity func(context.Context) (agent.Identity, error), open func(region string) InstanceAPI) *Evidence {
	return &Evidence{identity, open}
}

// Instances returns the states of those of the instances that EC2 knows. One
// that is missing is not known to EC2: a terminated instance is forgotten after
// about an hour. The ids are values of a filter, since EC2 refuses the whole
// question when it does not know an id that is asked for by itself. One call of
// EC2 for up to 200 ids. Any page that cannot be read fails the question.
func (e *Evidence) Instances(ctx context.Context, ids []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, evidenceTimeout)
	defer cancel()
	if len(ids) == 0 {
		return nil, nil
	}
	self, err := e.identity(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the Region: %w", err)
	}
	api, states := e.open(self.Region), make(map[string]string, len(ids))
	for some := range slices.Chunk(ids, ec2api.MaxIDs) {
		if err := collect(ctx, api, some, states); err != nil {
			return nil, failEvidence(err)
		}
	}
	return states, nil
}

// collect adds the states of some instances. An answer about an instance that
// nobody asked for is not an answer to this question.
func collect(ctx context.Context, api InstanceAPI, ids []string, states map[string]string) error {
	in := &ec2api.DescribeInstancesInput{IDs: ids}
	for {
		page, err := api.DescribeInstances(ctx, in)
		if err != nil {
			return err
		}
		for _, i := range page.Instances {
			if !slices.Contains(ids, i.ID) {
				return fmt.Errorf("the answer is about %s, which was not asked for", i.ID)
			}
			states[i.ID] = i.State
		}
		switch page.NextToken {
		case "":
			return nil
		case in.NextToken:
			return errors.New("the answer repeats a page")
		}
		in.NextToken = page.NextToken
	}
}

// ErrNoRight: the host's role may not ask EC2. It need not: then an operator
// frees the slot of a lost host.
var ErrNoRight = errors.New("the right is not given")

var refusals = map[string]bool{"AccessDenied": true, "AccessDeniedException": true, "UnauthorizedOperation": true}

// failEvidence says what an operator can do about an error of EC2.
func failEvidence(err error) error {
	if refusals[code(err)] {
		err = fmt.Errorf("%w: %w", ErrNoRight, err)
	}
	wrapped := fmt.Errorf("ask EC2 for the states of instances: %w", err)
	if text := evidenceAdvice(err); text != "" {
		return hint.Wrap(wrapped, text)
	}
	return wrapped
}

func evidenceAdvice(err error) string {
	switch {
	case errors.Is(err, ErrNoRight):
		return "allow ec2:DescribeInstances to the host's instance role, or free the slot of a lost host by hand: drydock release"
	case slices.Contains([]string{"AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch"}, code(err)):
		return "check the host's clock and credentials: AWS does not recognise them"
	case slices.Contains([]string{"RequestExpired", "ExpiredToken"}, code(err)):
		return "check the host's clock and its access to the instance metadata service: the role's credentials have expired"
	}
	dial, isDial := errors.AsType[*net.OpError](err)
	_, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case noCredentials(err):
		return networkAdvice(err)
	case isDNS, isDial && dial.Op == "dial", errors.Is(err, context.DeadlineExceeded):
		return "give the host a route to the EC2 endpoint of its Region (NAT, or the interface endpoint `ec2`), or free the slot of a lost host by hand: drydock release"
	}
	return ""
}
