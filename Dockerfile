# syntax=docker/dockerfile:1
# The server with its connectors inside: one binary on a plain Debian.

FROM rust:1.95-bookworm AS build
WORKDIR /tributary
RUN rustup target add wasm32-wasip2
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/tributary/target \
    cargo xtask plugins \
 && cargo build --locked --release --package tributary \
 && cp target/release/tributary /usr/local/bin/tributary

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin tributary \
 && install --directory --owner=tributary --mode=0700 /data
COPY --from=build /usr/local/bin/tributary /usr/local/bin/tributary
USER tributary
VOLUME /data
EXPOSE 8080
ENV TRIBUTARY_LISTEN=0.0.0.0:8080 TRIBUTARY_DATA_DIR=/data
# bash speaks TCP, so the image needs no HTTP client.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --start-interval=1s CMD \
    ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["tributary"]
CMD ["serve"]
