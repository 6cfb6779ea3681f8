# Images of roundsman. Two targets come out of this file:
#
#   worker       (default) where one step of a turn runs: git, Node.js 22, opencode, roundsman-worker
#   coordinator            the poller, the watcher and the operator's program; no agent, no Node.js
#
# Everything from source, as a release does it (BuildKit is needed, `DOCKER_BUILDKIT=1` on older engines):
#
#   docker build -f worker.dockerfile -t roundsman-worker .
#   docker build -f worker.dockerfile -t roundsman --target coordinator .
#
# With binaries that `cargo build --release --locked --no-default-features --bins` has already made, as CI does it:
#
#   docker build -f worker.dockerfile -t roundsman-worker --build-arg BINARIES=prebuilt .
#
# Arguments
#   BINARIES          `built` compiles inside the image, `prebuilt` copies from PREBUILT (same Debian release or older)
#   PREBUILT          folder of the prebuilt binaries, relative to the build context
#   RUST_BASE         compiler image of the `built` way
#   BASE              final image of the worker: Debian with Node.js 22
#   COORDINATOR_BASE  final image of the coordinator: Debian
#   OPENCODE_VERSION  exact version of the agent; change it on purpose, never by a rebuild
#
# A build behind a proxy that re-signs TLS passes its certificates as a secret, which no layer keeps:
#   --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt
#
# Promises: nothing is downloaded when a container starts; update checks, telemetry and plug-in downloads are off; the
# user is 10001 without a password; the root file system may be mounted read-only when /tmp and the places of the step
# are writable; no credential is ever part of an image.

ARG BINARIES=built
ARG RUST_BASE=rust:1.95-bookworm
ARG BASE=node:22-bookworm-slim
ARG COORDINATOR_BASE=debian:bookworm-slim

# --- binaries, compiled here -------------------------------------------------------------------------------------
FROM ${RUST_BASE} AS builder
WORKDIR /build
COPY Cargo.toml Cargo.lock README.md ./
COPY src ./src
# The emulator stays out: an image can talk to the Azure DevOps that it is told about, and to no pretend one.
RUN --mount=type=secret,id=ca,target=/run/ca.crt \
    --mount=type=cache,target=/build/target \
    if [ -s /run/ca.crt ]; then export CARGO_HTTP_CAINFO=/run/ca.crt; fi; \
    cargo build --release --locked --no-default-features --bins && \
    mkdir /binaries && \
    cp target/release/roundsman target/release/roundsman-poller target/release/roundsman-watcher \
       target/release/roundsman-worker /binaries/

FROM scratch AS binaries-built
COPY --from=builder /binaries /

# --- binaries, compiled before -----------------------------------------------------------------------------------
FROM scratch AS binaries-prebuilt
ARG PREBUILT=target/release
COPY ${PREBUILT}/roundsman ${PREBUILT}/roundsman-poller ${PREBUILT}/roundsman-watcher ${PREBUILT}/roundsman-worker /

FROM binaries-${BINARIES} AS binaries

# --- coordinator: poller, watcher, operator's program ------------------------------------------------------------
FROM ${COORDINATOR_BASE} AS coordinator
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates tini && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin roundsman
COPY --from=binaries /roundsman /roundsman-poller /roundsman-watcher /usr/local/bin/
USER 10001:10001
# tini passes signals on and reaps what is left; the program is named by the manifest, never guessed.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["roundsman", "--help"]

# --- worker: one step of one turn --------------------------------------------------------------------------------
FROM ${BASE} AS worker
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates git tini && \
    rm -rf /var/lib/apt/lists/*
ARG OPENCODE_VERSION=1.18.33
# The package brings its platform binary twice; the second copy (180 MB) goes. The call proves that it starts.
RUN --mount=type=secret,id=ca,target=/run/ca.crt \
    if [ -s /run/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/ca.crt npm_config_cafile=/run/ca.crt; fi; \
    npm install --global --no-fund --no-audit --no-update-notifier "opencode-ai@${OPENCODE_VERSION}" && \
    rm -rf /usr/local/lib/node_modules/opencode-ai/node_modules/opencode-linux-* && \
    opencode --version && \
    rm -rf ~/.npm ~/.local ~/.cache ~/.config /tmp/*
# The places of a step: mount points that belong to the user who works there.
RUN useradd --uid 10001 --no-create-home --home-dir /home/agent --shell /bin/bash agent && \
    mkdir -p /repo.git /workspace /in /out /home/agent && \
    chown 10001:10001 /repo.git /workspace /in /out /home/agent
COPY --from=binaries /roundsman-worker /usr/local/bin/
# Off: everything an agent would fetch, send or obey that nobody asked for. A target repository's own opencode
# configuration can redirect the provider and run code inside the agent, so it is never read.
ENV HOME=/home/agent \
    OPENCODE_DISABLE_AUTOUPDATE=1 \
    OPENCODE_DISABLE_MODELS_FETCH=1 \
    OPENCODE_DISABLE_LSP_DOWNLOAD=1 \
    OPENCODE_DISABLE_DEFAULT_PLUGINS=1 \
    OPENCODE_DISABLE_EXTERNAL_SKILLS=1 \
    OPENCODE_DISABLE_CLAUDE_CODE=1 \
    OPENCODE_DISABLE_PROJECT_CONFIG=1 \
    OPENCODE_DISABLE_SHARE=1 \
    OPENCODE_DISABLE_TERMINAL_TITLE=1 \
    NPM_CONFIG_UPDATE_NOTIFIER=false \
    NPM_CONFIG_FUND=false \
    NPM_CONFIG_AUDIT=false \
    DO_NOT_TRACK=1
USER 10001:10001
WORKDIR /workspace
# opencode as process 1 ignores SIGTERM; with tini a stop takes 0.2 s instead of the whole grace period.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/roundsman-worker"]
CMD ["--help"]
