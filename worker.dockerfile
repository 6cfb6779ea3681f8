# Images of roundsman. Two targets come out of this file:
#
#   worker       (default) where one step of a turn runs: git, Node.js 22, agents, roundsman-worker
#   coordinator            the poller, the watcher and the operator's program; no agent, no Node.js
#
# `roundsman image build` makes the worker image with what lies beside it. By hand, everything from source, as a release
# does it (BuildKit is needed, `DOCKER_BUILDKIT=1` on older engines):
#
#   docker build -f worker.dockerfile -t roundsman-worker .
#   docker build -f worker.dockerfile -t roundsman --target coordinator .
#
# With programs that were compiled before, as CI does it (deploy/README.md says how the worker is linked statically):
#
#   docker build -f worker.dockerfile -t roundsman-worker --build-arg BINARIES=prebuilt --build-arg PREBUILT=FOLDER .
#
# Arguments
#   BINARIES          `built` compiles inside the image, `prebuilt` copies from PREBUILT
#   PREBUILT          folder of the prebuilt programs, relative to the build context
#   RUST_BASE         compiler image of the `built` way
#   BASE              final image of the worker: Debian with Node.js 22; without npm only for `AGENTS=`
#   COORDINATOR_BASE  final image of the coordinator: Debian
#   AGENTS            any of `opencode claude codex`, or nothing
#   *_VERSION         exact version of an agent; change it on purpose, never by a rebuild
#   VERSION REVISION  of roundsman, for the labels
#
# A build behind a proxy that re-signs TLS passes its certificates as a secret, which no layer keeps:
#   --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt
#
# Promises: nothing is downloaded when a container starts; update checks, telemetry and plug-in downloads are off; the
# user is 10001 without a password; the root file system may be mounted read-only when /tmp and the places of the step
# are writable; no credential is ever part of an image. /opt/roundsman is complete in itself: as a volume it serves the
# image of a repository too. The whole contract: deploy/IMAGE.md.

ARG BINARIES=built
ARG RUST_BASE=rust:1.95-bookworm
ARG BASE=node:22-bookworm-slim
ARG COORDINATOR_BASE=debian:bookworm-slim

# --- programs, compiled here -------------------------------------------------------------------------------------
FROM ${RUST_BASE} AS builder
WORKDIR /build
COPY Cargo.toml Cargo.lock README.md worker.dockerfile ./
COPY src ./src
# The emulator stays out: an image can talk to the Azure DevOps that it is told about, and to no pretend one.
RUN --mount=type=secret,id=ca,target=/run/ca.crt \
    --mount=type=cache,target=/build/target \
    if [ -s /run/ca.crt ]; then export CARGO_HTTP_CAINFO=/run/ca.crt; fi; \
    cargo build --release --locked --no-default-features \
        --bin roundsman --bin roundsman-poller --bin roundsman-watcher && \
    mkdir /binaries && \
    cp target/release/roundsman target/release/roundsman-poller target/release/roundsman-watcher /binaries/
# Static, so that it runs in every image. The target is named even though it is this machine: only then do procedural
# macros, which cannot be static, keep their own flags.
RUN --mount=type=secret,id=ca,target=/run/ca.crt \
    --mount=type=cache,target=/build/target \
    if [ -s /run/ca.crt ]; then export CARGO_HTTP_CAINFO=/run/ca.crt; fi; \
    host="$(rustc --print host-tuple)" && \
    RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --profile image --locked --no-default-features --bin roundsman-worker --target "$host" && \
    cp "target/$host/image/roundsman-worker" /binaries/

FROM scratch AS worker-built
COPY --from=builder /binaries/roundsman-worker /

FROM scratch AS coordinator-built
COPY --from=builder /binaries/roundsman /binaries/roundsman-poller /binaries/roundsman-watcher /

# --- programs, compiled before -----------------------------------------------------------------------------------
FROM scratch AS worker-prebuilt
ARG PREBUILT=target/release
COPY ${PREBUILT}/roundsman-worker /

FROM scratch AS coordinator-prebuilt
ARG PREBUILT=target/release
COPY ${PREBUILT}/roundsman ${PREBUILT}/roundsman-poller ${PREBUILT}/roundsman-watcher /

# hadolint ignore=DL3006 # a stage of this file, not an image
FROM worker-${BINARIES} AS worker-program
# hadolint ignore=DL3006 # a stage of this file, not an image
FROM coordinator-${BINARIES} AS coordinator-programs

# --- coordinator: poller, watcher, operator's program ------------------------------------------------------------
FROM ${COORDINATOR_BASE} AS coordinator
# hadolint ignore=DL3008 # Debian keeps one version per release; a pinned one is gone with the next security update
RUN if ! command -v tini || ! [ -s /etc/ssl/certs/ca-certificates.crt ]; then \
        apt-get update && \
        apt-get install -y --no-install-recommends ca-certificates tini && \
        rm -rf /var/lib/apt/lists/*; \
    fi && \
    useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin roundsman
COPY --from=coordinator-programs /roundsman /roundsman-poller /roundsman-watcher /usr/local/bin/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="roundsman" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
USER 10001:10001
# tini passes signals on and reaps what is left; the program is named by the manifest, never guessed.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["roundsman", "--help"]

# --- agents: each one a program that needs no Node.js and no file outside /opt/roundsman --------------------------
FROM ${BASE} AS agents
ARG AGENTS=opencode
ARG OPENCODE_VERSION=1.18.33
ARG CLAUDE_VERSION=2.1.197
ARG CODEX_VERSION=0.169.0
# The packages bring their platform's binary two or three times, and codex a voice host; one binary each is kept. The
# call at the end proves that it starts where it will lie.
# hadolint ignore=DL3016 # every call of `fetch` names an exact version
RUN --mount=type=secret,id=ca,target=/run/ca.crt \
    set -eu; \
    if [ -s /run/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/ca.crt npm_config_cafile=/run/ca.crt; fi; \
    export HOME=/tmp/home; \
    modules=/tmp/agents/node_modules; \
    mkdir -p "$HOME" /opt/roundsman/bin /opt/roundsman/lib; \
    fetch() { npm install --prefix /tmp/agents --no-save --no-fund --no-audit --no-update-notifier --loglevel=error "$1"; }; \
    for agent in ${AGENTS}; do \
        case "$agent" in \
        opencode) \
            fetch "opencode-ai@${OPENCODE_VERSION}"; \
            mv "$modules/opencode-ai/bin/opencode.exe" /opt/roundsman/bin/opencode ;; \
        claude) \
            fetch "@anthropic-ai/claude-code@${CLAUDE_VERSION}"; \
            mv "$modules/@anthropic-ai/claude-code/bin/claude.exe" /opt/roundsman/bin/claude ;; \
        codex) \
            fetch "@openai/codex@${CODEX_VERSION}"; \
            mv "$modules"/@openai/codex-linux-*/vendor/* /opt/roundsman/lib/codex; \
            rm -rf /opt/roundsman/lib/codex/codex-resources/voice; \
            ln -s ../lib/codex/bin/codex /opt/roundsman/bin/codex ;; \
        *) echo "AGENTS may be any of: opencode claude codex; not $agent" >&2; exit 1 ;; \
        esac; \
        rm -rf /tmp/agents; \
        "/opt/roundsman/bin/$agent" --version; \
    done; \
    chown -R 0:0 /opt/roundsman; \
    chmod -R u=rwX,go=rX /opt/roundsman

# --- worker: one step of one turn --------------------------------------------------------------------------------
FROM ${BASE} AS worker
# hadolint ignore=DL3008 # Debian keeps one version per release; a pinned one is gone with the next security update
RUN if ! command -v git || ! command -v tini || ! [ -s /etc/ssl/certs/ca-certificates.crt ]; then \
        apt-get update && \
        apt-get install -y --no-install-recommends ca-certificates git tini && \
        rm -rf /var/lib/apt/lists/*; \
    fi
ARG AGENTS=opencode
# The places of a step: mount points that belong to the user who works there. A new volume takes its owner from them.
RUN useradd --uid 10001 --no-create-home --home-dir /home/agent --shell /bin/bash agent && \
    mkdir -p /repo.git /workspace /in /out /home/agent /step && \
    chown 10001:10001 /repo.git /workspace /in /out /home/agent /step && \
    for program in roundsman-worker ${AGENTS}; do ln -s "/opt/roundsman/bin/$program" /usr/local/bin/; done
COPY --from=agents /opt/roundsman /opt/roundsman
COPY --from=worker-program --chmod=755 /roundsman-worker /opt/roundsman/bin/
# A program that was linked against a newer C library than this image's is found here, not in the first turn.
RUN ["/usr/local/bin/roundsman-worker", "--help"]
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
    DISABLE_AUTOUPDATER=1 \
    DISABLE_TELEMETRY=1 \
    DISABLE_ERROR_REPORTING=1 \
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 \
    NPM_CONFIG_UPDATE_NOTIFIER=false \
    NPM_CONFIG_FUND=false \
    NPM_CONFIG_AUDIT=false \
    DO_NOT_TRACK=1
ARG VERSION=0.1.0
ARG REVISION=unknown
# The schema is that of the worker's orders: a program of ours refuses an image that speaks another one.
LABEL org.opencontainers.image.title="roundsman-worker" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT" \
      io.roundsman.schema="1" \
      io.roundsman.agents="${AGENTS}"
USER 10001:10001
WORKDIR /workspace
# opencode as process 1 ignores SIGTERM; with tini a stop takes 0.2 s instead of the whole grace period.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/roundsman-worker"]
CMD ["--help"]
