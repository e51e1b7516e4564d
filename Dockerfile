# Two images: `embedded` brings ClickHouse inside (libchdb, about 560 MB more), `slim` talks to a ClickHouse server.
# packaging/check-image.sh builds the root file system of either from this file without a Docker engine, and starts it.

FROM node:24-bookworm-slim AS data
WORKDIR /data
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts

FROM rust:1.95-slim-bookworm AS build
# aws-lc-rs and mimalloc compile C.
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ cmake make libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY --from=data /data/node_modules node_modules
COPY . .
RUN cargo build --release --locked && strip target/release/footfall

# The binary looks for its data beside itself and in node_modules of its working folder. Nothing below needs a shell to run.
FROM debian:bookworm-slim AS slim
RUN groupadd --gid 10001 footfall && useradd --uid 10001 --gid footfall --no-create-home --home-dir /opt/footfall footfall \
    && install -d -m 0700 -o footfall -g footfall /var/lib/footfall/ledger /var/lib/footfall/keys /var/lib/footfall/journal /var/lib/footfall/store /var/lib/footfall/backups
WORKDIR /opt/footfall
COPY --from=build /src/target/release/footfall ./
COPY --from=data /data/node_modules/@ip-location-db node_modules/@ip-location-db
COPY --from=data /data/node_modules/crawler-user-agents node_modules/crawler-user-agents
COPY --from=data /data/node_modules/uap-core node_modules/uap-core
COPY config config
# To look around with; mount a file of your own over it.
COPY config/sample.toml /etc/footfall/footfall.toml
USER 10001:10001
# A container's own loopback cannot be reached from outside; the compose file publishes the port on the host's loopback only.
ENV FOOTFALL_CONFIG=/etc/footfall/footfall.toml \
    FOOTFALL__SERVER__LISTEN=0.0.0.0:8080 \
    FOOTFALL__LEDGER__DIR=/var/lib/footfall/ledger \
    FOOTFALL__CONSENT__KEY_FILE=/var/lib/footfall/keys/consent.keys \
    FOOTFALL__MAIL__KEY_FILE=/var/lib/footfall/keys/mail.keys \
    FOOTFALL__JOURNAL__DIR=/var/lib/footfall/journal \
    FOOTFALL__STORE__DIR=/var/lib/footfall/store \
    FOOTFALL__BACKUP__DIR=/var/lib/footfall/backups
# The root file system may be read-only. Back up ledger and keys first: nothing can make them again.
VOLUME ["/var/lib/footfall/ledger", "/var/lib/footfall/keys", "/var/lib/footfall/journal", "/var/lib/footfall/store", "/var/lib/footfall/backups"]
EXPOSE 8080
STOPSIGNAL SIGTERM
# Whether it lives, not whether it is ready: an orchestrator ends what is unhealthy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/opt/footfall/footfall", "healthcheck", "--live"]
ENTRYPOINT ["/opt/footfall/footfall"]
CMD ["serve"]

FROM slim AS embedded
COPY --from=data /data/node_modules/@chdb node_modules/@chdb
