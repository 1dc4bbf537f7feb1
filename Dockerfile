# The image of the agent, for people with Docker:
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=$(git describe --tags --always) .
#
# `make image` builds the same image without a Docker engine: it hands the
# folder that the first stage would make to the second one.

# On the builder's own platform: Go crosses over to the other faster than an
# emulator would run it there. The version is the one that CI tests with.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
# Docker sets TARGETARCH, once for each platform.
ARG TARGETARCH
# What the program says when asked; without it, its commit.
ARG VERSION=
WORKDIR /src
COPY . .
# The recipe is the Makefile's, so that both ways give one image.
RUN make rootfs ARCH=$TARGETARCH VERSION=$VERSION

# Nothing but the program and the certificates: no shell to break into, no
# library to patch. Bottlerocket brings hosts, resolv.conf and the sockets.
FROM scratch
# Said once more, because each stage forgets.
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="drydock" \
      org.opencontainers.image.description="Updates the Bottlerocket hosts of an Amazon ECS cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/drydock-ecs/drydock" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# /drydock, and /etc/ssl/certs/ca-certificates.crt where crypto/x509 looks.
COPY --from=build /src/dist/rootfs /
# Numbers, as there is no /etc/passwd. 0, because the host container's
# persistent folder, where the intent must be written, is root's alone (0700),
# and the API's socket lets in root and the group 274. A user that is not root
# would have the socket and no intent. Root here has no more than the host
# container is given: no extra capability, no device, no new privileges.
USER 0:0
# Where nothing is written: what the agent keeps has its own folder.
WORKDIR /
ENTRYPOINT ["/drydock"]
# For hosts before Bottlerocket 1.47, which cannot give a command of their own.
CMD ["agent"]
