package containerinstance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// errNotRegistered: the ECS agent answers and has no container instance.
var errNotRegistered = errors.New("the local ECS agent is not registered")

// Self asks the local ECS agent who the host is. It makes no call of ECS. The
// cluster's ARN is built from the container instance's own, which has the same
// partition, Region and account.
func (d *Door) Self(ctx context.Context) (agent.Self, error) {
	var m metadata
	if err := d.ask(ctx, "/v1/metadata", &m); err != nil {
		return agent.Self{}, d.notReady(ctx, fmt.Errorf("ask the local ECS agent: %w", err))
	}
	if m.ARN == "" {
		return agent.Self{}, d.notReady(ctx, errNotRegistered)
	}
	arn, err := parseInstanceARN(m.ARN)
	if err != nil {
		return agent.Self{}, fmt.Errorf("ask the local ECS agent: %w", err)
	}
	cluster, err := d.clusterARN(ctx, arn, m.Cluster)
	if err != nil {
		return agent.Self{}, err
	}
	if !sameCluster(d.cluster, cluster) {
		return agent.Self{}, hint.Wrap(
			fmt.Errorf("the host is in cluster %s, not in %s", cluster, d.cluster),
			"correct `cluster` in the host settings, or leave it empty to follow the ECS agent")
	}
	return agent.Self{Cluster: cluster, ARN: m.ARN}, nil
}

// notReady names the cluster that the host is meant to join, where it can.
func (d *Door) notReady(ctx context.Context, err error) error {
	if name := d.meant(ctx); name != "" {
		err = fmt.Errorf("%w (cluster %s)", err, name)
	}
	return hint.Wrap(err, "see `journalctl -u ecs` on the host: its ECS agent answers only once it has registered")
}

// meant is the cluster by the agent's or the host's settings, or "".
func (d *Door) meant(ctx context.Context) string {
	if d.cluster != "" || d.settings == nil {
		return d.cluster
	}
	name, err := d.settings(ctx)
	if err != nil {
		return "" // it would only have completed another answer
	}
	return name
}

// clusterARN prefers the cluster in the container instance's ARN: that is
// where it is registered. ARNs of the old format lack it.
func (d *Door) clusterARN(ctx context.Context, arn instanceARN, told string) (string, error) {
	name := arn.cluster
	if name == "" {
		name = clusterName(told)
	}
	if name == "" {
		name = clusterName(d.meant(ctx))
	}
	if name == "" {
		return "", hint.Wrap(errors.New("the local ECS agent does not name its cluster"), "set `cluster` in the host settings")
	}
	return arn.prefix + "cluster/" + name, nil
}

// instanceARN is a container instance's ARN, taken apart.
type instanceARN struct {
	prefix  string // "arn:aws:ecs:eu-west-1:111122223333:"
	cluster string // "" in the old format
}

// parseInstanceARN knows both formats,
// arn:aws:ecs:region:account:container-instance/id and …/cluster/id.
func parseInstanceARN(arn string) (instanceARN, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[2] != "ecs" || parts[3] == "" || parts[4] == "" {
		return instanceARN{}, fmt.Errorf("%q is no ARN of ECS", arn)
	}
	path := strings.Split(parts[5], "/")
	if path[0] != "container-instance" || len(path) < 2 || len(path) > 3 || path[len(path)-1] == "" {
		return instanceARN{}, fmt.Errorf("%q is no ARN of a container instance", arn)
	}
	parsed := instanceARN{prefix: strings.TrimSuffix(arn, parts[5])}
	if len(path) == 3 {
		parsed.cluster = path[1]
	}
	return parsed, nil
}

// clusterName takes a cluster's name, or the name out of its ARN.
func clusterName(cluster string) string {
	if i := strings.LastIndex(cluster, ":cluster/"); i >= 0 {
		return cluster[i+len(":cluster/"):]
	}
	return cluster
}

// sameCluster tells whether the wanted cluster, a name, an ARN or "", is arn.
func sameCluster(want, arn string) bool {
	return want == "" || want == arn || want == clusterName(arn)
}
