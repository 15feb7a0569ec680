# Tidegate: one image for all services; the command says which one (`serve gateway`, `migrate` and so on).
#
#   docker build -t tidegate:local .
#   docker build -t tidegate:local --build-arg BINARY=prebuilt .     takes prebuilt/tidegate and compiles nothing
#
# The base images are arguments, for mirrors and digests. BuildKit skips the stage that is not asked for.
ARG BUILDER_IMAGE=rust:1.94-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12
ARG BINARY=compiled

FROM ${BUILDER_IMAGE} AS compiled
WORKDIR /src
COPY . .
# The caches outlive a build; the binary has to leave them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release -p tidegate \
    && install -D target/release/tidegate /out/tidegate

# A program that was built elsewhere, for a C library no newer than the runtime image's.
FROM scratch AS prebuilt
COPY prebuilt/tidegate /out/tidegate

FROM ${BINARY} AS binary

FROM ${RUNTIME_IMAGE}
COPY --from=binary /out/tidegate /usr/local/bin/tidegate
# Nobody in particular, by number, so that it can be checked that it is not root; "nonroot" in distroless images.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tidegate"]
CMD ["--help"]
