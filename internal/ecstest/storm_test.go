package ecstest_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// storm does one thing by chance to the cluster.
func storm(t *testing.T, c *ecstest.Cluster, r *rand.Rand) {
	host := three[r.IntN(len(three))]
	service := []string{"web", "db"}[r.IntN(2)]
	switch r.IntN(10) {
	case 0, 1:
		must(t, setState(t, c, host, types.ContainerInstanceStatusDraining))
	case 2:
		must(t, setState(t, c, host, types.ContainerInstanceStatusActive))
	case 3:
		c.HostDown(host)
	case 4:
		c.HostUp(host)
	case 5:
		c.AgentDown(host)
	case 6:
		c.AgentUp(host)
	case 7:
		c.Deploy(service, fmt.Sprintf("%s:%d", service, r.IntN(100)))
	case 8:
		c.SetDesired(service, r.IntN(6))
	case 9:
		if tasks := c.Tasks(); len(tasks) > 0 {
			c.Stop(tasks[r.IntN(len(tasks))].ARN)
		}
	}
}

// TestCalmAfterStorm lets hosts, agents, people and deployments do their worst
// at once. When all is well again, every service is whole.
func TestCalmAfterStorm(t *testing.T) {
	for seed := range uint64(40) {
		// The model draws from a source of its own: it runs in other goroutines.
		r, own := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
		cfg := ecstest.Realistic()
		cfg.Vary = func(d time.Duration) time.Duration { return time.Duration(own.Int64N(int64(2*d) + 1)) }
		bubble(t, cfg, three, func(t *testing.T, c *ecstest.Cluster) {
			c.AddService(ecstest.Service{Name: "web", Desired: 4})
			c.AddService(ecstest.Service{Name: "db", Desired: 2, Limits: &ecstest.Limits{Minimum: 50, Maximum: 100}})
			c.AddService(ecstest.Service{Name: "logs", Daemon: true})
			for range 200 {
				storm(t, c, r)
				settle(time.Duration(r.Int64N(int64(time.Minute))))
			}
			c.SetDesired("web", 4)
			c.SetDesired("db", 2)
			for _, h := range three {
				c.AgentUp(h)
				c.HostUp(h)
				must(t, setState(t, c, h, types.ContainerInstanceStatusActive))
			}
			settle(time.Hour)
			whole := make(map[string]int)
			for _, task := range c.Tasks() {
				whole[task.Service+" "+task.Last]++
				if task.Service == "logs" {
					whole["logs on "+task.Host]++
				}
			}
			if got := fmt.Sprint(whole); got != "map[db RUNNING:2 logs RUNNING:3 logs on i-1:1 logs on i-2:1 logs on i-3:1 web RUNNING:4]" {
				t.Fatalf("seed %d: %s", seed, got)
			}
		})
	}
}
