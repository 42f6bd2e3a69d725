# turno's image: the program, the C library it is linked with, and nothing else. It runs as nobody in particular, on a
# root file system that may be read-only, and is fit to be process 1.
#
#   docker build --target turno -t turno .
#   docker build --target turno -t turno --build-arg BINARY=target/image/turno .     with a binary that is built already
#   docker run --rm -p 8080:8080 turno up --listen 0.0.0.0:8080
#
# The other targets add what they are named after: `haproxy` for `turno haproxy`, `consul` for docker-compose's profile.
ARG RUST_IMAGE=rust:1-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
ARG BINARY=
WORKDIR /src
COPY . .
RUN set -eu; \
    mkdir -p /image/usr/local/bin /image/etc/ssl/certs /image/var/lib/turno /image/tmp; \
    if [ -n "$BINARY" ]; then \
        install "$BINARY" /image/usr/local/bin/turno; \
    else \
        cargo build --release --locked --package turno; \
        strip -o /image/usr/local/bin/turno target/release/turno; \
    fi; \
    # The libraries it is linked with, where it looks for them.
    ldd /image/usr/local/bin/turno | grep -o '/[^ ]*' | while read -r library; do \
        install -D "$(readlink -f "$library")" "/image$library"; \
    done; \
    install -m 0644 "$(readlink -f /etc/ssl/certs/ca-certificates.crt)" /image/etc/ssl/certs/; \
    printf 'turno:x:65532:65532::/var/lib/turno:/nonexistent\n' >/image/etc/passwd; \
    printf 'turno:x:65532:\n' >/image/etc/group; \
    # A named volume takes over whose this is.
    chown 65532:65532 /image/var/lib/turno; \
    chmod 1777 /image/tmp

FROM scratch AS turno
COPY --from=build /image/ /
USER 65532:65532
WORKDIR /var/lib/turno
# What `turno health` asks when it is given no address. Each service of docker-compose.yml says its own.
ENV TURNO_HEALTH_URL=http://127.0.0.1:8081/health
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/turno", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/turno"]
CMD ["--help"]

FROM ${BASE_IMAGE} AS haproxy
RUN apt-get update && \
    apt-get install -y --no-install-recommends haproxy && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
COPY --from=build /image/usr/local/bin/turno /usr/local/bin/turno
RUN install -d -o 65532 -g 65532 /var/lib/turno
USER 65532:65532
WORKDIR /var/lib/turno
ENV TURNO_HEALTH_URL=http://127.0.0.1:8081/health
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/turno", "health"]
ENTRYPOINT ["/usr/local/bin/turno"]
CMD ["haproxy", "--help"]

# Consul 1.8.7 as Debian 11 had it. Whoever has another image sets CONSUL_IMAGE in docker-compose's environment.
FROM ${BASE_IMAGE} AS consul
RUN mirror="$(sed -n 's/^URIs: *//p;s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\).*/\2/p' /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -1)" && \
    echo "deb $mirror bullseye main" >/etc/apt/sources.list.d/bullseye.list && \
    printf 'Package: *\nPin: release n=bullseye\nPin-Priority: 50\n' >/etc/apt/preferences.d/bullseye && \
    apt-get update && \
    apt-get install -y --no-install-recommends consul && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/lib/consul
COPY --from=build /image/usr/local/bin/turno /usr/local/bin/turno
RUN install -d -o 65532 -g 65532 /var/lib/turno
USER 65532:65532
WORKDIR /var/lib/turno
ENV TURNO_HEALTH_URL=http://127.0.0.1:8500/v1/catalog/nodes
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/turno", "health"]
# Consul buries nobody; it starts no processes here.
ENTRYPOINT ["consul"]
CMD ["agent", "-dev"]

# What `docker build .` without a target makes.
FROM turno
