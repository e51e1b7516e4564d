# Two images: `embedded` brings ClickHouse inside (libchdb, about 560 MB more), `slim` talks to a ClickHouse server.
# Neither was built or started where this file was written: no Docker engine was at hand. See docs/operate/OPERATING.md.

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

# The binary looks for its data beside itself and in node_modules of its working folder.
FROM debian:bookworm-slim AS slim
RUN groupadd --gid 10001 footfall && useradd --uid 10001 --gid footfall --no-create-home --home-dir /opt/footfall footfall \
    && mkdir -p /opt/footfall /var/lib/footfall && chown footfall:footfall /var/lib/footfall
WORKDIR /opt/footfall
COPY --from=build /src/target/release/footfall ./
COPY --from=data /data/node_modules/@ip-location-db node_modules/@ip-location-db
COPY --from=data /data/node_modules/crawler-user-agents node_modules/crawler-user-agents
COPY --from=data /data/node_modules/uap-core node_modules/uap-core
COPY config config
USER footfall
# A container's own loopback cannot be reached from outside; the compose file publishes the port on the host's loopback only.
ENV FOOTFALL__SERVER__LISTEN=0.0.0.0:8080 \
    FOOTFALL__JOURNAL__DIR=/var/lib/footfall/journal \
    FOOTFALL__STORE__DIR=/var/lib/footfall/store \
    FOOTFALL__MAIL__KEY_FILE=/var/lib/footfall/mail.keys
VOLUME /var/lib/footfall
EXPOSE 8080
STOPSIGNAL SIGTERM
# bash opens the connection itself: the image holds no curl.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["bash", "-c", \
  "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"]
ENTRYPOINT ["/opt/footfall/footfall"]
CMD ["serve", "--config", "/etc/footfall/footfall.toml"]

FROM slim AS embedded
COPY --from=data /data/node_modules/@chdb node_modules/@chdb
