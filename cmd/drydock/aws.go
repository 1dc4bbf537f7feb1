package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/smithy-go/logging"

	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// hostRoots are the host's CA certificates with those of settings.pki, which
// Bottlerocket 1.28 and later mount into host containers.
const hostRoots = "/.bottlerocket/certs/ca-bundle.crt"

// envRoots names a file of CA certificates; the SDK reads it.
const envRoots = "AWS_CA_BUNDLE"

// sdk is what the program adds to the SDK's own settings.
type sdk struct {
	region   string       // goes before all settings; "" leaves it to them
	metadata *imds.Client // for the credentials of the instance's role
	roots    []byte       // CA certificates (PEM); none leaves them to the settings
	log      *slog.Logger
}

// load reads the SDK's settings: environment, files, and for credentials at
// last the instance's role. It calls nobody, so it works without a network;
// the Region stays empty when nothing names one.
func (s sdk) load(ctx context.Context) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRegion(s.region),
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = s.metadata }),
		config.WithLogger(logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
			s.log.Debug("AWS SDK", slog.String("text", fmt.Sprintf(format, args...)))
		})),
	}
	if len(s.roots) > 0 {
		options = append(options, config.WithCustomCABundle(bytes.NewReader(s.roots)))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, hint.Wrap(fmt.Errorf("load AWS settings: %w", err), "check the AWS_* environment variables and ~/.aws/config")
	}
	return loaded, nil
}

// rootsOf returns the CA certificates in a file, or none. Then AWS_CA_BUNDLE
// holds and without it the roots that crypto/x509 finds: files of the image.
// Roots compiled into the program would register with crypto/x509 as its
// fallback, and nothing here would change.
func rootsOf(file string, log *slog.Logger, env environment) []byte {
	if env.getenv(envRoots) != "" {
		return nil // somebody chose, and the SDK follows
	}
	roots, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(roots) {
		err = fmt.Errorf("read %s: it holds none", file)
	}
	if err != nil {
		// Other roots may do, and if they do not, each call says so.
		log.Warn("the host's CA certificates are not used", slog.Any("error", err))
		return nil
	}
	return roots
}

// regionalECS is ECS in the Region of the cluster that a call is about, unless
// the SDK's settings name a Region. So the agent's start need not wait for the
// metadata service to say where it is: the ECS agent's own answer does.
type regionalECS struct{ client *ecs.Client }

var _ containerinstance.API = regionalECS{}

func (r regionalECS) in(cluster *string, options []func(*ecs.Options)) []func(*ecs.Options) {
	region := regionOf(aws.ToString(cluster))
	return append(options, func(o *ecs.Options) {
		if o.Region == "" {
			o.Region = region
		}
	})
}

func (r regionalECS) DescribeContainerInstances(ctx context.Context, in *ecs.DescribeContainerInstancesInput, options ...func(*ecs.Options)) (*ecs.DescribeContainerInstancesOutput, error) {
	return r.client.DescribeContainerInstances(ctx, in, r.in(in.Cluster, options)...)
}

func (r regionalECS) UpdateContainerInstancesState(ctx context.Context, in *ecs.UpdateContainerInstancesStateInput, options ...func(*ecs.Options)) (*ecs.UpdateContainerInstancesStateOutput, error) {
	return r.client.UpdateContainerInstancesState(ctx, in, r.in(in.Cluster, options)...)
}

func (r regionalECS) ListTasks(ctx context.Context, in *ecs.ListTasksInput, options ...func(*ecs.Options)) (*ecs.ListTasksOutput, error) {
	return r.client.ListTasks(ctx, in, r.in(in.Cluster, options)...)
}

func (r regionalECS) DescribeTasks(ctx context.Context, in *ecs.DescribeTasksInput, options ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error) {
	return r.client.DescribeTasks(ctx, in, r.in(in.Cluster, options)...)
}

func (r regionalECS) StopTask(ctx context.Context, in *ecs.StopTaskInput, options ...func(*ecs.Options)) (*ecs.StopTaskOutput, error) {
	return r.client.StopTask(ctx, in, r.in(in.Cluster, options)...)
}

func (r regionalECS) DescribeServices(ctx context.Context, in *ecs.DescribeServicesInput, options ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error) {
	return r.client.DescribeServices(ctx, in, r.in(in.Cluster, options)...)
}

func (r regionalECS) GetTaskProtection(ctx context.Context, in *ecs.GetTaskProtectionInput, options ...func(*ecs.Options)) (*ecs.GetTaskProtectionOutput, error) {
	return r.client.GetTaskProtection(ctx, in, r.in(in.Cluster, options)...)
}
