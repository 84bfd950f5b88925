# The operator's image: one static binary, root certificates, nothing else. For amd64 and arm64:
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t aurora-log-export-operator:0.1.0 .
#
# From a binary that is already built, without pulling anything (target/image/<arch>/ is the root of the image):
#
#   buildah bud --isolation chroot --target prebuilt --build-arg TARGETARCH=amd64 -t aurora-log-export-operator:dev .

# What both ways to the image have in common.
FROM scratch AS base
LABEL org.opencontainers.image.title="aurora-log-export-operator" \
      org.opencontainers.image.description="Keeps the IAM policy and role for Aurora audit log export right" \
      org.opencontainers.image.licenses="Apache-2.0"
# The AWS SDK looks for root certificates here.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# For `kubectl exec … -- aurora-log-export-operator doctor`.
ENV PATH=/
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/aurora-log-export-operator"]
CMD ["run"]

FROM base AS prebuilt
ARG TARGETARCH
COPY target/image/${TARGETARCH}/ /

# Compiles on the builder's own architecture, for the target's: emulating a compiler takes an hour.
FROM --platform=${BUILDPLATFORM} rust:1.95-bookworm AS build
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=target-${TARGETARCH} \
    deploy/image/build.sh "${TARGETARCH}" /image

FROM base AS image
COPY --from=build /image/ /
