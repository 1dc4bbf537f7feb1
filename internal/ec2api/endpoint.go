package ec2api

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// endpoint is where EC2 is: where the SDK's settings say, else where AWS has
// it in the Region. Partitions, FIPS and dual-stack are those of the SDK's
// table for ECS, whose names differ from EC2's in the first word alone.
func endpoint(ctx context.Context, config aws.Config) (string, error) {
	if address, ok := configured(ctx, config); ok {
		return address, nil
	}
	if config.Region == "" {
		return "", errors.New("resolve endpoint: the Region is not known")
	}
	options := ecs.NewFromConfig(config).Options().EndpointOptions
	fips := options.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled
	dual := options.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled
	found, err := ecs.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, ecs.EndpointParameters{
		Region: &config.Region, UseFIPS: &fips, UseDualStack: &dual,
	})
	if err != nil {
		return "", fmt.Errorf("resolve endpoint: %w", err)
	}
	address, ok := strings.CutPrefix(found.URI.String(), "https://ecs")
	if !ok {
		return "", fmt.Errorf("resolve endpoint: %s is not as expected", found.URI.String())
	}
	if strings.HasPrefix(config.Region, "us-gov-") && !dual {
		address = strings.TrimPrefix(address, "-fips") // all of EC2 is, there
	}
	return "https://ec2" + address, nil
}

// configured is the endpoint of the SDK's settings, which have no other way to
// be asked for a service that is none of the SDK's own. A service's own
// variable goes before the one of all services, and that before files.
func configured(ctx context.Context, config aws.Config) (string, bool) {
	_, all := os.LookupEnv("AWS_ENDPOINT_URL")
	_, own := os.LookupEnv("AWS_ENDPOINT_URL_EC2")
	if config.BaseEndpoint != nil && (all && !own) {
		return *config.BaseEndpoint, true
	}
	if !ignored(ctx, config) {
		for _, source := range config.ConfigSources {
			s, ok := source.(interface {
				GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
			})
			if !ok {
				continue
			}
			if address, found, err := s.GetServiceBaseEndpoint(ctx, serviceID); err == nil && found {
				return address, true
			}
		}
	}
	return aws.ToString(config.BaseEndpoint), config.BaseEndpoint != nil
}

// ignored reports whether the settings say that their endpoints do not count.
func ignored(ctx context.Context, config aws.Config) bool {
	for _, source := range config.ConfigSources {
		s, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
		})
		if !ok {
			continue
		}
		if value, found, err := s.GetIgnoreConfiguredEndpoints(ctx); err == nil && found {
			return value
		}
	}
	return false
}
