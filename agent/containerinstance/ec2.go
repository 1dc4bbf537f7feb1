package containerinstance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// IMDS is the instance metadata service: *imds.Client is one.
type IMDS interface {
	GetMetadata(context.Context, *imds.GetMetadataInput, ...func(*imds.Options)) (*imds.GetMetadataOutput, error)
	GetInstanceIdentityDocument(context.Context, *imds.GetInstanceIdentityDocumentInput, ...func(*imds.Options)) (*imds.GetInstanceIdentityDocumentOutput, error)
}

var _ IMDS = (*imds.Client)(nil)

// IMDSv2Only is an option of imds.New and imds.NewFromConfig: without it the
// client falls back to unauthenticated requests.
func IMDSv2Only(o *imds.Options) { o.EnableFallback = aws.FalseTernary }

// EC2 is the host's EC2 instance by its metadata service: the Identity and
// Leaving of agent.Surroundings. It makes no call of any AWS API.
type EC2 struct {
	imds IMDS
}

// NewEC2 returns the EC2 instance that the metadata service is of. It calls
// nobody.
func NewEC2(imds IMDS) *EC2 { return &EC2{imds} }

// Identity says which EC2 instance the host is.
func (e *EC2) Identity(ctx context.Context) (agent.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	doc, err := e.imds.GetInstanceIdentityDocument(ctx, &imds.GetInstanceIdentityDocumentInput{})
	if err == nil && doc.InstanceID == "" {
		err = errors.New("the document names no instance")
	}
	if err != nil {
		return agent.Identity{}, hint.Wrap(fmt.Errorf("read instance identity: %w", err),
			"enable the instance metadata service (IMDSv2) for this EC2 instance")
	}
	return agent.Identity{
		Instance: doc.InstanceID,
		Region:   doc.Region,
		Account:  doc.AccountID,
		Zone:     doc.AvailabilityZone,
	}, nil
}

// Leaving says why the instance is about to go away, or "". Any sign counts,
// also when the other question got no answer. Without a sign, the error tells
// of the questions that got none; it is no sign.
func (e *EC2) Leaving(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	state, scalingErr := e.optional(ctx, "autoscaling/target-lifecycle-state")
	if sign := scalingSign(state); sign != "" {
		return sign, nil
	}
	notice, spotErr := e.optional(ctx, "spot/instance-action")
	if sign := spotSign(notice); sign != "" {
		return sign, nil
	}
	if err := errors.Join(scalingErr, spotErr); err != nil {
		return "", fmt.Errorf("ask whether the instance is leaving: %w", err)
	}
	return "", nil
}

// scalingSign reads the Auto Scaling group's target state. Terminated, and
// anything of a warm pool, is on its way out of service. Standby and Detached
// are not: there an operator took the host out of the group in order to keep
// it. InService is the normal state.
func scalingSign(state string) string {
	if strings.HasPrefix(state, "Terminat") || strings.HasPrefix(state, "Warmed:") {
		return "the Auto Scaling group wants it " + state
	}
	return ""
}

// spotSign reads a Spot interruption notice: {"action":"stop","time":"…"}.
// A notice that cannot be read is still a notice.
func spotSign(notice string) string {
	if notice == "" {
		return ""
	}
	var told struct{ Action, Time string }
	if json.Unmarshal([]byte(notice), &told) != nil || told.Action == "" {
		return "Spot interruption"
	}
	return fmt.Sprintf("Spot interruption: %s at %s", told.Action, told.Time)
}

// optional reads a piece of metadata that is there only in certain states: 404
// is "".
func (e *EC2) optional(ctx context.Context, path string) (string, error) {
	out, err := e.imds.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if status, ok := httpStatus(err); ok && status == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer out.Content.Close()
	text, err := io.ReadAll(io.LimitReader(out.Content, 4096))
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return strings.TrimSpace(string(text)), nil
}
